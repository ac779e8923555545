"""What stands at the four doors: the contracts of what a hook returns.

Each override of a contract's method is checked when it is called: contracts.py has what is promised. What a
wrapper leaves out, its `inner` does.

Shapes: B documents, D document width, K clusters, C candidates, L labels, E label width, U unique labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from xmlkit import contracts
from xmlkit.contracts import promises
from xmlkit.distributed import collectives
from xmlkit.distributed.share import Share, own_rows
from xmlkit.passing import (
    Contributions,
    Documents,
    LayerStates,
    Shortlist,
    Start,
    Training,
    Vectors,
    Voters,
    binary_cross_entropy,
)
from xmlkit.tables import ClusterTable, unique_ids


class Part(nn.Module):
    """What a hook returns. A wrapper hands the part that it wraps to `super().__init__(inner)`.

    It, and any module in it, may have a `learning_rate` and a `weight_decay` of its own.
    """

    learning_rate: float | None = None  # None: the run's `head_lr`
    weight_decay: float | None = None  # None: the run's
    plugin: str = ""  # set by the core on what a hook returned: a part of the weights' names
    owner: str = ""  # the plugin that it is of, be it within what the hook returned
    counted: ClassVar[tuple[str, ...]] = ()  # buffers filled from a run's own corpus: --init-from brings none
    sized: ClassVar[tuple[str, ...]] = ()  # such buffers whose shape, too, is what the weights file says
    in_checkpoints: ClassVar[tuple[str, ...]] = ()  # buffers, not persistent, that `--resume` needs
    door: ClassVar[str] = ""
    of_a_maker: ClassVar[tuple[str, ...]] = ()  # what a part that wraps nothing must define

    def __init__(self, inner: Part | None = None):
        super().__init__()
        self.inner: Any = inner

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        contracts.hold_to_promises(cls)

    @promises(contracts.reported)
    def report(self) -> dict[str, Tensor]:
        """Figures of the last step for the log, 0-d, on the device; a wrapper adds its own to these."""
        return self.inner.report() if isinstance(self.inner, Part) else {}

    def labels_added(self, count: int) -> None:
        """The last `count` labels are new to a trained model; rows of theirs are as a new model has them.

        All else is as it was saved. Called once, before what came of it is saved.
        """
        if isinstance(self.inner, Part):
            self.inner.labels_added(count)


class Representation(Part):
    """Makes the document vectors. A wrapper that changes their widths passes the new ones on."""

    door = "representation"
    of_a_maker = ("forward",)
    inner: Representation  # of a wrapper; None where it wraps nothing
    reads_states: ClassVar[bool] = True  # False: of the states `mean_BH` alone; with `freeze` that is kept

    def __init__(
        self,
        inner: Representation | None = None,
        recall_width: int | None = None,
        rank_width: int | None = None,
    ):
        super().__init__(inner)
        if inner is None and (recall_width is None or rank_width is None):
            raise TypeError("a representation that wraps nothing needs recall_width and rank_width")
        self.recall_width: int = self.inner.recall_width if recall_width is None else recall_width
        self.rank_width: int = self.inner.rank_width if rank_width is None else rank_width

    @promises(contracts.vectors)
    def forward(self, states: LayerStates) -> Vectors:
        """recall_BD is `recall_width` wide, rank_BD `rank_width`."""
        return self.inner(states)

    @promises(contracts.contributions)
    def contributions(self, states: LayerStates, directions_UD: Tensor) -> Contributions | None:
        """What spans of one document's text add to its product with each direction; None: nobody can say.

        Of the sum that `rank_BD` is, as much as can be told apart by spans; lengths that are divided by are
        taken as they are. Asked where it is explained why a text got its labels, never in training.
        """
        return self.inner.contributions(states, directions_UD) if leaves_out(self, "forward") else None


class Shortlister(Part):
    """Chooses the labels that are scored for a document."""

    door = "shortlist"
    of_a_maker = ("every_label", "loss_names", "forward")
    inner: Shortlister
    share: Share | None = None  # of clusters, which this rank may score and cost alone; None: all

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "loss_name" in vars(cls):
            raise TypeError(
                f"{cls.__name__}.loss_name is loss_names, a tuple, since version 2 of the hooks, and "
                "Shortlist.loss is Shortlist.losses, by name"
            )

    @property
    def clusters(self) -> ClusterTable | None:
        """The clusters that it chooses from; None where it has none."""
        return self.inner.clusters if self.inner else None

    @property
    def every_label(self) -> bool:
        """True where there is no shortlist: every label is scored, `forward` is called for votes alone."""
        return self.inner.every_label

    @property
    def labels_at_once(self) -> int | None:
        """How many labels' scores are there at a time in training, where every label is scored; None: all.

        Then the rows that labels are scored with are stepped so many labels at a time too, outside of `clip`,
        and neither all scores nor a gradient of all rows is ever held.
        """
        return self.inner.labels_at_once if self.inner else None

    @property
    def adds_votes(self) -> bool:
        """Whether it has votes where every label is scored, too; a wrapper that has some says True."""
        return self.inner.adds_votes if self.inner else False

    @property
    def loss_names(self) -> tuple[str, ...]:
        """What its own losses are called; a wrapper adds its own to these, or says that it drops them."""
        return self.inner.loss_names

    @promises(contracts.cluster_logits)
    def cluster_logits_BK(self, recall_BD: Tensor) -> Tensor:
        """How likely each cluster holds a true label; never sees the truth. To be read, not overridden."""
        return self.inner.cluster_logits_BK(recall_BD)

    @promises(contracts.shortlist)
    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist | None:
        """The candidates of each document; in training with their truth, at prediction with votes or without.

        With `every_label` it is called at prediction alone, of a part that `adds_votes`, and gives the labels
        that have some: all others are scored as well. None: there are no votes.
        """
        return self.inner(vectors, documents, training)

    def take_start(self, start: Start) -> None:
        """Begins to score clusters as this does, before the first step; one that wraps nothing need not."""
        if self.inner is not None:
            self.inner.take_start(start)

    @promises(contracts.voters)
    def voters(self, vectors: Vectors, documents: Documents) -> Voters | None:
        """Whose votes one document gets, the likest first; None: nobody's, or nobody can say.

        Asked where it is explained why a text got its labels, never in training.
        """
        return self.inner.voters(vectors, documents) if leaves_out(self, "forward") else None


class Head(Part):
    """Scores labels: z = <query(document), vector(label)> + bias(label).

    A wrapper overrides the query, the label vectors or the bias; scoring reads the outermost part's.
    """

    door = "head"
    of_a_maker = ("width", "query_BE", "label_vectors_UE", "label_bias_U")
    inner: Head
    stores_vectors = False  # label vectors are read from a table as they are; prediction keeps no others
    share: Share | None = None  # of labels, which this rank alone scores; None: all

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "products_BU" in vars(cls) and cls.label_vectors_UE is Head.label_vectors_UE:
            raise TypeError(
                f"{cls.__name__}.products_BU needs label_vectors_UE beside it, or is never called"
            )

    def take_batch(self, training: Training | None) -> None:
        """Labels are about to be scored: of this batch in training, or at prediction where that is None.

        What is made here once, for all that is scored, may have a graph down to the encoder's weights.
        """
        if self.inner is not None:
            self.inner.take_batch(training)

    @property
    def knows_new_labels(self) -> bool:
        """Whether a label that comes after training can be found, by its name say: see `labels_added`."""
        return self.inner.knows_new_labels if self.inner else False

    @property
    def width(self) -> int:
        """E, the width of queries and label vectors."""
        return self.inner.width

    @promises(contracts.query)
    def query_BE(self, rank_BD: Tensor) -> Tensor:
        """The document vector as labels see it."""
        return self.inner.query_BE(rank_BD)

    @promises(contracts.label_vectors)
    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """The vectors of unique label ids, or of a run of labels."""
        return self.inner.label_vectors_UE(rows_U)

    @promises(contracts.label_bias)
    def label_bias_U(self, rows_U: Tensor | slice) -> Tensor | float:
        """The biases of unique label ids, or of a run of labels."""
        return self.inner.label_bias_U(rows_U)

    @promises(contracts.products)
    def products_BU(self, query_BE: Tensor, rows_U: Tensor | slice) -> Tensor:
        """Each query times each label vector; overridden together with `label_vectors_UE` or not at all."""
        return query_BE @ self.label_vectors_UE(rows_U).T

    def take_start(self, start: Start) -> None:
        """Begins to score labels as this does, before the first step; one that wraps nothing need not."""
        if self.inner is not None:
            self.inner.take_start(start)

    @final
    def scores_BU(self, rank_BD: Tensor, rows_U: Tensor | slice) -> Tensor:
        """Logits of the same labels for every document."""
        return self.of_query_BU(self.query_BE(rank_BD), rows_U)

    @final
    def of_query_BU(self, query_BE: Tensor, rows_U: Tensor | slice) -> Tensor:
        """The same of queries that are there already."""
        return self.vector_maker.products_BU(query_BE, rows_U) + self.label_bias_U(rows_U)

    @promises(contracts.directions)
    def directions_UD(self, rank_1D: Tensor, vectors_UE: Tensor) -> Tensor | None:
        """What one document's vector is multiplied with, in all, where its query is with label vectors.

        So <directions, x> is <vectors, query(x)> but for a constant, for this x: lengths that a query is
        divided by are taken as they are. None: a query is no such product.
        """
        return self.inner.directions_UD(rank_1D, vectors_UE) if leaves_out(self, "query_BE") else None

    @property
    def vector_maker(self) -> Head:
        """The part that the label vectors come from: this one, or the one within that it leaves them to."""
        return self if type(self).label_vectors_UE is not Head.label_vectors_UE else self.inner.vector_maker

    @final
    def scores_BC(self, rank_BD: Tensor, ids_BC: Tensor, num_labels: int | None = None) -> Tensor:
        """Logits of each document's own candidates: unique labels once, one product, then a gather."""
        if self.share is not None:
            return self._of_all_ranks_BC(rank_BD, ids_BC, self.share)
        ids_U, slots_BC = unique_ids(ids_BC, num_labels)
        return self.scores_BU(rank_BD, ids_U).gather(1, slots_BC)

    def _of_all_ranks_BC(self, rank_BD: Tensor, ids_BC: Tensor, share: Share) -> Tensor:
        """Each rank scores the candidates that it has; the scores are exchanged, (B, C) numbers."""
        at = tuple(share.owns(ids_BC).nonzero().unbind(1))
        ids_U, slots = unique_ids(ids_BC[at])
        with own_rows(share):
            z_BU = self.scores_BU(rank_BD, ids_U)
        own_BC = z_BU.new_zeros(ids_BC.shape).index_put(at, z_BU[at[0], slots])
        return collectives.summed(own_BC, is_last=True)


