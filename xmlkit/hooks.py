"""The four doors of a run, and the contracts of what passes through them.

    texts -> tokens -> encoder -> [representation] -> | [shortlist] -> [head] -> [loss]
                                         the boundary: each loss is differentiated down to here first

A plugin is a module with a docstring, hook implementations and, where it has settings, a pydantic
model called `Options`. An entry point in the group `xmlkit` gives it its name:

    from pydantic import BaseModel, Field
    from xmlkit import LossCombiner, hookimpl

    class Options(BaseModel, extra="forbid"):
        weight: float = Field(2.0, gt=0, description="what a true label costs beside a false one")

    class Weighted(LossCombiner):
        def __init__(self, inner, options):
            super().__init__(inner)
            self.options = options

        def when_true(self, z, ids):
            return self.options.weight * self.inner.when_true(z, ids)

    @hookimpl(wrapper=True)
    def loss(build):
        inner = yield
        return Weighted(inner, build.options(Options))

Wrap (as above: `inner = yield` comes first) rather than make a part anew (a plain `@hookimpl` that
returns one). `--plugin a,b` is the order in which plugins wrap: b around a. What a wrapper leaves out,
its `inner` does. A hook implementation may leave out arguments that it does not need.

Each override of a contract's method is checked when it is called: contracts.py has what is promised.

A plugin module may say two more things: `hooks_version = 1`, the HOOKS_VERSION that it was written for (1
where it doesn't say), and `compiles = False`, that torch.compile can't trace it.

Every label id in here is a row number, 0 to L - 1, in cluster order where there are clusters; names come
back on output.

Shapes: B documents, T tokens, W tokens of whole texts, N layers, H encoder width, D document width,
K clusters, M labels of the largest cluster, S shortlisted clusters, C candidates, X added candidates,
Y most true labels of a document, V true labels in the batch, L labels, E label width, U unique labels,
R labels or clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, final

import pluggy
import torch
import torch.nn.functional as F
from pydantic import BaseModel
from torch import Tensor, nn

from xmlkit import contracts
from xmlkit.contracts import promises
from xmlkit.errors import UserError
from xmlkit.tables import ClusterTable, unique_ids

if TYPE_CHECKING:
    from xmlkit.config import Config

PROJECT = "xmlkit"
HOOKS_VERSION = 1  # one more when a plugin that was written for it might not work any longer
DOORS = ("representation", "shortlist", "head", "loss")
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
OptionsT = TypeVar("OptionsT", bound=BaseModel)


# ------------------------------------------------------------------------- what passes through the doors


@dataclass(frozen=True)
class RaggedTokens:
    """Token ids of B texts, end to end: text i is `values_W[offsets[i]:offsets[i + 1]]`."""

    values_W: Tensor
    offsets: Tensor  # (B + 1,)

    def map(self, change: Callable[[Tensor], Tensor]) -> RaggedTokens:
        """The same with each tensor changed."""
        return RaggedTokens(change(self.values_W), change(self.offsets))


@dataclass(frozen=True)
class Documents:
    """What is known of a batch besides its labels."""

    tokens_BT: Tensor  # what the encoder reads: right-padded, token 0 is real
    mask_BT: Tensor  # bool, False at padding
    first_B: Tensor  # where the classification token stands (XLNet: last)
    text: RaggedTokens  # the whole texts without special tokens, however short the encoder's window
    mean_BH: Tensor | None = None  # the last layer's mean state, where the encoder need not be asked

    def map(self, change: Callable[[Tensor], Tensor]) -> Documents:
        """The same with each tensor changed."""
        mean_BH = None if self.mean_BH is None else change(self.mean_BH)
        framed = (change(self.tokens_BT), change(self.mask_BT), change(self.first_B))
        return Documents(*framed, self.text.map(change), mean_BH)

    def to(self, device: torch.device) -> Documents:
        """The same on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class LayerStates:
    """The encoder's states of its last N layers, the last one last."""

    layers: tuple[Tensor, ...]  # N x (B, T, H)
    documents: Documents
    gain_BNH: Tensor | None = None  # (B, N, 1 or H), applied only to what is read

    @property
    def mean_BH(self) -> Tensor:
        """The mean of the last layer's states over the real tokens; it may be all that is known."""
        if self.documents.mean_BH is not None:
            assert self.gain_BNH is None, "a part with a gain reads states"
            return self.documents.mean_BH
        states_BTH, mask_BT1 = self.layer_BTH(-1), self.documents.mask_BT[..., None]
        precise = torch.promote_types(states_BTH.dtype, torch.float32)  # whatever autocast made of them
        return (states_BTH.to(precise) * mask_BT1).sum(1) / mask_BT1.sum(1)

    @property
    def first_BNH(self) -> Tensor:
        """The classification token's state in each layer."""
        rows_B = torch.arange(len(self.documents.first_B), device=self.documents.first_B.device)
        first_BNH = torch.stack([states[rows_B, self.documents.first_B] for states in self.layers], 1)
        return first_BNH if self.gain_BNH is None else first_BNH * self.gain_BNH

    def layer_BTH(self, n: int) -> Tensor:
        """All states of layer n; -1 is the last."""
        n %= len(self.layers)
        states_BTH = self.layers[n]
        return states_BTH if self.gain_BNH is None else states_BTH * self.gain_BNH[:, n, None]

    def scaled(self, gain_BNH: Tensor) -> LayerStates:
        """The same states, each layer's times a gain (B, N, 1 or H) besides those that it has."""
        return replace(self, gain_BNH=gain_BNH if self.gain_BNH is None else self.gain_BNH * gain_BNH)


