"""What passes through the four doors, on the way that hooks.py shows.

Every label id in here is a row number, 0 to L - 1; names come back on output. Where there are clusters, rows
lie in their order, but for labels that came after training.

Shapes: B documents, T tokens, W tokens of whole texts, N layers, H encoder width, D document width,
K clusters, S shortlisted ones, C candidates, X added candidates, Y most true labels of a document, V true
labels in the batch, R labels or clusters, U labels that are asked about, P spans of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


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
    seen: bool = False  # at prediction: who looks up training documents leaves out each of these itself

    @classmethod
    def none(cls, count: int) -> Documents:
        """So many texts without a token."""
        zeros = torch.zeros(count, 1, dtype=torch.long)
        text = RaggedTokens(zeros[:0, 0], torch.zeros(count + 1, dtype=torch.long))
        return cls(zeros, zeros == 0, zeros[:, 0], text)

    def framed(self, rows_U: Tensor) -> Documents:
        """Some of them, as the encoder reads them: without their whole texts. It waits for no device."""
        none = RaggedTokens(self.tokens_BT.new_zeros(0), rows_U.new_zeros(len(rows_U) + 1))
        return Documents(self.tokens_BT[rows_U], self.mask_BT[rows_U], self.first_B[rows_U], none)

    def run(self, run: slice) -> Documents:
        """Those of a run, their whole texts included."""
        first, last = self.text.offsets[[run.start, run.stop]].tolist()
        text = RaggedTokens(
            self.text.values_W[first:last], self.text.offsets[run.start : run.stop + 1] - first
        )
        mean_BH = None if self.mean_BH is None else self.mean_BH[run]
        return Documents(self.tokens_BT[run], self.mask_BT[run], self.first_B[run], text, mean_BH, self.seen)

    def map(self, change: Callable[[Tensor], Tensor]) -> Documents:
        """The same with each tensor changed."""
        mean_BH = None if self.mean_BH is None else change(self.mean_BH)
        framed = (change(self.tokens_BT), change(self.mask_BT), change(self.first_B))
        return Documents(*framed, self.text.map(change), mean_BH, self.seen)

    def to(self, device: torch.device) -> Documents:
        """The same on another device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class LayerStates:
    """The encoder's states of its last N layers, the last one last."""

    layers: tuple[Tensor, ...]  # N x (B, T, H)
    documents: Documents
    gain_BNH: Tensor | None = None  # (B, N, 1 or H), applied only to what is read
    training: Training | None = None  # None at prediction, and of states that a part has asked for itself

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

    def take(self, rows_B: Tensor) -> RaggedLabels:
        """Those of some documents; on the host."""
        lengths_B = self.offsets.diff()[rows_B]
        ends_B = lengths_B.cumsum(0)
        starts_V = (self.offsets[rows_B] - ends_B + lengths_B).repeat_interleave(lengths_B)
        at_V = starts_V + torch.arange(len(starts_V))
        offsets = F.pad(ends_B, (1, 0))
        targets_V = None if self.targets_V is None else self.targets_V[at_V]
        return RaggedLabels(self.values_V[at_V], offsets, self.num_labels, self.most, targets_V)

    def run(self, run: slice) -> RaggedLabels:
        """Those of a run of documents."""
        first, last = self.offsets[[run.start, run.stop]].tolist()
        targets_V = None if self.targets_V is None else self.targets_V[first:last]
        offsets = self.offsets[run.start : run.stop + 1] - first
        return RaggedLabels(self.values_V[first:last], offsets, self.num_labels, self.most, targets_V)

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


def binary_cross_entropy(z_BK: Tensor, truth_BK: Tensor, run: slice = slice(None)) -> Tensor:
    """Over all clusters of a document, a mean over documents."""
    return F.binary_cross_entropy_with_logits(z_BK, truth_BK, reduction="sum") / len(z_BK)


@dataclass(frozen=True)
class Training:
    """What a forward pass is given in training, and never at prediction.

    Parts look at this argument, not at `self.training`, to know which of the two it is.
    """

    labels: RaggedLabels
    rng: torch.Generator  # on the device; every draw of a plugin comes from it
    # Which documents these are: their places in `build.train_labels`; -1 for a label's name, and -2 - i for
    # `build.unlabelled_documents[i]`.
    rows_B: Tensor
    cluster_cost: Callable[..., Tensor] = binary_cross_entropy  # the loss combiner's
    labelled: bool = True  # False: texts without labels, which cost nothing but losses of a combiner's own

    def run(self, run: slice, rng: torch.Generator) -> Training:
        """Of a run of the documents, with draws of their own."""
        return replace(self, labels=self.labels.run(run), rows_B=self.rows_B[run], rng=rng)


@dataclass(frozen=True)
class Shortlist:
    """The candidates of each document. Padding repeats one of the document's own candidates."""

    rank_BD: Tensor  # the document vector that the head reads
    ids_BC: Tensor
    mask_BC: Tensor  # bool, False at padding
    prior_BC: Tensor  # multiplies the candidate's score at prediction
    truth_BC: Tensor | None = None  # bool, in training; how true is for `training.labels` to say
    losses: Mapping[str, Tensor] = field(default_factory=dict)  # its own, in training: means over documents
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


@dataclass(frozen=True)
class Contributions:
    """What spans of a text's tokens add to the logits of U labels; a span may be there more than once."""

    spans_P2: Tensor  # int64, the first token of each and the one behind its last
    adds_PU: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Contributions]) -> Contributions:
        """All of them."""
        return cls(torch.cat([part.spans_P2 for part in parts]), torch.cat([part.adds_PU for part in parts]))


@dataclass(frozen=True)
class Voters:
    """Training documents that vote for the labels of one document: N of those that are kept."""

    places_N: Tensor  # int64, among the kept ones, which are in the order of the corpus
    kept: int  # how many are kept: all that were trained on, or a sample
    likeness_N: Tensor  # cosines
    share_N: Tensor  # of the vote: each label of the document gets so much
    labels: RaggedLabels  # of each
