"""Votes of the nearest training documents, as candidates and in the scores.

Once trained, a run keeps its training documents' vectors x_ND (`rank_BD`), centred and of length 1, and their
labels. At prediction the K nearest documents n of a document vote for their labels:

    u = (x - c) / |x - c|, c the mean of x over the training documents
    v_l = sum of p_n over the n that have label l, p = softmax over n of <u, u_n> / temperature
    logit_l = z_l + weight (log(v_l + eps) - log(eps))                      0 for what nobody votes for

The neighbours' distribution is that of kNN-LM (Khandelwal et al., ICLR 2020, equation 2), added to logits
instead of mixed with probabilities. A label outside the shortlist becomes a candidate, with its own cluster's
probability. `weight`, `temperature` and `eps` are fitted on the validation documents, by nDCG@5, then P@5.
The search is exact, or goes through an index (vector_search.py).

Shapes: N kept documents, B documents, K nearest, V labels of the nearest, X unique ones, C candidates,
D document width, G labels of all kept documents.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from xmlkit import (
    BuildContext,
    Documents,
    RaggedLabels,
    Reading,
    Run,
    Shortlist,
    Shortlister,
    Training,
    Vectors,
    Voters,
    hookimpl,
    nearest_vectors,
    say,
)

from . import vector_search

LABELS_A_NEIGHBOUR = 32  # that count on average: of all labels of the nearest, those of the nearest first
MOST = 500_000  # documents that are searched one by one, unless the settings say otherwise
RANKS = 5  # that the weights are fitted for
DEFAULTS = (0.5, 0.1, 0.01)  # weight, temperature and eps where nothing is held out
TEMPERATURES = (0.05, 0.1, 0.2)
ITSELF = 0.999  # cosine above which a document's vector is its own, for all that was rounded on the way
FLOORS = (0.003, 0.01, 0.03)
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)  # with more, scores would all be near 1


class Options(BaseModel, extra="forbid"):
    """Settings."""

    nearest: int = Field(default=50, ge=1, description="training documents that vote")
    most: int | None = Field(
        default=None,
        ge=1,
        description=f"training documents kept; of more, a random sample; none: {MOST:,}, all with an index",
    )
    search: Literal["exact", "index"] = Field(
        default="exact",
        description="index: through one of faiss, in the cache folder; finds nearly all of them",
    )

    def kept_of(self, total: int) -> int:
        """How many of so many training documents are kept."""
        return min(total, self.most or (MOST if self.search == "exact" else total))


@dataclass(frozen=True)
class Numbers:
    """How votes become logits; each 0-d."""

    weight: Tensor
    temperature: Tensor
    eps: Tensor

    def logits(self, votes: Tensor) -> Tensor:
        """At least 0, and 0 where there is no vote."""
        return self.weight * (votes / self.eps).log1p()


class Neighbours(Shortlister):
    """The inner candidates, with the nearest documents' votes for them and for others."""

    adds_votes = True
    sized = ("bank_ND", "values_G", "offsets")
    counted = ("centre_D", "fitted")
    bank_ND: Tensor
    values_G: Tensor
    offsets: Tensor
    centre_D: Tensor
    fitted: Tensor

    def __init__(self, inner: Shortlister, build: BuildContext, options: Options, rank_width: int):
        super().__init__(inner)
        self.options, self.num_labels, self.power = options, build.num_labels, build.cluster_power
        self._index: vector_search.Index | None = None
        self.register_buffer("bank_ND", torch.zeros(0, rank_width, dtype=torch.float16))
        self.register_buffer("values_G", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("offsets", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("centre_D", torch.zeros(rank_width))
        self.register_buffer("fitted", torch.tensor(DEFAULTS))

    @property
    def numbers(self) -> Numbers:
        """As fitted, or the defaults."""
        return Numbers(*self.fitted.unbind())

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist | None:
        """At prediction with votes, once there are documents to give them."""
        short = self._inner(vectors, documents, training)
        if training is not None or not len(self.values_G) or self._is_silent:
            return short
        cos_BK, at_BK = self.nearest(vectors.rank_BD, documents.seen)
        ids_BX, mask_BX, votes_BX = self.votes(cos_BK, at_BK, self.numbers.temperature)
        logits_BX, prior_BX = self.numbers.logits(votes_BX), self._prior_BX(vectors, ids_BX)
        if short is None:
            return _shortlist(vectors.rank_BD, ids_BX, mask_BX, prior_BX, logits_BX)
        return short.extended(ids_BX, mask_BX, None, prior_BX, logits_BX)

    def voters(self, vectors: Vectors, documents: Documents) -> Voters | None:
        """The nearest documents, as many as vote."""
        if not len(self.values_G) or self._is_silent:
            return None
        cos_1K, at_1K = self.nearest(vectors.rank_BD, documents.seen)
        share_K = (cos_1K[0] / self.numbers.temperature).softmax(0).nan_to_num()
        at_N, share_N = at_1K[0][share_K > 0], share_K[share_K > 0]
        all_labels = RaggedLabels(self.values_G.long(), self.offsets, self.num_labels, 0)
        labels = all_labels.map(Tensor.cpu).take(at_N.cpu())
        return Voters(at_N, len(self.bank_ND), cos_1K[0][share_K > 0], share_N, labels)

    def _inner(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist | None:
        asks = not self.every_label or self.inner.adds_votes
        return self.inner(vectors, documents, training) if asks else None

    @property
    def _is_silent(self) -> bool:
        """Whether it is known without waiting that no vote counts."""
        return _on_host(self.fitted) and float(self.fitted[0]) == 0

    def nearest(self, rank_BD: Tensor, seen: bool = False) -> tuple[Tensor, Tensor]:
        """Cosines and places of the K nearest documents, the nearest first.

        `seen`: without each document itself, once, whose cosine is then -inf; K is one more.
        """
        query_BD, most = F.normalize(rank_BD - self.centre_D, dim=1), self.options.nearest
        cos_BK, at_BK = self._search(query_BD, most + seen)
        if not seen:
            return cos_BK, at_BK
        places_K = torch.arange(cos_BK.shape[1], device=cos_BK.device)
        first_B1 = (cos_BK[:, :1] > ITSELF).long()
        counts_BK = (places_K >= first_B1) & (places_K < first_B1 + most)
        return cos_BK.masked_fill(~counts_BK, -torch.inf), at_BK

    def _search(self, query_BD: Tensor, most: int) -> tuple[Tensor, Tensor]:
        if self.options.search == "exact" or len(self.bank_ND) < vector_search.INDEXED_FROM:
            return nearest_vectors(query_BD, self.bank_ND, most)
        if self._index is None or self._index.bank_ND is not self.bank_ND:
            self._index = vector_search.Index(self.bank_ND)
        return self._index.nearest(query_BD, most)

    def votes(self, cos_BK: Tensor, at_BK: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The labels of these documents, each once, ascending (B, X); which are real; and v, 0 to 1."""
        share_BK = (cos_BK / temperature).softmax(1).nan_to_num()  # of a single document nobody is left
        first_BK, count = self.offsets[at_BK], at_BK.shape[1]
        sizes_BK = (self.offsets[at_BK + 1] - first_BK) * (share_BK > 0)
        ends_BK = sizes_BK.cumsum(1)
        most = min(count * LABELS_A_NEIGHBOUR, len(self.values_G))
        if _on_host(ends_BK):
            most = max(min(most, int(ends_BK[:, -1].max())), 1)
        places_BV = torch.arange(most, device=at_BK.device).expand(len(at_BK), most).contiguous()
        of_BV = torch.searchsorted(ends_BK, places_BV, right=True)
        mask_BV = of_BV < count
        of_BV = of_BV.clamp(max=count - 1)
        at_BV = (first_BK - ends_BK + sizes_BK).gather(1, of_BV) + places_BV
        ids_BV = self.values_G[at_BV.clamp(max=len(self.values_G) - 1)].long()
        return merged(ids_BV, mask_BV, share_BK.gather(1, of_BV), self.num_labels)

    def _prior_BX(self, vectors: Vectors, ids_BX: Tensor) -> Tensor:
        """What a shortlisted label's probability is multiplied by: its cluster's, to the run's power."""
        if self.clusters is None:
            return torch.ones_like(ids_BX, dtype=vectors.rank_BD.dtype)
        z_BK = self.cluster_logits_BK(vectors.recall_BD)
        return z_BK.gather(1, self.clusters.of(ids_BX)).sigmoid() ** self.power

    # --------------------------------------------------------------------------------- once it is trained

    def keep(self, read: Reading, seed: int) -> None:
        """Takes the training documents' vectors and labels, or those of a random sample of `most`."""
        labels, device = read.training.labels, self.centre_D.device
        total, rng = len(labels), torch.Generator().manual_seed(seed)
        kept, places_N = self.options.kept_of(total), torch.arange(total)
        if kept < total:
            places_N = torch.randperm(total, generator=rng)[:kept].sort().values
        x_ND = torch.zeros(len(places_N), len(self.centre_D))
        row = torch.zeros(total, dtype=torch.long).scatter(0, places_N, torch.arange(len(places_N)))
        for places_B, _, vectors in read.training.batches(places_N):
            x_ND[row[places_B]] = vectors.rank_BD.float().cpu()
        centre_D = x_ND.mean(0, dtype=torch.float64).float()
        x_ND.sub_(centre_D)
        x_ND.div_(x_ND.norm(dim=1, keepdim=True).clamp_(min=1e-12))
        is_kept = torch.zeros(total, dtype=torch.bool).index_fill(0, places_N, True)
        sizes_N = labels.offsets.diff()[places_N]
        self.centre_D, self.bank_ND = centre_D.to(device), x_ND.half().to(device)
        self.values_G = labels.values_V[is_kept[labels.documents_V]].int().to(device)
        self.offsets = F.pad(sizes_N.cumsum(0), (1, 0)).to(device)
        size = sum(kept.nbytes for kept in (self.bank_ND, self.values_G, self.offsets))
        of = f" of {total:,}" if kept < total else ""
        count = f"{len(places_N):,}{of} training documents"
        say(f"neighbours: the vectors and labels of {count} are kept: {size / 1e6:,.0f} MB")

    def fit(self, read: Reading) -> None:
        """Chooses the numbers: all of a grid are tried on the held-out documents, which are searched once."""
        self.fitted = torch.tensor(DEFAULTS, device=self.fitted.device)
        if not len(read.held_out.labels.values_V):
            say(f"neighbours: no held-out document has labels to fit its numbers to: {self._in_words()}")
            return
        self.fitted[0] = 0.0  # so that the model ranks without votes
        found = list(self._held_out(read))
        best: tuple[float, float] | None = None
        without = 0.0
        chosen = self.fitted
        for temperature, eps, weight in [(*DEFAULTS[1:], 0.0), *product(TEMPERATURES, FLOORS, WEIGHTS)]:
            tried = self.fitted.new_tensor([weight, temperature, eps])
            ids_NK = torch.full((len(read.held_out.labels), RANKS), -1)
            for batch in found:
                ids_NK[batch.places_B] = self._best(batch, Numbers(*tried.unbind())).cpu()
            metrics = read.metrics(ids_NK)
            figures = metrics["nDCG@5"], metrics["P@5"]
            if best is None:
                without = figures[0]
            if best is None or figures > best:
                best, chosen = figures, tried
        assert best is not None
        self.fitted = chosen
        say(
            f"neighbours: {self._in_words()}, with an nDCG@5 of {best[0]:.2f} on the held-out documents "
            f"({without:.2f} with a weight of 0)"
        )

    def _held_out(self, read: Reading) -> Iterator[_Batch]:
        """The labels that may be among the best: those voted for, and the best without votes."""
        for places_B, documents, vectors in read.held_out.batches():
            cos_BK, at_BK = self.nearest(vectors.rank_BD)
            ids_BX, mask_BX, votes_BX = self.votes(cos_BK, at_BK, self.numbers.temperature)
            inner = self._inner(vectors, documents, None)
            rank_BD = vectors.rank_BD if inner is None else inner.rank_BD  # what the head will read
            short = _shortlist(rank_BD, ids_BX, mask_BX, self._prior_BX(vectors, ids_BX), votes_BX)
            _, best_BK = read.rank(vectors, documents, RANKS)
            real_BK, best_BK = best_BK >= 0, best_BK.clamp(min=0)
            short = short.extended(best_BK, real_BK, None, self._prior_BX(vectors, best_BK))
            z_BC = read.logits_BC(short.rank_BD, short.ids_BC)
            yield _Batch(places_B, cos_BK, at_BK, short, z_BC)

    def _best(self, batch: _Batch, numbers: Numbers) -> Tensor:
        """Label ids, best first; -1 where there are fewer."""
        short = batch.short
        _, _, votes_BX = self.votes(batch.cos_BK, batch.at_BK, numbers.temperature)
        votes_BC = F.pad(votes_BX, (0, short.ids_BC.shape[1] - votes_BX.shape[1]))
        score_BC = F.logsigmoid(batch.z_BC + numbers.logits(votes_BC)) + short.prior_BC.log()
        score_BC = score_BC.masked_fill(~short.mask_BC, -torch.inf)
        at_BK = score_BC.topk(min(RANKS, score_BC.shape[1]), 1).indices
        ids_BK = short.ids_BC.gather(1, at_BK).masked_fill(~short.mask_BC.gather(1, at_BK), -1)
        return F.pad(ids_BK, (0, RANKS - ids_BK.shape[1]), value=-1)

    def _in_words(self) -> str:
        weight, temperature, eps = self.fitted.tolist()
        return f"weight {weight:g}, temperature {temperature:g}, eps {eps:g}"


@dataclass(frozen=True)
class _Batch:
    """Held-out documents, of which all but the numbers is known."""

    places_B: Tensor
    cos_BK: Tensor
    at_BK: Tensor
    short: Shortlist  # what is voted for, and then the others
    z_BC: Tensor


def merged(
    ids_BV: Tensor, mask_BV: Tensor, votes_BV: Tensor, num_labels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Equal ids of a row made one: ids (B, X), ascending, which are real, and the sums of their votes.

    Padding repeats the row's first id; where there is none, it is 0.
    """
    order = torch.where(mask_BV, ids_BV, num_labels).sort(dim=1, stable=True)  # what is not real comes last
    slots_BV = F.pad(order.values[:, 1:] != order.values[:, :-1], (1, 0)).cumsum(1)
    most = min(ids_BV.shape[1], num_labels + 1)
    if _on_host(ids_BV):
        most = int(slots_BV[:, -1].max()) + 1
    ids_BX = torch.full_like(ids_BV[:, :most], num_labels).scatter(1, slots_BV, order.values)
    votes_BV = (votes_BV * mask_BV).gather(1, order.indices)
    votes_BX = torch.zeros_like(votes_BV[:, :most]).scatter_add(1, slots_BV, votes_BV)
    mask_BX = ids_BX < num_labels
    return torch.where(mask_BX, ids_BX, ids_BX[:, :1] % num_labels), mask_BX, votes_BX


def _shortlist(
    rank_BD: Tensor, ids_BX: Tensor, mask_BX: Tensor, prior_BX: Tensor, votes_BX: Tensor
) -> Shortlist:
    """Of what is voted for alone; where there is nothing, label 0 is a candidate without votes."""
    mask_BX = torch.cat([torch.ones_like(mask_BX[:, :1]), mask_BX[:, 1:]], 1)
    return Shortlist(rank_BD, ids_BX, mask_BX, prior_BX, votes_BC=votes_BX)


def _on_host(tensor: Tensor) -> bool:
    """Whether its numbers can be looked at without waiting, so that less has to be padded."""
    return tensor.device.type == "cpu"


@hookimpl(wrapper=True)
def shortlist(build: BuildContext, rank_width: int) -> Generator[None, Shortlister, Shortlister]:
    """Around whatever the shortlist is."""
    inner = yield
    options = build.options(Options)
    if options.search == "index":
        vector_search.load_faiss()
    total = 0 if build.train_labels is None else len(build.train_labels)
    if (kept := options.kept_of(total)) < total:
        say(f"neighbours.most={kept}: of {total:,} training documents so many will be kept, at random")
    return Neighbours(inner, build, options, rank_width)


@hookimpl
def run_started(run: Run) -> None:
    """Says where documents might be compared by other vectors than those that are kept."""
    outermost = run.model.shortlister
    if not isinstance(outermost, Neighbours):
        around = type(outermost).__name__
        say(f"neighbours: {around} stands around it: if that changes document vectors, name neighbours last")


@hookimpl
def trained(run: Run, read: Reading) -> None:
    """Keeps the training documents, and fits the numbers."""
    for part in run.model.modules():
        if isinstance(part, Neighbours):
            part.keep(read, run.config.seed)
            part.fit(read)