@dataclass(frozen=True)
class Vectors:
    """One vector to recall candidates with, one to rank them; the same tensor unless a plugin parts them."""

    recall_BD: Tensor
    rank_BD: Tensor

    def map(self, recall: Callable[[Tensor], Tensor], rank: Callable[[Tensor], Tensor]) -> Vectors:
        """Each through its function, once where both the vectors and the functions are the same."""
        rank_BD = rank(self.rank_BD)
        if self.recall_BD is self.rank_BD and recall is rank:
            return Vectors(rank_BD, rank_BD)
        return Vectors(recall(self.recall_BD), rank_BD)


@dataclass(frozen=True)
class RaggedLabels:
    """True labels of B documents, ascending and unique in each."""

    values_V: Tensor
    offsets: Tensor  # (B + 1,)
    num_labels: int
    most: int  # labels of the document that has most; a host integer, known when the batch is built
    targets_V: Tensor | None = None  # how true each is, above 0 and up to 1; None: all are 1

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def documents_V(self) -> Tensor:
        """The document of each value."""
        rows_B = torch.arange(len(self), device=self.offsets.device)
        return rows_B.repeat_interleave(self.offsets.diff(), output_size=len(self.values_V))

    def contains(self, ids_BC: Tensor) -> Tensor:
        """Bool (B, C): is it a true label of that document? One binary search, no (B, L)."""
        return self._look_up(ids_BC)[1]

    def targets(self, ids_BC: Tensor) -> Tensor:
        """How true each label is of that document, float (B, C); 0 where it is none of its labels."""
        at_BC, is_true_BC = self._look_up(ids_BC)
        if self.targets_V is None:
            return is_true_BC.float()
        return F.pad(self.targets_V, (0, 1))[at_BC] * is_true_BC

    def _look_up(self, ids_BC: Tensor) -> tuple[Tensor, Tensor]:
        """The place of each pair among the values, up to V, and whether it is there."""
        keys = self.documents_V * self.num_labels + self.values_V
        rows_B1 = torch.arange(len(self), device=keys.device)[:, None]
        wanted_BC = rows_B1 * self.num_labels + ids_BC
        at_BC = torch.searchsorted(keys, wanted_BC)
        return at_BC, F.pad(keys, (0, 1), value=-1)[at_BC] == wanted_BC  # a slot for "past the end"

    @property
    def padded(self) -> tuple[Tensor, Tensor]:
        """The ids (B, Y) and which of them are real, Y = `most`."""
        places_Y = torch.arange(self.most, device=self.offsets.device)
        mask_BY = places_Y < self.offsets.diff()[:, None]
        at_BY = (self.offsets[:-1, None] + places_Y).clamp(max=max(len(self.values_V) - 1, 0))
        return F.pad(self.values_V, (0, 1))[at_BY], mask_BY

    def map(self, change: Callable[[Tensor], Tensor]) -> RaggedLabels:
        """The same with each tensor changed."""
        targets_V = None if self.targets_V is None else change(self.targets_V)
        sizes = (self.num_labels, self.most)
        return RaggedLabels(change(self.values_V), change(self.offsets), *sizes, targets_V)

    def to(self, device: torch.device) -> RaggedLabels:
        """The same on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class Training:
    """What a forward pass is given in training, and never at prediction.

    Parts look at this argument, not at `self.training`, to know which of the two it is.
    """

    labels: RaggedLabels
    rng: torch.Generator  # on the device; every draw of a plugin comes from it


@dataclass(frozen=True)
class Shortlist:
    """The candidates of each document. Padding repeats one of the document's own candidates."""

    rank_BD: Tensor  # the document vector that the head reads
    ids_BC: Tensor
    mask_BC: Tensor  # bool, False at padding
    prior_BC: Tensor  # multiplies the candidate's score at prediction
    truth_BC: Tensor | None = None  # bool, in training; how true is for `training.labels` to say
    loss: Tensor | None = None  # the shortlist's own loss Lg, in training: a mean over documents
    clusters_BS: Tensor | None = None  # the clusters that it was made of, where there are any
    votes_BC: Tensor | None = None  # >= 0, added to the candidate's logit at prediction; None: all are 0

    def extended(
        self,
        ids_BX: Tensor,
        mask_BX: Tensor,
        training: Training | None,
        prior_BX: Tensor | None = None,
        votes_BX: Tensor | None = None,
    ) -> Shortlist:
        """Adds candidates: drops known and repeated ones and marks the true ones.

        `prior_BX` is required at prediction; in training it is not read. `votes_BX` are added to the votes of
        the candidates that they are for, be they known or repeated.
        """
        assert training is not None or prior_BX is not None, "prior_BX is required at prediction"
        offered_BX, offer_BX = ids_BX.contiguous(), mask_BX
        known, ids_BX = self.ids_BC.sort(1).values, offered_BX
        at_BX = torch.searchsorted(known, ids_BX).clamp(max=known.shape[1] - 1)
        fresh_BX = mask_BX & (known.gather(1, at_BX) != ids_BX)
        # Of equal ids the first fresh one survives: a stable sort with the others behind all ids.
        order = torch.sort(ids_BX + (~fresh_BX) * 2**40, dim=1, stable=True)
        repeats = F.pad(order.values[:, 1:] == order.values[:, :-1], (1, 0))
        fresh_BX = fresh_BX & ~torch.zeros_like(fresh_BX).scatter(1, order.indices, repeats)
        ids_BX = torch.where(fresh_BX, ids_BX, self.ids_BC[:, :1])
        if prior_BX is None:
            prior_BX = torch.ones_like(ids_BX, dtype=self.prior_BC.dtype)
        truth = None
        if training is not None:
            assert self.truth_BC is not None
            truth = torch.cat([self.truth_BC, training.labels.contains(ids_BX) & fresh_BX], 1)
        longer = replace(
            self,
            ids_BC=torch.cat([self.ids_BC, ids_BX], 1),
            mask_BC=torch.cat([self.mask_BC, fresh_BX], 1),
            prior_BC=torch.cat([self.prior_BC, prior_BX], 1),
            truth_BC=truth,
            votes_BC=None if self.votes_BC is None else F.pad(self.votes_BC, (0, ids_BX.shape[1])),
        )
        return longer if votes_BX is None else longer._voted(offered_BX, offer_BX, votes_BX)

    def _voted(self, ids_BX: Tensor, mask_BX: Tensor, votes_BX: Tensor) -> Shortlist:
        """With more votes, each for a real candidate that is there."""
        order = (2 * self.ids_BC + ~self.mask_BC).sort(1)  # of equal ids the real one stands first
        at_BX = torch.searchsorted(order.values, 2 * ids_BX).clamp(max=order.values.shape[1] - 1)
        votes_BC = torch.zeros_like(self.prior_BC) if self.votes_BC is None else self.votes_BC
        return replace(
            self, votes_BC=votes_BC.scatter_add(1, order.indices.gather(1, at_BX), votes_BX * mask_BX)
        )


