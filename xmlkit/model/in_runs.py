"""The loss over all labels a run of labels at a time, where their scores and gradients together are too many.

Renee (Jain et al., MLSys 2023) computes no loss, only its gradient, one run of labels after another; here
the loss is computed too. The first pass has a micro-batch's costs, with their gradient down to the queries
and to all that learns but tables of rows. The second has those of the tables, run by run, for all documents
of a step at once: whoever asks steps the rows of a run before the next. The scores are computed in both. So
neither (B, L) scores nor a gradient of all rows is there at any time.

Shapes: B documents of a micro-batch or of a step, E label width, U labels of a run, V true labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Parameter

from xmlkit.distributed.share import own_rows
from xmlkit.doors import Head, LossCombiner
from xmlkit.errors import Incompatible
from xmlkit.model.head import runs_of_labels
from xmlkit.passing import RaggedLabels
from xmlkit.tables import RowTable, held_constant


def cost_of_labels(
    combiner: LossCombiner, z_BU: Tensor, labels: RaggedLabels, run: slice, weight_B: Tensor | None = None
) -> Tensor:
    """What a run of labels costs all documents (0-d), each document's cost times its weight.

    As if all were false, and then the true ones put right: no (B, U) truth. For true labels of other runs a
    label of this one stands, so that none of its rows is read, with a logit whose cost is finite.
    """
    if run.start == run.stop:  # a rank without labels
        return z_BU.sum()
    inside_V = (labels.values_V >= run.start) & (labels.values_V < run.stop)
    places_V = (labels.values_V - run.start).clamp(0, z_BU.shape[1] - 1)
    z_V = z_BU[labels.documents_V, places_V].masked_fill(~inside_V, 0.0)
    ids_V = run.start + places_V
    true_V, false_V = (cost(z_V, ids_V) for cost in (combiner.when_true, combiner.when_false))
    change_V = (true_V - false_V) * (inside_V if labels.targets_V is None else inside_V * labels.targets_V)
    false_BU = combiner.when_false(z_BU, run)
    if weight_B is None:
        return false_BU.sum() + change_V.sum()
    return false_BU.sum(1) @ weight_B + change_V @ weight_B[labels.documents_V]


@dataclass(frozen=True)
class _Seen:
    """A micro-batch whose first pass is over."""

    query_BE: Tensor
    labels: RaggedLabels
    weight: Tensor  # 0-d, of its costs in the step's loss


@dataclass
class LossInRuns:
    """The loss of every label of a model, in runs of so many."""

    head: Head
    combiner: LossCombiner
    num_labels: int
    at_once: int
    seen: list[_Seen] = field(default_factory=list)  # of the step so far

    def __call__(self, query_BE: Tensor, labels: RaggedLabels) -> Tensor:
        """The first pass: what all labels cost these documents (0-d).

        Raises Incompatible where labels are learnt through what the head only reads: it would learn nothing.
        """
        some = next(self._runs())
        with held_constant([*self.tables, *self._learnt]), own_rows(self.head.share):
            z_BU = self.head.of_query_BU(
                query_BE[:1].detach(), slice(some.start, min(some.start + 1, some.stop))
            )
        if z_BU.requires_grad:
            raise Incompatible(
                f"plugin {self.head.vector_maker.owner!r}, head: labels are learnt through what is not the "
                "head's, the encoder say, for which all are needed at once, and not a run at a time: detach "
                "it, or leave out one of the plugins"
            )
        # The tables are named for those who ask whether anything learns.
        return _FirstPass.apply(query_BE, labels, self, *self._learnt, *self.tables)

    def forget(self) -> None:
        """What a step left that was broken off."""
        self.seen = []

    @property
    def tables(self) -> list[Parameter]:
        """The weights of tables of rows, which the second pass has the gradients of."""
        modules = [*self.head.modules(), *self.combiner.modules()]
        found = dict.fromkeys(module.weight for module in modules if isinstance(module, RowTable))
        return [weight for weight in found if weight.requires_grad]

    def second_pass(self) -> Iterator[Tensor]:
        """For each run what it costs the step's documents (0-d), to be differentiated down to the tables.

        Rows of a run may be stepped before the next is asked for.
        """
        seen, self.seen = self.seen, []
        if not (seen and self.tables):  # a head may have weights of another kind alone
            return
        query_BE, labels = (
            torch.cat([some.query_BE for some in seen]),
            _joined([some.labels for some in seen]),
        )
        weight_B = torch.cat([some.weight.expand(len(some.labels)) for some in seen])
        for run in self._runs():
            with own_rows(self.head.share):
                z_BU = self.head.of_query_BU(query_BE, run)
                cost = cost_of_labels(self.combiner, z_BU, labels, run, weight_B)
            yield cost

    def _runs(self) -> Iterator[slice]:
        """Of all labels, or of those that this rank has, one that is empty where it has none."""
        share = self.head.share
        every = share.run if share is not None else slice(0, self.num_labels)
        runs = runs_of_labels(every.stop, self.at_once, every.start)
        return runs if every.start < every.stop else iter([every])

    @property
    def _learnt(self) -> list[Parameter]:
        """All that learns behind the query, but tables of rows."""
        tables = set(self.tables)
        found = dict.fromkeys([*self.head.parameters(), *self.combiner.parameters()])
        return [weight for weight in found if weight.requires_grad and weight not in tables]


class _FirstPass(torch.autograd.Function):
    """Its gradient is computed with it, since a run's scores are not kept."""

    @staticmethod
    def forward(ctx: Any, query_BE: Tensor, labels: RaggedLabels, of: LossInRuns, *_: Tensor) -> Tensor:
        leaf_BE, learnt = query_BE.detach().requires_grad_(), of._learnt
        cost, grads = query_BE.new_zeros(()), [torch.zeros_like(leaf_BE), *(None for _ in learnt)]
        with torch.enable_grad(), held_constant(of.tables), own_rows(of.head.share):
            for run in of._runs():
                part = cost_of_labels(of.combiner, of.head.of_query_BU(leaf_BE, run), labels, run)
                found = torch.autograd.grad(part, [leaf_BE, *learnt], allow_unused=True)
                cost = cost + part.detach()
                grads = [_sum(grad, more) for grad, more in zip(grads, found, strict=True)]
        ctx.of, ctx.labels, ctx.grads = of, labels, grads
        ctx.save_for_backward(query_BE)
        return cost

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (query_BE,) = ctx.saved_tensors
        ctx.of.seen.append(_Seen(query_BE.detach(), ctx.labels, grads[0]))
        to_query_BE, *to_learnt = [None if grad is None else grads[0] * grad for grad in ctx.grads]
        return to_query_BE, None, None, *to_learnt, *(None for _ in ctx.of.tables)


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return one if other is None else other if one is None else one + other


def _joined(parts: list[RaggedLabels]) -> RaggedLabels:
    """The labels of several micro-batches, one behind the other."""
    lengths_B = torch.cat([part.offsets.diff() for part in parts])
    zero = torch.zeros_like(lengths_B[:1])
    targets = [torch.ones_like(p.values_V) if p.targets_V is None else p.targets_V for p in parts]
    are_soft = any(part.targets_V is not None for part in parts)
    return RaggedLabels(
        torch.cat([part.values_V for part in parts]),
        torch.cat([zero, lengths_B.cumsum(0)]),
        parts[0].num_labels,
        max(part.most for part in parts),
        torch.cat(targets) if are_soft else None,
    )
