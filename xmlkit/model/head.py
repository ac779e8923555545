"""The default head, and the same for prediction.

B documents, D document width, E label width, L labels, U unique labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from xmlkit.distributed.share import own_rows
from xmlkit.doors import Head, Shortlister
from xmlkit.hooks import BuildContext
from xmlkit.model.device import full_precision
from xmlkit.model.prior import prior_log_odds
from xmlkit.model.projection import projection
from xmlkit.model.start import Centred, centring, take_rows
from xmlkit.passing import Start
from xmlkit.tables import RowTable

LABELS_AT_ONCE = 65_536  # whose vectors, or scores, are computed in one go


class RowHead(Head):
    """One row a label, to multiply the document vector with (LightXML, 2021, 3.1 and 3.4).

    Where every label is scored E = D; where there are clusters the document vector is projected to E. Biases
    are rows of one element. With `start=prior` label rows begin at zero and biases at the log odds of a
    scored label's being true; a projection does not, since of a product's two sides one must not be zero.
    `start=warm` begins likewise, reads document vectors centred and of length one, and waits for
    `take_start`. With `start=random` rows begin as LightXML's do: as those of a linear layer, or, behind a
    projection, Xavier-uniform and without biases.
    """

    stores_vectors = True

    def __init__(self, build: BuildContext, rank_width: int):
        super().__init__()
        width = build.label_width if build.clusters else rank_width
        self.centre = centring(build, rank_width)
        self.project = projection(build, rank_width, width) if build.clusters else nn.Identity()
        random = build.start == "random"
        linear = nn.Linear(rank_width, build.num_labels) if random and not build.clusters else None
        self.rows = RowTable(build.num_labels, width, build.row_dtype)
        self.biases = None if random and build.clusters else RowTable(build.num_labels, 1)
        with torch.no_grad():
            if linear:
                self.rows.weight.copy_(linear.weight)
            elif random:
                nn.init.xavier_uniform_(self.rows.weight)
            else:
                self.rows.weight.zero_()
            if self.biases is not None:
                self.biases.weight_decay = 0.0
                prior = prior_log_odds(*_density(build))
                self.biases.weight.copy_(linear.bias[:, None] if linear else torch.tensor(prior))

    @property
    def width(self) -> int:
        """E."""
        return self.rows.embedding_dim

    @torch.no_grad()
    def take_start(self, start: Start) -> None:
        """Rows and biases that score as the start does, as far as E dimensions hold its vectors."""
        assert self.biases is not None
        take_rows(start, self.centre, self.project, self.rows, self.biases)

    @torch.no_grad()
    def labels_added(self, count: int) -> None:
        """Of new labels nothing is known: rows of zero, and the median bias."""
        self.rows.weight[-count:] = 0.0
        if self.biases is not None:
            self.biases.weight[-count:] = self.biases.weight[:-count].median()

    def query_BE(self, rank_BD: Tensor) -> Tensor:
        """Projected."""
        return self.project(self.centre(rank_BD))

    def directions_UD(self, rank_1D: Tensor, vectors_UE: Tensor) -> Tensor:
        """Back through the projection, over the length of the centred vector."""
        if isinstance(self.project, nn.Linear):
            vectors_UE = vectors_UE @ self.project.weight
        return vectors_UE / self.centre.length_B1(rank_1D) if isinstance(self.centre, Centred) else vectors_UE

    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Rows of the table, in full precision whatever they are kept in."""
        return full_precision(self.rows(rows_U))

    def products_BU(self, query_BE: Tensor, rows_U: Tensor | slice) -> Tensor:
        """The table multiplies in runs of rows."""
        return self.rows.products_BU(query_BE, rows_U)

    def label_bias_U(self, rows_U: Tensor | slice) -> Tensor | float:
        """Elements of the table of biases."""
        return 0.0 if self.biases is None else self.biases(rows_U).squeeze(1)


class FixedLabels(Head):
    """A head whose label vectors have been computed once, for prediction."""

    stores_vectors = True

    @torch.no_grad()
    def __init__(self, head: Head, num_labels: int):
        super().__init__(head)
        was_training = head.training
        head.eval()  # whoever asks: a prediction has no dropout
        head.take_batch(None)
        self.share = head.share
        every = self.share.run if self.share is not None else slice(0, num_labels)
        with own_rows(self.share):
            runs = [head.label_vectors_UE(run) for run in runs_of_labels(every.stop, begin=every.start)]
        if not runs:  # a rank without labels
            runs = [torch.zeros(0, head.width, device=next(head.parameters()).device)]
        self.vectors_LE = torch.cat(runs)
        head.train(was_training)

    def label_vectors_UE(self, rows_U: Tensor | slice) -> Tensor:
        """Those that were computed."""
        return self.vectors_LE[self.share.inside(rows_U)[1] if self.share is not None else rows_U]


def runs_of_labels(end: int, at_once: int = LABELS_AT_ONCE, begin: int = 0) -> Iterator[slice]:
    """All labels up to this, few enough at a time for what is computed of each."""
    for start in range(begin, end, at_once):
        yield slice(start, min(start + at_once, end))


def for_prediction(head: Head, num_labels: int) -> Head:
    """The head, with label vectors that will not be computed again where they are not in a table already."""
    return head if head.vector_maker.stores_vectors else FixedLabels(head, num_labels)


def _density(build: BuildContext) -> tuple[int, int]:
    """True pairs of a training document and a label that is scored for it, and all such pairs."""
    labels, clusters, shortlister = build.train_labels, build.clusters, build.parts.get("shortlist")
    if labels is None:
        return 0, 0
    if isinstance(shortlister, Shortlister) and shortlister.every_label:
        clusters = None  # which a plugin doesn't read
    top = min(build.shortlist, clusters.num_clusters) if clusters else 1
    scored = round(len(labels) * top * build.num_labels / (clusters.num_clusters if clusters else 1))
    return len(labels.values_V), scored