@dataclass(frozen=True)
class Start:
    """What the encoder knows before the first step, of R labels or of R clusters, with `start=warm`.

    It scores z = <vectors, (x - centre) / |x - centre|> + bias, x being the document vector.
    """

    centre_D: Tensor  # the mean document vector
    vectors_RD: Tensor
    bias_R: Tensor


# ------------------------------------------------------------------------------------- what stands at a door


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


class Shortlister(Part):
    """Chooses the labels that are scored for a document."""

    door = "shortlist"
    of_a_maker = ("every_label", "loss_name", "forward")
    inner: Shortlister

    @property
    def clusters(self) -> ClusterTable | None:
        """The clusters that it chooses from; None where it has none."""
        return self.inner.clusters if self.inner else None

    @property
    def every_label(self) -> bool:
        """True where there is no shortlist: every label is scored, `forward` is called for votes alone."""
        return self.inner.every_label

    @property
    def adds_votes(self) -> bool:
        """Whether it has votes where every label is scored, too; a wrapper that has some says True."""
        return self.inner.adds_votes if self.inner else False

    @property
    def loss_name(self) -> str | None:
        """What its own loss is called; None where it has none."""
        return self.inner.loss_name

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


class Head(Part):
    """Scores labels: z = <query(document), vector(label)> + bias(label).

    A wrapper overrides the query, the label vectors or the bias; scoring reads the outermost part's.
    """

    door = "head"
    of_a_maker = ("width", "query_BE", "label_vectors_UE", "label_bias_U")
    inner: Head
    stores_vectors = False  # label vectors are read from a table as they are; prediction keeps no others

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "products_BU" in vars(cls) and cls.label_vectors_UE is Head.label_vectors_UE:
            raise TypeError(
                f"{cls.__name__}.products_BU needs label_vectors_UE beside it, or is never called"
            )

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
        return self.vector_maker.products_BU(self.query_BE(rank_BD), rows_U) + self.label_bias_U(rows_U)

    @property
    def vector_maker(self) -> Head:
        """The part that the label vectors come from: this one, or the one within that it leaves them to."""
        return self if type(self).label_vectors_UE is not Head.label_vectors_UE else self.inner.vector_maker

    @final
    def scores_BC(self, rank_BD: Tensor, ids_BC: Tensor, num_labels: int | None = None) -> Tensor:
        """Logits of each document's own candidates: unique labels once, one product, then a gather."""
        ids_U, slots_BC = unique_ids(ids_BC, num_labels)
        return self.scores_BU(rank_BD, ids_U).gather(1, slots_BC)


