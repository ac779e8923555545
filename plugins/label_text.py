"""Label vectors that hold what the encoder makes of a label's name: w_l = row_l + s n(name_l).

n is the way of a document to the head, of length one, so that names and documents go through one encoder
(NGAME, Dahiya et al., WSDM 2023; DEXML, Gupta et al., ICLR 2024; UniDEC, Kharbanda et al., 2024), and s is
learnt. All names are encoded anew every `refresh` steps, before each evaluation and at the end; between these
n is a constant, unless `through` is set: then the names of a batch's true labels are encoded with it, and
their gradient reaches the encoder. With `start=warm` and every label scored, what rows begin with is less
s n, so that both together begin as what the encoder knows. Of a label that no training document has its name
alone is known: at the end P@k among such labels is said, where held-out documents have any.

Shapes: B documents, L labels, U some of them, R a batch's, T tokens, D and E widths, C candidates, K ranks.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from xmlkit import (
    BuildContext,
    Documents,
    Head,
    Incompatible,
    Reading,
    Run,
    Start,
    Training,
    hookimpl,
    say,
    unique_ids,
)

hooks_version = 2
AT_ONCE, RANKS = 256, 5  # names that are encoded in one go; of unseen labels


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    longest: int = Field(16, ge=4, le=512, description="tokens of a name that are read, special ones too")
    refresh: int = Field(200, ge=1, description="steps after which all names are encoded anew")
    through: bool = Field(False, description="whether true labels' names are learnt through, at their cost")
    scale: float = Field(0.1, gt=0, description="what s begins with, but for start=warm, which fits it")


class Named(Head):
    """Adds the names to the inner label vectors."""

    counted = ("names_LE",)
    knows_new_labels = True
    tokens_LT: Tensor
    mask_LT: Tensor
    first_L: Tensor
    is_named_L1: Tensor
    names_LE: Tensor

    def __init__(self, inner: Head, names: Documents, build: BuildContext, options: Options):
        super().__init__(inner)
        self.options, self._text = options, names.text
        self.register_buffer("tokens_LT", names.tokens_BT, persistent=False)
        self.register_buffer("mask_LT", names.mask_BT, persistent=False)
        self.register_buffer("first_L", names.first_B, persistent=False)
        self.register_buffer("is_named_L1", (names.text.offsets.diff() > 0)[:, None], persistent=False)
        self.register_buffer("names_LE", torch.zeros(build.num_labels, inner.width))
        self.scale = nn.Parameter(torch.tensor(options.scale))
        self._of_model = (build.encode, build.parts["representation"])  # in a tuple: no module of this part's
        batches = [0]
        self._batches = lambda: batches  # learnt from; a function, which a copy to be averaged has in common
        self._is_for_training, self._encoded_at = build.train_labels is not None, -1
        self._fresh: tuple[Tensor, Tensor] | None = None  # ids, ascending, and their names, with a graph

    def _encoded_UE(self, rows_U: Tensor) -> Tensor:
        """These labels' names on a document's way to the head."""
        encode, representation = self._of_model
        names = Documents(self.tokens_LT, self.mask_LT, self.first_L, self._text)
        query_UE = self.inner.query_BE(representation(encode(names.framed(rows_U))).rank_BD)
        return F.normalize(query_UE, dim=1, eps=1e-6) * self.is_named_L1[rows_U]

    @torch.no_grad()
    def refresh(self, first: int = 0) -> None:
        """Encodes all names, or those from this one on, by the encoder as it is, without dropout."""
        modes = {part: part.training for part in (self._of_model[1], self)}
        for part in modes:
            part.eval()
        for rows_U in torch.arange(first, len(self.names_LE), device=self.names_LE.device).split(AT_ONCE):
            self.names_LE[rows_U] = self._encoded_UE(rows_U).to(self.names_LE)
        for part, was_training in modes.items():
            part.train(was_training)
        self._fresh, self._encoded_at = None, self._batches()[0]

    def labels_added(self, count: int) -> None:
        """Their names are encoded; those of the others stay as they are."""
        super().labels_added(count)
        self.refresh(len(self.names_LE) - count)

    @torch.no_grad()
    def take_start(self, start: Start) -> None:
        """Rows begin as the start less the names; narrow ones as the start, and the names' scale at zero."""
        self.inner.take_start(start)
        self.refresh()
        self.scale.zero_()
        if self.names_LE.shape == start.vectors_RD.shape:
            count = self.is_named_L1.sum().clamp(min=1)
            self.scale.copy_((start.vectors_RD * self.names_LE).sum() / count)
            self.inner.take_start(replace(start, vectors_RD=start.vectors_RD - self.scale * self.names_LE))

    def take_batch(self, training: Training | None) -> None:
        """True labels' names with a graph; at prediction all names by the encoder as it is."""
        super().take_batch(training)
        self._fresh = None
        if training is None:
            if self._is_for_training and self._encoded_at != self._batches()[0]:
                self.refresh()
            return
        self._batches()[0] += 1
        if self.options.through and torch.is_grad_enabled() and len(training.labels.values_V):
            rows_U = unique_ids(training.labels.values_V, len(self.names_LE))[0].sort().values
            self._fresh = rows_U, self._encoded_UE(rows_U)

    def _names_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Those that are kept, and of labels of the batch the fresh ones."""
        if self._fresh is None:
            return self.names_LE[rows_U]
        fresh_R, fresh_RE = self._fresh
        ids_U = torch.arange(len(self.names_LE), device=fresh_R.device)[rows_U]
        at_U = torch.searchsorted(fresh_R, ids_U).clamp(max=len(fresh_R) - 1)
        return torch.where((fresh_R[at_U] == ids_U)[:, None], fresh_RE[at_U], self.names_LE[ids_U])

    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Row and name."""
        return self.inner.label_vectors_UE(rows_U) + self.scale * self._names_UE(rows_U)

    def products_BU(self, query_BE: Tensor, rows_U: Tensor | slice) -> Tensor:
        """The inner part's, and the names' beside them: their sum is not made."""
        of_rows_BU = self.inner.vector_maker.products_BU(query_BE, rows_U)
        return of_rows_BU + self.scale * (query_BE @ self._names_UE(rows_U).T)


