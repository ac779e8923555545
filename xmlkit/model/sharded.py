"""An encoder that is too large for one device: each rank has a part of every weight (`shard_encoder`).

PyTorch's FSDP2 (`fully_shard`; Zhao et al., PVLDB 16, 2023) gathers the weights of a layer for the moment in
which they are used, forwards and backwards, and sums their gradients into the parts. All ranks must call the
encoder equally often.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from xmlkit.config import Config
from xmlkit.distributed.part import own_part
from xmlkit.model.encoder import Encoder, linear_layers, new_backbone
from xmlkit.model.vectoriser import Vectoriser


class _Called(nn.Module):
    """In place of the backbone, to which FSDP would give a class of which transformers records no states."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.backbone = encoder.backbone
        self._last_states = partial(Encoder.last_states, encoder)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Those of the encoder's last N layers."""
        return self._last_states(inputs)


class Sharded(Encoder):
    """What `shard_encoder` makes of an encoder."""

    called: tuple[_Called]  # no module of its own: all weights are the backbone's

    def last_states(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """The same, from gathered weights."""
        found: tuple[Tensor, ...] = self.called[0](inputs)
        return found

    @torch.no_grad()
    def __deepcopy__(self, memo: dict[int, Any]) -> Encoder:
        """Another one of the same weights, split alike: a module that FSDP has split can't be copied."""
        with torch.device("meta"):
            copy = Encoder(new_backbone(self.backbone.config), self.template, self.num_layers)
        copy.in_bfloat16 = self.in_bfloat16
        own, other = (list(chain(one.parameters(), one.buffers())) for one in (self, copy))
        for tensor, same in zip(own, other, strict=True):
            same.data = same.to(tensor.dtype)
        _split(copy, own[0].device_mesh)  # type: ignore[attr-defined]
        copy.to_empty(device=own[0].device)
        for tensor, same in zip(own, chain(copy.parameters(), copy.buffers()), strict=True):
            own_part(same).copy_(own_part(tensor))
        return copy.train(self.training)


def shard_encoder(model: Vectoriser, config: Config, device: torch.device) -> None:
    """Moves this rank's part of the encoder of a split model to the device, where the settings have it so.

    One that is frozen stays whole: it has no gradients, and ranks read other texts with it, each by itself.
    """
    if config.shard_encoder and model.is_split and not config.freeze and model.encoder.hidden:
        from torch.distributed.device_mesh import DeviceMesh

        assert dist.group.WORLD is not None  # which has our time-out
        _split(model.encoder, DeviceMesh.from_group(dist.group.WORLD, device.type))


def _split(encoder: Encoder, mesh: Any) -> None:
    """Moves it to the device, layer by layer, and leaves this rank's rows of each weight there."""
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    called, exact = _Called(encoder), MixedPrecisionPolicy()
    # What autocast would round, and then keep as it is until its gradient has come by: the whole encoder.
    rounded = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    policies: dict[nn.Module, MixedPrecisionPolicy] = {}
    if encoder.in_bfloat16:
        policies.update(dict.fromkeys(linear_layers(called), rounded))
    for part in [*_layers(called, encoder.backbone.config.num_hidden_layers), called]:
        policies.setdefault(part, exact)
    for part, policy in policies.items():  # from the inside out
        # The outermost one, too: outside of a call there are parts alone.
        fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    for part in called.modules():
        if isinstance(part, FSDPModule):  # not the mean: what all compute alike counts for 1/N on each
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # without it a product, which gloo has not
    # Nobody changes a state in place, which it warns of.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    encoder.__class__ = Sharded
    assert isinstance(encoder, Sharded)
    encoder.called = (called,)


def _layers(module: nn.Module, count: int) -> Iterator[nn.Module]:
    """Those of a list of so many, or of several lists."""
    for child in module.children():
        if isinstance(child, nn.ModuleList) and len(child) == count:
            yield from child
        else:
            yield from _layers(child, count)
