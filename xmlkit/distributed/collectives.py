"""What ranks exchange, with its gradient.

What all ranks compute alike counts for 1/N of the loss on each of them. So each gradient is the sum of all
ranks' own. Of scores that nothing follows but costs all have the same one, and a rank's part has N times its
own, without any exchange.

N ranks, B documents, D document width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from xmlkit.distributed import ranks
from xmlkit.distributed.share import Share


def gathered(part: Tensor, sizes: Sequence[int]) -> Tensor:
    """The parts of all ranks, of so many rows, one behind the other; without a gradient."""
    padded = part.new_zeros(max(sizes), *part.shape[1:])
    padded[: len(part)] = part.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return torch.cat([found[:size] for found, size in zip(parts, sizes, strict=True)])


def summed_in_place(tensor: Tensor) -> Tensor:
    """The sum of all ranks', where there are several."""
    if ranks.are_several():
        dist.all_reduce(tensor)
    return tensor


def greatest_in_place(tensor: Tensor) -> Tensor:
    """The greatest that a rank has, element by element."""
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor


def gathered_by_first(part: Tensor, share: Share) -> Tensor:
    """The whole on the first rank's host; elsewhere what has its shape and no memory."""
    sizes = share.sizes
    padded = torch.zeros(max(sizes), *part.shape[1:], dtype=part.dtype)
    padded[: len(part)] = part.detach().cpu()
    parts = [torch.empty_like(padded) for _ in sizes] if ranks.is_first() else None
    dist.gather(padded, parts)
    if parts is None:
        return torch.empty(share.total, *part.shape[1:], dtype=part.dtype, device="meta")
    return torch.cat([found[:size] for found, size in zip(parts, sizes, strict=True)])


def dealt_by_first(whole: Tensor) -> Tensor:
    """This rank's run of the rows that the first has, on the host; what others have may be without memory."""
    share = Share.of(len(whole))
    if not ranks.is_first():
        own = torch.empty(len(share), *whole.shape[1:], dtype=whole.dtype)
        if len(own):
            dist.recv(own, 0)
        return own
    whole = whole.detach().cpu()
    for other in range(1, share.count):
        if len(theirs := whole[Share(len(whole), other, share.count).run]):
            dist.send(theirs, other)
    return whole[share.run].clone()


def dealt(parts: Iterable[list[Tensor]] | None) -> list[Tensor]:
    """This rank's, of what the first has for each, one after the other; on the host, of any sizes."""
    if not ranks.is_first():
        held: list[Any] = [None]
        dist.recv_object_list(held, 0)
        own = [torch.empty(shape, dtype=kind) for shape, kind in held[0]]
        for tensor in own:
            if tensor.numel():
                dist.recv(tensor, 0)
        return own
    assert parts is not None
    own = []
    for other, tensors in enumerate(parts):
        if other == 0:
            own = tensors
            continue
        dist.send_object_list([[(tensor.shape, tensor.dtype) for tensor in tensors]], other)
        for tensor in tensors:
            if tensor.numel():
                dist.send(tensor, other)
    return own


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, is_last: bool) -> Tensor:
        ctx.is_last = is_last
        return summed_in_place(part.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ranks.count() if ctx.is_last else summed_in_place(grads[0].clone()), None


def summed(part: Tensor, is_last: bool = False) -> Tensor:
    """The sum of what the ranks have, which go on with it; `is_last`: to costs, without another exchange."""
    found: Tensor = _Summed.apply(part, is_last)
    return found


class _OfAllDocuments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BD: Tensor, share: Share) -> Tensor:
        ctx.run = share.run
        return gathered(x_BD, share.sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][ctx.run], None


def of_all_documents(x_BD: Tensor, share: Share) -> Tensor:
    """The vectors of all ranks' documents. Their gradient must be whole; each gets that of its own."""
    found: Tensor = _OfAllDocuments.apply(x_BD, share)
    return found


def counted_once(loss: Tensor) -> Tensor:
    """What a loss that all ranks compute counts on each of them."""
    return loss / ranks.count() if ranks.are_several() else loss


def sum_gradients(parameters: Iterable[Parameter]) -> None:
    """Gradients of weights that all ranks have become the sum of all ranks'."""
    if not ranks.are_several():
        return
    weights = [weight for weight in parameters if weight.requires_grad]
    has = ranks.greatest(*(weight.grad is not None for weight in weights))
    grads = []
    for weight in (weight for weight, some in zip(weights, has, strict=True) if some):
        weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        grads.append(weight.grad)
    for kind in sorted({grad.dtype for grad in grads}, key=str):
        some = [grad for grad in grads if grad.dtype == kind]
        flat = summed_in_place(torch.cat([grad.flatten() for grad in some]))
        for grad, found in zip(some, flat.split([grad.numel() for grad in some]), strict=True):
            grad.copy_(found.view_as(grad))