@hookimpl(wrapper=True)
def head(build: BuildContext) -> Generator[None, Head, Head]:
    """Around whatever the head is. Raises Incompatible where names are to be learnt through and can't."""
    inner = yield
    options = build.options(Options)
    names = build.name_documents(options.longest)
    if names is None:
        if build.train_labels is not None:
            say("label-text: nothing to do, since labels have no names, or there is no encoder")
        return inner
    if options.through and build.parts["shortlist"].labels_at_once:  # type: ignore[attr-defined]
        raise Incompatible("label-text.through=true needs all labels of a step at once: leave out full-head")
    return Named(inner, names, build, options)


def _named(run: Run) -> list[Named]:
    return [part for part in run.model.modules() if isinstance(part, Named)]


@hookimpl
def run_started(run: Run) -> None:
    """Names are there from the first step on; a run that goes on has them already."""
    for part in (part for part in _named(run) if not part.names_LE.any()):
        part.refresh()


@hookimpl
def step_ended(run: Run, step: int) -> None:
    """Every `refresh` steps."""
    for part in (part for part in _named(run) if step % part.options.refresh == 0):
        part.refresh()


@hookimpl
def trained(run: Run, read: Reading) -> None:
    """The names by the best encoder, and how well labels are found that no training document has."""
    for part in _named(run):
        part.refresh()
        _say_of_unseen(read)


def _say_of_unseen(read: Reading) -> None:
    truth, seen = read.held_out.labels, read.training.labels.values_V
    unseen = torch.arange(truth.num_labels)[~torch.isin(torch.arange(truth.num_labels), seen)]
    places = torch.unique(truth.documents_V[torch.isin(truth.values_V, unseen)])
    hits_K = torch.zeros(min(RANKS, len(unseen)))
    for batch_B, _, vectors in read.held_out.batches(places) if len(places) else ():
        ids_BC = unseen.to(vectors.rank_BD.device).expand(len(batch_B), -1)
        best_BK = unseen[read.logits_BC(vectors.rank_BD, ids_BC).topk(len(hits_K), 1).indices.cpu()]
        hits_K += truth.take(batch_B).contains(best_BK).sum(0)
    if len(places):
        found_K = (100 * hits_K.cumsum(0) / torch.arange(1, len(hits_K) + 1) / len(places)).tolist()
        say(
            f"label-text: {len(unseen):,} labels have no training document; of {len(places):,} held-out "
            f"documents that have one, P@1 {found_K[0]:.1f} and P@{len(hits_K)} {found_K[-1]:.1f} among these"
        )
