"""The default shortlists: none, and the labels of the likeliest clusters.

B documents, D document width, K clusters, M labels of the largest cluster, S shortlisted clusters,
C candidates.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xmlkit.distributed import collectives
from xmlkit.distributed.share import own_rows
from xmlkit.doors import Shortlister
from xmlkit.hooks import BuildContext
from xmlkit.model.prior import prior_log_odds
from xmlkit.model.projection import projection
from xmlkit.model.start import centring, take_rows
from xmlkit.passing import Documents, RaggedLabels, Shortlist, Start, Training, Vectors
from xmlkit.tables import ClusterTable, RowTable


class EveryLabel(Shortlister):
    """Every label is scored. An object, since pluggy takes None for "no answer"."""

    every_label = True
    loss_names = ()

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist | None:
        """Never called: there is no shortlist to make, and it has no votes."""
        raise AssertionError("with every label scored there is no shortlist to make")


class TopClusters(Shortlister):
    """All labels of the S clusters that score highest (LightXML, 2021, 3.2 and 3.3).

    A linear layer scores the clusters, a row and a bias each; its loss Lg is what the loss combiner has
    clusters cost, by default binary cross-entropy, against those that hold a true label, each as true as the
    truest of them. In training these come first, and where a document has more of them than S its other true
    labels are added, so that none is ever missing. The candidates that are not true are the dynamic
    negatives: those that the model itself finds likely at this step.

    A label's score is its own probability times its cluster's to the power `cluster_power`. LightXML's 1
    counts a cluster twice, since the label's probability is already learnt among the candidates alone.

    With `start=prior` the weights begin at zero and each bias at the log odds of the average density;
    `start=warm` begins likewise, reads document vectors centred and of length one, and waits for
    `take_start`.

    Of several ranks each scores the clusters that it has the rows of, where these can be costed apart. Then
    the likeliest of each are exchanged, (B, S) numbers, and no scores of all clusters.
    """

    every_label = False
    loss_names = ("generator",)

    def __init__(self, build: BuildContext, recall_width: int):
        super().__init__()
        assert build.clusters is not None
        self._clusters = build.clusters
        self.top = min(build.shortlist, build.clusters.num_clusters)
        self.power, self.reduction = build.cluster_power, build.reduction
        narrow = build.cluster_width
        self.centre = centring(build, recall_width)
        self.narrow = projection(build, recall_width, narrow) if narrow else nn.Identity()
        width, num_clusters = narrow or recall_width, build.clusters.num_clusters
        random = nn.Linear(width, num_clusters) if build.start == "random" else None
        self.rows, self.biases = RowTable(num_clusters, width), RowTable(num_clusters, 1)
        self.biases.weight_decay = 0.0
        with torch.no_grad():
            if random:
                self.rows.weight.copy_(random.weight)
                self.biases.weight.copy_(random.bias[:, None])
            else:
                self.rows.weight.zero_()
                self.biases.weight.fill_(prior_log_odds(*_density(build)))

    @property
    def clusters(self) -> ClusterTable:
        """Those of the run."""
        return self._clusters

    def cluster_logits_BK(self, recall_BD: Tensor) -> Tensor:
        """Linear in the document vector."""
        return self._logits_BU(recall_BD, slice(None))

    def _logits_BU(self, recall_BD: Tensor, run: slice) -> Tensor:
        query_BE = self.narrow(self.centre(recall_BD))
        return self.rows.products_BU(query_BE, run) + self.biases(run).squeeze(1)

    @torch.no_grad()
    def take_start(self, start: Start) -> None:
        """Cluster rows and biases that score as the start does, as far as a narrower space holds it."""
        take_rows(start, self.centre, self.narrow, self.rows, self.biases)

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist:
        """C = S x M, and in training as many more as a document of the batch has labels, where needed."""
        losses = {}
        if self.share is None:
            z_BK = self.cluster_logits_BK(vectors.recall_BD)
        else:
            with own_rows(self.share):
                z_BK = self._logits_BU(vectors.recall_BD, self.share.run)
        rank_BK = z_BK.detach()
        if training:
            truth_BK = self._truth_BK(z_BK, training.labels)
            losses = {"generator": self._cost(z_BK, truth_BK, training)}
            # True ones first, by score among themselves.
            rank_BK = rank_BK + (self._span_B1(rank_BK) + 1) * truth_BK.ceil()
        clusters_BS, z_BS = self._best(rank_BK, z_BK.detach())
        ids_BC, mask_BC = self.clusters.labels_of(clusters_BS)
        prior_BS = z_BS.sigmoid() ** self.power
        prior_BC = prior_BS.repeat_interleave(self.clusters.largest, 1)
        truth_BC = training.labels.contains(ids_BC) & mask_BC if training else None
        short = Shortlist(vectors.rank_BD, ids_BC, mask_BC, prior_BC, truth_BC, losses, clusters_BS)
        # As many labels as clusters fit lie in at most that many clusters.
        if training and training.labels.most > self.top:
            short = short.extended(*training.labels.padded, training)
        return short

    # What follows has all clusters, or those of `share`.

    def _truth_BK(self, z_BK: Tensor, labels: RaggedLabels) -> Tensor:
        """How true each cluster is of each document: as its truest label."""
        flat, clusters_V = z_BK.new_zeros(z_BK.numel() + 1), self.clusters.of(labels.values_V)
        places_V = labels.documents_V * z_BK.shape[1] + clusters_V
        if self.share is not None:  # what others have goes to the end
            places_V = places_V - self.share.run.start
            places_V = torch.where(self.share.owns(clusters_V), places_V, z_BK.numel())
        if labels.targets_V is None:
            flat.scatter_(0, places_V, 1.0)  # flat[places_V] = 1.0 would wait
        else:
            flat = flat.scatter_reduce(0, places_V, labels.targets_V, "amax")
        return flat[:-1].view_as(z_BK)

    def _cost(self, z_BK: Tensor, truth_BK: Tensor, training: Training) -> Tensor:
        if self.share is None:
            return training.cluster_cost(z_BK, truth_BK)
        if not len(self.share):
            return collectives.summed(z_BK.sum(), is_last=True)
        cost = training.cluster_cost(z_BK, truth_BK, self.share.run)
        if self.reduction == "mean":
            cost = cost * (len(self.share) / self.share.total)
        return collectives.summed(cost, is_last=True)

    def _span_B1(self, rank_BK: Tensor) -> Tensor:
        """From the lowest of all clusters to the highest."""
        if self.share is None:
            return rank_BK.amax(1, keepdim=True) - rank_BK.amin(1, keepdim=True)
        ends_B2 = F.pad(torch.stack([rank_BK, -rank_BK], 1), (0, 1), value=-torch.inf).amax(2)
        return collectives.greatest_in_place(ends_B2).sum(1, keepdim=True)

    def _best(self, rank_BK: Tensor, z_BK: Tensor) -> tuple[Tensor, Tensor]:
        """The S clusters that rank highest, and their logits."""
        best_BS, at_BS = rank_BK.topk(min(self.top, rank_BK.shape[1]), 1)
        z_BS = z_BK.gather(1, at_BS)
        if self.share is None:
            return at_BS, z_BS
        of_each = [min(self.top, size) for size in self.share.sizes]
        found = (best_BS, at_BS + self.share.run.start, z_BS)
        best_BX, ids_BX, z_BX = (collectives.gathered(some.T.contiguous(), of_each).T for some in found)
        at_BS = best_BX.topk(self.top, 1).indices
        return ids_BX.gather(1, at_BS), z_BX.gather(1, at_BS)


def _density(build: BuildContext) -> tuple[int, int]:
    """True pairs of a training document and a cluster, and all such pairs."""
    labels, clusters = build.train_labels, build.clusters
    if labels is None or clusters is None:
        return 0, 0
    pairs = labels.documents_V * clusters.num_clusters + clusters.of(labels.values_V)
    return len(torch.unique(pairs)), len(labels) * clusters.num_clusters