def leaves_out(part: Part, method: str) -> bool:
    """Whether it wraps another and leaves this method of its contract to that: what it does there, it adds
    nothing to."""
    contract = next(base for base in type(part).__mro__ if "door" in vars(base))
    return part.inner is not None and getattr(type(part), method) is getattr(contract, method)


class LossCombiner(Part):
    """What a label costs, and how the losses become one gradient at the boundary."""

    door = "loss"
    of_a_maker = ("when_true", "when_false", "forward", "upstream_BD", "second_step", "rate_factors")
    inner: LossCombiner

    @promises(contracts.costs)
    def cost_B(self, z_BC: Tensor, truth_BC: Tensor, mask_BC: Tensor, ids_BC: Tensor | slice) -> Tensor:
        """What a document's scored labels cost together; by default the sum of `when_true` and `when_false`.

        For costs that are not elementwise, such as a softmax. `truth_BC` says how true each label is, 0 to 1,
        and `mask_BC` is False at padding; where every label is scored `ids_BC` is a slice. Where no part
        overrides it, the same is computed without a dense truth.
        """
        true_BC, false_BC = self.when_true(z_BC, ids_BC), self.when_false(z_BC, ids_BC)
        return (torch.lerp(false_BC, true_BC, truth_BC) * mask_BC).sum(1)

    @property
    def cost_maker(self) -> LossCombiner | None:
        """The outermost part that costs whole documents; None where costs are elementwise."""
        if type(self).cost_B is not LossCombiner.cost_B:
            return self
        return self.inner.cost_maker if self.inner else None

    @promises(contracts.cluster_cost)
    def cluster_cost(self, z_BK: Tensor, truth_BK: Tensor, run: slice = slice(None)) -> Tensor:
        """What the scores of all clusters cost, a mean over documents; `truth_BK` is 0 to 1.

        By default binary cross-entropy, of which `when_true` and `when_false` know nothing. `run` says which
        clusters these are, where each of several ranks has some: what runs cost is summed, with
        `reduction=mean` each as much as it has clusters. An override that needs all of them at once leaves
        `run` out of its arguments.
        """
        if self.inner is None:
            return binary_cross_entropy(z_BK, truth_BK)
        return self.inner.cluster_cost(z_BK, truth_BK, run)

    @property
    def costs_clusters_apart(self) -> bool:
        """Whether no part needs all clusters at once."""
        apart = "run" not in contracts.left_out(type(self).cluster_cost)
        return apart and (self.inner is None or self.inner.costs_clusters_apart)

    @promises(contracts.cost)
    def when_true(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """Elementwise cost of logits z of labels that are true; by default softplus(-z).

        `ids` are the labels: of z's shape, or a run of labels along z's last dimension.
        """
        return self.inner.when_true(z, ids)

    @promises(contracts.cost)
    def when_false(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """Elementwise cost of logits z of labels that are not true; by default softplus(z)."""
        return self.inner.when_false(z, ids)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """What losses of its own are called; a wrapper that has some adds them to its inner part's."""
        return self.inner.loss_names if self.inner else ()

    @promises(contracts.own_losses)
    def own_losses(self, scores_BX: Callable[[Tensor], Tensor], training: Training) -> Mapping[str, Tensor]:
        """Losses besides those of shortlist and ranker, means over documents: what `loss_names` says.

        `scores_BX(ids_BX)` gives the logits of labels that need not be candidates, some for each document.
        """
        return self.inner.own_losses(scores_BX, training) if self.inner else {}

    @promises(contracts.weighed)
    def forward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weighs the losses (0-d, means over documents), each of them; the core sums what comes back."""
        return self.inner(losses)

    @promises(contracts.upstream)
    def upstream_BD(self, grads: dict[str, Tensor]) -> Tensor:
        """The boundary's gradient from each loss's own; by default their sum."""
        return self.inner.upstream_BD(grads)

    def before_step(self) -> None:
        """All micro-batches of a step are through, and the optimisers are about to step."""
        if isinstance(self.inner, LossCombiner):
            self.inner.before_step()

    def second_step(self, model: nn.Module) -> list[nn.Module]:
        """Modules that a second optimiser steps too, on the same gradient; by default none."""
        return self.inner.second_step(model)

    @promises(contracts.factors)
    def rate_factors(self, model: nn.Module) -> dict[nn.Module, float]:
        """What the learning rates in these modules are multiplied by; by default none is."""
        return self.inner.rate_factors(model)
