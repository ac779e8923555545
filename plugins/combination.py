"""A combination block: the document vector, its tokens, and labels that occur together.

After DECAF (Mittal et al., WSDM 2021, 3.2) and Bonsai's label co-occurrence (Khandagale et al., 2020):

    out = relu(alpha) * x + relu(beta) * fit_t(t) + relu(gamma) * fit_y(y)

elementwise, with alpha, beta and gamma learnt from 1, so that a term that hurts can be pushed to zero. Each
fit is a projection that begins at zero: the model starts exactly as it would without the plugin.

    x  the document vector
    t  its tokens: `tokens=runs`, as the seed's branch has it, cuts the last layer's states into N runs and
       sums each (padding never counts, and each token is in one run); `tokens=mean` takes the mean of every
       kept layer
    y  labels that occur together with the document's likely ones in the training documents: of the `likely`
       clusters that the model itself finds most likely, their `neighbours` most frequent labels, each with a
       learnt row of `width`. Never the true clusters, so that training and prediction see the same.

`where` it stands: `document` changes what the shortlist and the ranker see; `classifier` the ranker's vector
alone (the seed: "for the discriminator"); `labels` is DECAF's label side, label vectors v instead of
documents, with the encoded names of the labels as t, where the corpus has names, and the mean of co-occurring
labels' own vectors as y.

Shapes: B documents, T tokens, N layers, H encoder width, D document width, K clusters, L labels, E label
width, P neighbours, Q = likely x P, W width of a neighbour's row, U unique labels.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from xmlkit import (
    BuildContext,
    Documents,
    Head,
    LayerStates,
    Representation,
    RowTable,
    Run,
    Shortlist,
    Shortlister,
    Training,
    Vectors,
    cooccurring_labels,
    hookimpl,
    say,
    unique_ids,
)


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    where: Literal["document", "classifier", "labels"] = Field("document", description="what is combined")
    tokens: Literal["runs", "mean"] = Field("runs", description="how a document's tokens become one vector")
    cooccurrence: bool = Field(True, description="the term of labels that occur together")
    text: bool = Field(True, description="with where=labels, the term of the labels' names")
    neighbours: int = Field(4, ge=1, description="labels that occur with a label or cluster most often")
    likely: int = Field(4, ge=1, description="clusters that a document's neighbours come from")
    width: int = Field(64, ge=1, description="of a neighbour's row")
    learning_rate: float = Field(1e-4, gt=0, description="of the projections")


class Fit(nn.Linear):
    """A term's projection; at zero to begin with."""

    def __init__(self, width: int, out: int, learning_rate: float):
        super().__init__(width, out)
        self.learning_rate = learning_rate
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class Weights(nn.Module):
    """alpha, beta and gamma of one block, (terms, D), and the sum of the rates at which they were stepped."""

    rates: Tensor

    def __init__(self, names: list[str], width: int):
        super().__init__()
        self.names = names
        # One parameter each, and so one dimension: vectors are not decayed, which would do the pushing.
        self.of = nn.ParameterDict({name: nn.Parameter(torch.ones(width)) for name in names})
        self.register_buffer("rates", torch.zeros((), dtype=torch.float64))

    def forward(self, name: str) -> Tensor:
        """relu of one."""
        return self.of[name].relu()

    def means(self, of: str) -> dict[str, Tensor]:
        """For the log: what each is on average as it is used, under the name of the vector that it makes."""
        return {f"combination/{of}/{name}": self(name).detach().mean() for name in self.names}


