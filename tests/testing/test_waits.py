"""What waits for a CUDA device is heard without one: the list is what an H100 said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xmlkit.testing.waits import NeverWaits

META = torch.device("meta")
x_BD = torch.zeros(4, 5, device=META)
places_U = torch.zeros(3, dtype=torch.long, device=META)
numbers_U = torch.zeros(3, device=META)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: torch.tensor(1.0, device=META), "tensor would wait for the device; torch.full"),
        (lambda: x_BD.new_tensor([1.0, 2.0]), "new_tensor"),
        (lambda: torch.as_tensor(2.0).to(META), "a copy to it"),
        (lambda: torch.ones(3).to(device=META), "a copy to it"),
        (lambda: x_BD.__setitem__((places_U, places_U), 1.0), "a number set at indexed places"),
        (lambda: x_BD.bool().__setitem__(places_U, True), "a number set at indexed places"),
        (lambda: x_BD[:, [0, 2]], "an index on the host"),
        (lambda: x_BD[torch.tensor([1, 2])], "an index on the host"),
        (lambda: x_BD[np.array([1, 2])], "an index on the host"),
        (lambda: x_BD[:, range(2)], "an index on the host"),
        (lambda: x_BD.__setitem__(slice(0, 2), torch.ones(2, 5)), "a copy to it"),
        (lambda: x_BD.__setitem__(x_BD[:, 0] > 0, numbers_U[0]), "values set at a mask"),
        (lambda: x_BD.copy_(torch.ones(4, 5)), "a copy to it"),
        (lambda: torch.asarray([1.0], device=META), "asarray"),
        (lambda: torch.ones(3).type_as(x_BD), "a copy to it"),
        (lambda: torch.histc(numbers_U, 9), "histc would wait for the device; scatter_add_"),
    ],
)
def test_what_waits_is_refused(call, message):
    with NeverWaits(), pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: x_BD.__setitem__((places_U, places_U), numbers_U),
        lambda: x_BD.index_put_((places_U, places_U), numbers_U.new_ones(()), accumulate=True),
        lambda: x_BD.view(-1).scatter_(0, places_U, 1.0),
        lambda: x_BD.__setitem__((slice(None), 1), 2.0),
        lambda: x_BD.__setitem__(0, 1.0),
        lambda: x_BD[places_U, 1],
        lambda: torch.where(x_BD > 0, x_BD, 1.0),
        lambda: torch.ones(3).to(META, non_blocking=True),
        lambda: torch.ones(3).to(META, torch.float32, True),
        lambda: x_BD[..., None],
        lambda: x_BD.to(torch.bfloat16),
        lambda: torch.full((3,), 2.0, device=META),
        lambda: x_BD * torch.tensor(2.0),
    ],
)
def test_what_does_not_wait_is_let_through(call):
    with NeverWaits():
        call()
