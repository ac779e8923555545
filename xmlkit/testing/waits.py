"""What would wait for a CUDA device, told apart on a machine without one: work on the `meta` device is heard.

What needs a number from the device, as `item`, `nonzero` and `unique` do, fails on `meta` by itself. What is
heard here copies from the host's memory and so waits unseen, as `torch.cuda.set_sync_debug_mode` showed with
PyTorch 2.11 on an H100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

COPIES = (Tensor.to, Tensor.type_as)
COUNTS = (torch.histc, Tensor.histc)  # bincount fails on meta by itself


class NeverWaits(TorchFunctionMode):
    """While it is entered, a call that would wait raises RuntimeError, which says what to write instead."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Looks at a call before it is made, and at what it gives."""
        kwargs = kwargs or {}
        if function in (Tensor.__setitem__, Tensor.__getitem__) and _is_there(args[0]):
            _look_at_index(args[1], args[2] if function is Tensor.__setitem__ else None)
        if function is Tensor.copy_ and _is_there(args[0]) and _is_on_the_host(args[1]):
            _refuse("a copy to it", "keep a buffer, which moves with the model")
        found = function(*args, **kwargs)
        if _is_there(found) and function in COUNTS:
            _refuse(function.__name__, "scatter_add_ counts without")
        if _is_there(found) and function is Tensor.new_tensor:
            _refuse("new_tensor", "new_full makes it there")
        if _is_there(found) and not (args and _is_there(args[0])):
            if function in (torch.tensor, torch.as_tensor, torch.asarray):
                _refuse(function.__name__, "torch.full and torch.arange make it there")
            if function in COPIES and not (
                kwargs.get("non_blocking") or any(given is True for given in args)
            ):
                _refuse("a copy to it", "keep a buffer, which moves with the model")
        return found


def _look_at_index(index: Any, value: Any) -> None:
    parts = index if isinstance(index, tuple) else (index,)
    if not all(part is None or part is Ellipsis or isinstance(part, (slice, int, Tensor)) for part in parts):
        _refuse("an index on the host", "keep a buffer, or take slices")
    if any(map(_is_on_the_host, parts)):
        _refuse("an index on the host", "keep a buffer, or take slices")
    if _is_on_the_host(value):
        _refuse("a copy to it", "keep a buffer, which moves with the model")
    places = [part for part in parts if _is_there(part)]
    masks = [part for part in places if part.dtype == torch.bool]
    if masks and isinstance(value, Tensor):
        _refuse("values set at a mask", "torch.where sets them without")
    if len(places) > len(masks) and isinstance(value, (int, float)):
        _refuse("a number set at indexed places", "scatter_ sets it without")


def _refuse(what: str, instead: str) -> None:
    raise RuntimeError(f"{what} would wait for the device; {instead}")


def _is_there(thing: Any) -> bool:
    return isinstance(thing, Tensor) and thing.is_meta


def _is_on_the_host(thing: Any) -> bool:
    return isinstance(thing, Tensor) and not thing.is_meta and thing.ndim > 0