class WithTokens(Representation):
    """alpha, and beta for the tokens: of both vectors, or of the ranker's alone."""

    def __init__(self, inner: Representation, build: BuildContext, options: Options):
        super().__init__(inner)
        self.classifier, self.runs = options.where == "classifier", options.tokens == "runs"
        width = build.num_layers * build.hidden
        self.rank = self._block(self.rank_width, width, options)
        parted = self.recall_width != self.rank_width and not self.classifier
        self.recall = self._block(self.recall_width, width, options) if parted else None

    def _block(self, out: int, width: int, options: Options) -> nn.ModuleDict:
        fit = Fit(width, out, options.learning_rate)
        return nn.ModuleDict({"weights": Weights(["alpha", "beta"], out), "fit": fit})

    def forward(self, states: LayerStates) -> Vectors:
        """As wide as without it."""
        t_BD = self._runs_BD(states) if self.runs else self._means_BD(states)

        def combined(block: nn.ModuleDict) -> Callable[[Tensor], Tensor]:
            weights, fit = block["weights"], block["fit"]
            return lambda x_BD: weights("alpha") * x_BD + weights("beta") * fit(t_BD)

        rank = combined(self.rank)
        recall = _same if self.classifier else combined(self.recall) if self.recall else rank
        return self.inner(states).map(recall, rank)

    def report(self) -> dict[str, Tensor]:
        """The weights too."""
        return {**super().report(), **_means(self)}

    def _runs_BD(self, states: LayerStates) -> Tensor:
        mask_BT, layers = states.documents.mask_BT, len(states.layers)
        places_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
        run_BT = (places_T * layers // mask_BT.sum(1, keepdim=True)).clamp(max=layers - 1)
        of_BTN = F.one_hot(run_BT, layers) * mask_BT[..., None]
        states_BTH = states.layer_BTH(-1)
        return torch.einsum("btn,bth->bnh", of_BTN.to(states_BTH.dtype), states_BTH).flatten(1)

    def _means_BD(self, states: LayerStates) -> Tensor:
        share_BT1 = (states.documents.mask_BT / states.documents.mask_BT.sum(1, keepdim=True))[..., None]
        layers = (states.layer_BTH(n) for n in range(len(states.layers)))
        return torch.cat([(layer_BTH * share_BT1.to(layer_BTH.dtype)).sum(1) for layer_BTH in layers], 1)


class WithCooccurrence(Shortlister):
    """gamma: the neighbours of the clusters that the model itself finds likely; no truth is looked at."""

    counted = ("ids_KP", "shares_KP")
    ids_KP: Tensor
    shares_KP: Tensor

    def __init__(
        self, inner: Shortlister, build: BuildContext, recall_width: int, rank_width: int, options: Options
    ):
        super().__init__(inner)
        assert inner.clusters is not None
        clusters, self.classifier = inner.clusters, options.where == "classifier"
        self.likely = min(options.likely, clusters.num_clusters)
        group_of_L = clusters.of(torch.arange(build.num_labels))
        ids_KP, shares_KP = _neighbours(build, options.neighbours, clusters.num_clusters, group_of_L)
        self.register_buffer("ids_KP", ids_KP)
        self.register_buffer("shares_KP", shares_KP)
        self.rows = RowTable(build.num_labels, options.width)
        self.rank = self._block(rank_width, options)
        parted = recall_width != rank_width and not self.classifier
        self.recall = self._block(recall_width, options) if parted else None

    def _block(self, out: int, options: Options) -> nn.ModuleDict:
        fit = Fit(options.width, out, options.learning_rate)
        return nn.ModuleDict({"weights": Weights(["gamma"], out), "fit": fit})

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist:
        """The inner shortlist, of documents with the new term, or with the term for the ranker alone."""
        y_BW = self.neighbourhood_BW(vectors.recall_BD)

        def combined(block: nn.ModuleDict) -> Callable[[Tensor], Tensor]:
            weights, fit = block["weights"], block["fit"]
            return lambda x_BD: x_BD + weights("gamma") * fit(y_BW)

        rank = combined(self.rank)
        if self.classifier:
            short = self.inner(vectors, documents, training)
            return replace(short, rank_BD=rank(short.rank_BD))
        recall = combined(self.recall) if self.recall else rank
        return self.inner(vectors.map(recall, rank), documents, training)

    def report(self) -> dict[str, Tensor]:
        """The weights too."""
        return {**super().report(), **_means(self)}

    def neighbourhood_BW(self, recall_BD: Tensor) -> Tensor:
        """The mean row of the likely clusters' neighbours, weighed by how likely and how frequent."""
        z_BK = self.cluster_logits_BK(recall_BD).detach()
        likely_BS, clusters_BS = z_BK.sigmoid().topk(self.likely, 1)
        likely_BS = likely_BS / likely_BS.sum(1, keepdim=True)
        ids_BQ = self.ids_KP[clusters_BS].flatten(1)
        weights_BQ = (self.shares_KP[clusters_BS] * likely_BS[..., None]).flatten(1)
        return _weighed_rows(self.rows, ids_BQ, weights_BQ)


class CombinedLabels(Head):
    """The label side: alpha v + beta (its name) + gamma (the mean of its neighbours' v)."""

    counted = ("ids_LP", "shares_LP")
    ids_LP: Tensor
    shares_LP: Tensor
    names_LH: Tensor

    def __init__(self, inner: Head, build: BuildContext, options: Options):
        super().__init__(inner)
        width, rate = self.width, options.learning_rate
        self.text = options.text and build.has_label_text and build.num_layers > 0
        terms = ["alpha", *(["beta"] if self.text else []), *(["gamma"] if options.cooccurrence else [])]
        self.weights = Weights(terms, width)
        if self.text:
            names_LH = build.label_text_LH
            empty_LH = torch.zeros(build.num_labels, build.hidden)
            self.register_buffer("names_LH", empty_LH if names_LH is None else names_LH)
            self.fit_names = Fit(build.hidden, width, rate)
        self.cooccurrence = options.cooccurrence
        if self.cooccurrence:
            ids_LP, shares_LP = _neighbours(build, options.neighbours, build.num_labels, None)
            self.register_buffer("ids_LP", ids_LP)
            self.register_buffer("shares_LP", shares_LP)
            self.fit_neighbours = Fit(width, width, rate)

    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Of the inner head's vectors, its neighbours' included."""
        v_UE = self.weights("alpha") * self.inner.label_vectors_UE(rows_U)
        if self.text:
            v_UE = v_UE + self.weights("beta") * self.fit_names(self.names_LH[rows_U])
        if self.cooccurrence:
            mean_UE = _weighed_rows(self.inner.label_vectors_UE, self.ids_LP[rows_U], self.shares_LP[rows_U])
            v_UE = v_UE + self.weights("gamma") * self.fit_neighbours(mean_UE)
        return v_UE

    def report(self) -> dict[str, Tensor]:
        """The weights too."""
        return {**super().report(), **self.weights.means("label")}


def _means(part: WithTokens | WithCooccurrence) -> dict[str, Tensor]:
    """Of the ranker's vector, and of the shortlist's where it has weights of its own."""
    blocks: dict[str, Any] = {"rank": part.rank, "recall": part.recall}
    told = (block["weights"].means(of) for of, block in blocks.items() if block)
    return {name: mean for means in told for name, mean in means.items()}


def _same(x_BD: Tensor) -> Tensor:
    return x_BD


def _neighbours(
    build: BuildContext, top: int, groups: int, group_of_L: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Ids and shares, (groups, top); for a saved model their shape alone, as the weights file brings them."""
    labels = build.train_labels
    if labels is None:
        return torch.zeros(groups, top, dtype=torch.long), torch.zeros(groups, top)
    group = None if group_of_L is None else group_of_L.numpy()
    values, offsets = labels.values_V.numpy(), labels.offsets.numpy()
    ids, shares = cooccurring_labels(values, offsets, build.num_labels, top, group)
    missing = (0, 0, 0, groups - len(ids))  # groups behind the last that any document has
    return F.pad(torch.from_numpy(ids), missing), F.pad(torch.from_numpy(shares), missing)


def _weighed_rows(rows: Callable[[Tensor], Tensor], ids_BQ: Tensor, weights_BQ: Tensor) -> Tensor:
    """The weighed sum of each line's rows; each row is computed once."""
    ids_U, slots_BQ = unique_ids(ids_BQ)
    rows_UE = rows(ids_U)
    return F.embedding_bag(slots_BQ, rows_UE, mode="sum", per_sample_weights=weights_BQ.to(rows_UE.dtype))


@hookimpl(wrapper=True)
def representation(build: BuildContext) -> Generator[None, Representation, Representation]:
    """The tokens' term, for documents."""
    inner, options = (yield), build.options(Options)
    if options.where == "labels":
        return inner
    if not build.num_layers:
        if build.train_labels is not None:
            say("combination: no term for tokens, since without an encoder they have no states")
        return inner
    return WithTokens(inner, build, options)


@hookimpl(wrapper=True)
def shortlist(
    build: BuildContext, recall_width: int, rank_width: int
) -> Generator[None, Shortlister, Shortlister]:
    """The co-occurrence term, for documents."""
    inner, options = (yield), build.options(Options)
    if options.where == "labels" or not options.cooccurrence:
        return inner
    if inner.every_label or inner.clusters is None:
        if build.train_labels is not None:
            say("combination: no co-occurrence term, since there are no clusters to find likely labels by")
        return inner
    return WithCooccurrence(inner, build, recall_width, rank_width, options)


@hookimpl(wrapper=True)
def head(build: BuildContext) -> Generator[None, Head, Head]:
    """The label side."""
    inner, options = (yield), build.options(Options)
    return CombinedLabels(inner, build, options) if options.where == "labels" else inner


@hookimpl
def step_ended(run: Run, step: int, report: dict[str, Tensor]) -> None:
    """Adds up the rates that the weights were stepped at: about as far as AdamW can move a weight."""
    for module in run.model.modules():
        if isinstance(module, Weights):
            module.rates += run.rate_of(next(iter(module.of.values())))


@hookimpl
def run_ended(run: Run, outcome: str) -> None:
    """How far the weights came by the last step, and whether any term was pushed to zero."""
    if outcome == "failed":  # what is said of it is said elsewhere
        return
    for module in run.model.modules():
        if isinstance(module, Weights):
            reach = float(module.rates)
            for name in module.names:
                weights = module.of[name].detach()
                zero = float((weights <= 0).float().mean())
                moved = float((weights - 1).abs().mean())
                hint = "" if reach >= 1 else ": too little for anything to reach 0"
                say(
                    f"combination: {name} moved by {moved:.3f} from 1 on average, {zero:.1%} reached 0; "
                    f"its learning rates sum to {reach:.2f}{hint}"
                )