class LossCombiner(Part):
    """What a label costs, and how the losses become one gradient at the boundary."""

    door = "loss"
    of_a_maker = ("when_true", "when_false", "forward", "upstream_BD", "second_step", "rate_factors")
    inner: LossCombiner

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

    @promises(contracts.weighed)
    def forward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weighs the losses (0-d, means over documents); the core sums what comes back."""
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


# ------------------------------------------------------------------------------------------------- the hooks


@dataclass
class BuildContext:
    """What a hook may know when it builds its part: sizes and resolved options, saved with the model."""

    num_layers: int  # N
    hidden: int  # H
    num_labels: int  # L
    clusters: ClusterTable | None  # None: every label is scored
    shortlist: int  # S, the clusters that a document's candidates come from
    cluster_power: float  # exponent of a cluster's probability in the scores of its labels
    cluster_width: int | None  # the space in which clusters are scored; None: the document vector's
    label_width: int  # E, where there are clusters
    reduction: Literal["sum", "mean"]  # of a document's loss
    pooling: Literal["first", "mean"]  # what the default representation reads
    dropout: float  # on the document vector
    start: Literal["warm", "prior", "random"]  # how the default label rows and biases begin
    row_dtype: torch.dtype = torch.float32  # of the default label rows
    spell: Callable[[], tuple[str, ...]] = tuple  # what `vocabulary` is read by
    has_label_text: bool = False  # labels have names besides their ids
    train_labels: RaggedLabels | None = None  # None when a saved model is opened
    read_text: Callable[[], RaggedTokens] | None = None  # likewise
    encode_names: Callable[[], Tensor] | None = None  # likewise, and when a run goes on
    parts: dict[str, Part] = field(default_factory=dict)  # by door, what stands there so far
    given: dict[type[BaseModel], BaseModel] = field(default_factory=dict)  # options, by their class

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens' spellings by id, " " before what is marked to begin a word; "" is a special token's."""
        return self.spell()

    @property
    def train_text(self) -> RaggedTokens | None:
        """The tokens of the whole training texts, read anew at each call; None as `train_labels` is."""
        return self.read_text() if self.read_text else None

    @cached_property
    def label_text_LH(self) -> Tensor | None:
        """The labels' names by the encoder before training, its token means.

        None as `train_labels` is, and when a run goes on: a part that needs it keeps it in a buffer.
        """
        if self.encode_names is None or not (self.has_label_text and self.num_layers):
            return None
        return self.encode_names()

    def options(self, kind: type[OptionsT]) -> OptionsT:
        """The resolved options of a plugin, by its own options class. Raises UserError for another class."""
        if kind not in self.given:
            raise UserError(
                f"build.options({kind.__name__}): no plugin in use has these options; a plugin's settings "
                f"are the class `Options` of its module (this one is of {kind.__module__})"
            )
        options = self.given[kind]
        assert isinstance(options, kind)
        return options


