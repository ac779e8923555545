"""The default shortlists: none, and the labels of the likeliest clusters.

B documents, D document width, K clusters, M labels of the largest cluster, S shortlisted clusters,
C candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
    """

    every_label = False
    loss_names = ("generator",)

    def __init__(self, build: BuildContext, recall_width: int):
        super().__init__()
        assert build.clusters is not None
        self._clusters = build.clusters
        self.top = min(build.shortlist, build.clusters.num_clusters)
        self.power = build.cluster_power
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
        every = slice(None)
        query_BE = self.narrow(self.centre(recall_BD))
        return self.rows.products_BU(query_BE, every) + self.biases(every).squeeze(1)

    @torch.no_grad()
    def take_start(self, start: Start) -> None:
        """Cluster rows and biases that score as the start does, as far as a narrower space holds it."""
        take_rows(start, self.centre, self.narrow, self.rows, self.biases)

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist:
        """C = S x M, and in training as many more as a document of the batch has labels, where needed."""
        z_BK = self.cluster_logits_BK(vectors.recall_BD)
        losses, rank_BK = {}, z_BK.detach()
        if training:
            truth_BK = self._truth_BK(z_BK, training.labels)
            losses = {"generator": training.cluster_cost(z_BK, truth_BK)}
            span_B1 = rank_BK.amax(1, keepdim=True) - rank_BK.amin(1, keepdim=True)
            rank_BK = rank_BK + (span_B1 + 1) * truth_BK.ceil()  # true ones first, by score among themselves
        clusters_BS = rank_BK.topk(self.top, 1).indices
        ids_BC, mask_BC = self.clusters.labels_of(clusters_BS)
        prior_BS = z_BK.detach().gather(1, clusters_BS).sigmoid() ** self.power
        prior_BC = prior_BS.repeat_interleave(self.clusters.largest, 1)
        truth_BC = training.labels.contains(ids_BC) & mask_BC if training else None
        short = Shortlist(vectors.rank_BD, ids_BC, mask_BC, prior_BC, truth_BC, losses, clusters_BS)
        # As many labels as clusters fit lie in at most that many clusters.
        if training and training.labels.most > self.top:
            short = short.extended(*training.labels.padded, training)
        return short

    def _truth_BK(self, z_BK: Tensor, labels: RaggedLabels) -> Tensor:
        """How true each cluster is of each document: as its truest label."""
        flat = torch.zeros_like(z_BK).flatten()
        places_V = labels.documents_V * z_BK.shape[1] + self.clusters.of(labels.values_V)
        if labels.targets_V is None:
            return flat.scatter_(0, places_V, 1.0).view_as(z_BK)  # flat[places_V] = 1.0 would wait
        return flat.scatter_reduce(0, places_V, labels.targets_V, "amax").view_as(z_BK)


def _density(build: BuildContext) -> tuple[int, int]:
    """True pairs of a training document and a cluster, and all such pairs."""
    labels, clusters = build.train_labels, build.clusters
    if labels is None or clusters is None:
        return 0, 0
    pairs = labels.documents_V * clusters.num_clusters + clusters.of(labels.values_V)
    return len(torch.unique(pairs)), len(labels) * clusters.num_clusters