@dataclass
class Run:
    """A training run, as events see it."""

    folder: Path
    config: Config
    model: nn.Module
    num_steps: int
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    rate_factor: float = 1.0  # an event may set it: what all rates are multiplied by from the next step on
    stops: bool = False  # likewise: the step that has ended is the last, which is then scored

    def rate_of(self, parameter: nn.Parameter) -> float:
        """The learning rate of this step; the sum of both where two optimisers step the parameter."""
        groups = (group for optimizer in self.optimizers for group in optimizer.param_groups)
        return sum(group["lr"] for group in groups if any(p is parameter for p in group["params"]))


class DocumentSet(Protocol):
    """Documents of a run, in their order: N of them, by their places 0 to N - 1."""

    labels: RaggedLabels  # of all N, on the host

    def batches(self, places: Tensor | None = None) -> Iterator[tuple[Tensor, Documents, Vectors]]:
        """Places (B,), on the host, with the documents there and their vectors, on the device.

        All documents, or those at these places, in batches of like length: not in order. The model is in eval
        mode, and there is no gradient.
        """


class Reading(Protocol):
    """What a plugin may read when a run is trained: each document is encoded when it is asked for.

    There are no gradients. Here N are the documents of a set, and K the ranks of a ranking.
    """

    @property
    def training(self) -> DocumentSet:
        """Those that were trained on."""

    @property
    def held_out(self) -> DocumentSet:
        """The validation documents; there may be none."""

    def logits_BC(self, rank_BD: Tensor, ids_BC: Tensor) -> Tensor:
        """The head's logits of each document's own candidates, without votes."""

    def rank(self, vectors: Vectors, documents: Documents, k: int) -> tuple[Tensor, Tensor]:
        """Scores and label ids as the model predicts them now, best first, both (B, k) or narrower.

        The id is -1 where there are fewer. Label vectors that a head computes are those of the first call.
        """

    def metrics(self, ids_NK: Tensor) -> dict[str, float]:
        """How good a ranking of the held-out documents is, in percent: `P@5`, `nDCG@5` and so on; ids (N, K).

        Raises UserError where none are held out.
        """


class Hooks(Protocol):
    """The four doors, called in this order when a model is built, and the events of a run."""

    @hookspec(firstresult=True)
    def representation(self, build: BuildContext) -> Representation:
        """From the encoder's layer states to the document vectors."""

    @hookspec(firstresult=True)
    def shortlist(self, build: BuildContext, recall_width: int, rank_width: int) -> Shortlister:
        """From the document vectors to the candidates."""

    @hookspec(firstresult=True)
    def head(self, build: BuildContext, rank_width: int) -> Head:
        """From document vectors and candidates to scores."""

    @hookspec(firstresult=True)
    def loss(self, build: BuildContext, names: tuple[str, ...]) -> LossCombiner:
        """From scores to losses and their gradient; `names` are the losses that there will be."""

    # An event changes nothing by what it draws: the generators are afterwards as they were before.

    @hookspec
    def run_started(self, run: Run) -> None:
        """Training is about to begin, or to go on."""

    @hookspec
    def step_ended(self, run: Run, step: int, report: dict[str, Tensor]) -> None:
        """An optimiser step is done; `report` holds its losses, on the device. Step 1 is the first."""

    @hookspec
    def evaluated(self, run: Run, metrics: dict[str, float]) -> None:
        """The validation documents have been scored, in percent."""

    @hookspec
    def trained(self, run: Run, read: Reading) -> None:
        """Training has ended, not by Ctrl-C, and `run.model` has the best weights.

        After this they are saved once more, and the validation documents scored.
        """

    @hookspec
    def run_ended(self, run: Run, outcome: Literal["finished", "stopped early", "interrupted"]) -> None:
        """Training is over and the best weights are in the run's folder."""
