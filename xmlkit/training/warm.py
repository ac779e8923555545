"""`start=warm`: one pass over label names and training documents, before the first step.

Both go through encoder and representation, without dropout, whatever plugins these are made of; what comes
out is summed up row by row (known.py), in memory of about five label tables.

B documents, D document width, R rows (labels or clusters), L labels, K clusters, V true pairs, C candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.discovery import BASE
from xmlkit.distributed import ranks
from xmlkit.doors import Head, Shortlister
from xmlkit.model.inputs import Reader, ragged_labels
from xmlkit.model.model import Model
from xmlkit.model.parts import chain
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.passing import Documents, RaggedLabels, Training, Vectors
from xmlkit.tables import ClusterTable, unique_ids
from xmlkit.training.feed import TrainingData
from xmlkit.training.freeze import reader_with_means
from xmlkit.training.known import Known, Mix, Scored, fit
from xmlkit.training.vectors import Unkept, VectorStore, kept_vectors

SAMPLE = 2000  # documents that the numbers are fitted to, at most
PAIRS = 2**24  # of these and of labels, or of clusters, at most
READING, READING_NAMES = "reading training documents", "reading names"


@dataclass(frozen=True)
class Names:
    """A text for each label, and which of them are names rather than bare ids.

    They are read in an order of their own, which no clustering changes: what was encoded once is known.
    """

    reader: Reader
    labels_L: np.ndarray  # the labels in that order
    real_L: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Documents that have been read."""

    documents: Documents
    vectors: Vectors
    labels: RaggedLabels
    rows_B: Tensor  # as in Training


def read_ahead(model: Vectoriser, data: TrainingData, names: Names, config: Config) -> None:
    """Reads what the first of several ranks, which all do this, is about to read; it is kept in the cache."""
    if not ranks.are_several():
        return
    of_names = reader_with_means(model, names.reader, config, READING_NAMES)
    every = np.arange(len(names.labels_L))
    read = ((of_names, every, READING_NAMES), (data.reader, documents_to_read(data, config), READING))
    for reader, rows, what in read:
        store = kept_vectors(model, reader, config)
        if isinstance(store, VectorStore):
            store.encode(rows, what)


@torch.no_grad()
def warm_start(model: Model, data: TrainingData, names: Names, config: Config) -> None:
    """Has the model's shortlist and head take a start from names and training documents, if there are any."""
    model.eval()
    rows = documents_to_read(data, config)
    if not len(rows):
        return
    table = model.shortlister.clusters
    scored = table.num_clusters if table else model.num_labels
    size = min(SAMPLE, PAIRS // scored + 1, len(rows) // 4 + 1)
    store = kept_vectors(model, data.reader, config)
    sample = list(_read(store, data, rows[:size]))
    named = _named(model, names, config)
    labels = _known(names, named.rank_BD, [batch.vectors.rank_BD for batch in sample])
    clusters = None
    if table is not None:
        is_one = named.recall_BD is named.rank_BD
        found = labels if is_one else _known(names, named.recall_BD, [b.vectors.recall_BD for b in sample])
        clusters = _of_clusters(found, table)
        del found
    del named  # as wide and as many as the label rows

    def add(batch: Batch) -> None:
        labels.add(batch.vectors.rank_BD, batch.labels.values_V, batch.labels.documents_V)
        if clusters is not None:
            clusters.add(batch.vectors.recall_BD, *_cluster_pairs(batch.labels, table))

    for batch in _read(store, data, rows[size:], READING):
        add(batch)
    if clusters is not None:
        of_clusters = _fit_clusters(clusters, sample, table)
        # From its candidates labels learn in training: they are fitted to these.
        model.shortlister.take_start(of_clusters.start(clusters))
    of_labels = _fit_labels(model, labels, sample)
    for batch in sample:
        add(batch)
    if clusters is not None:
        model.shortlister.take_start(of_clusters.start(clusters))
    model.head.take_start(of_labels.start(labels))
    for maker in (chain(model.head)[0], *([] if table is None else [chain(model.shortlister)[0]])):
        assert isinstance(maker, Head | Shortlister)
        if type(maker).take_start in (Head.take_start, Shortlister.take_start) and maker.owner != BASE:
            say(f"start=warm: {type(maker).__name__} of the plugin {maker.owner!r} takes no start")
    say(
        f"start: {len(rows):,} documents and {int(names.real_L.sum()):,} names read; a label is "
        f"{100 * of_labels.share:.0f}% its name, scores are {of_labels.scale:.1f} times the cosine"
    )


@torch.no_grad()
def label_vectors(model: Vectoriser, data: TrainingData, names: Names, config: Config) -> np.ndarray:
    """What labels are clustered by (L, D): the centroids of their documents, or names where there are none.

    In the space in which clusters are scored; a label of which nothing is known has a row of zeros.
    """
    store, num_labels = kept_vectors(model, data.reader, config), len(data.counts_L)
    named = _named(model, names, config)
    rows = documents_to_read(data, config)
    sample = [vectors.recall_BD for _, _, vectors in store.batches(rows[:SAMPLE])]
    if not sample:
        return np.zeros((num_labels, 1), np.float32)
    known = _known(names, named.recall_BD, sample)
    for batch in _read(store, data, rows, READING):
        known.add(batch.vectors.recall_BD, batch.labels.values_V, batch.labels.documents_V)
    centroids_LD = known.centroids_RD
    found_LD = torch.where(centroids_LD.any(1, keepdim=True), centroids_LD, known.names_RD)
    return found_LD.cpu().numpy()


def documents_to_read(data: TrainingData, config: Config) -> np.ndarray:
    """Training documents in random order, each among the first `start_documents` of one of its labels."""
    rows = np.random.default_rng(config.seed).permutation(data.train_rows)
    labels = data.labels.take(rows)
    order = np.argsort(labels.values, kind="stable")  # by label, and within it as the documents come
    ordered = labels.values[order]
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    documents = np.repeat(np.arange(len(rows)), labels.lengths)
    wanted = np.zeros(len(rows), bool)
    wanted[documents[places < config.start_documents]] = True
    return rows[wanted]


def _read(
    store: VectorStore | Unkept, data: TrainingData, rows: np.ndarray, what: str | None = None
) -> Iterator[Batch]:
    """These training documents with their labels; `what` is shown while they are being encoded."""
    num_labels = len(data.counts_L)
    for batch, documents, vectors in store.batches(rows, what):
        labels = ragged_labels(data.labels.take(rows[batch]), num_labels).to(vectors.rank_BD.device)
        yield Batch(documents, vectors, labels, data.places_B(rows[batch]).to(vectors.rank_BD.device))


def _named(model: Vectoriser, names: Names, config: Config) -> Vectors:
    """The vectors of the labels' texts, in the labels' order."""
    reader = reader_with_means(model, names.reader, config, READING_NAMES)
    store, representation = kept_vectors(model, reader, config), model.representation
    rank_LD = torch.zeros(len(names.labels_L), representation.rank_width, device=model.device)
    recall_LD = rank_LD
    for batch, _, vectors in store.batches(np.arange(len(rank_LD)), READING_NAMES):
        if recall_LD is rank_LD and vectors.recall_BD is not vectors.rank_BD:
            recall_LD = rank_LD.new_zeros(len(rank_LD), representation.recall_width)
        labels_B = torch.from_numpy(names.labels_L[batch]).to(model.device)
        rank_LD[labels_B] = vectors.rank_BD
        if recall_LD is not rank_LD:
            recall_LD[labels_B] = vectors.recall_BD
    return Vectors(recall_LD, rank_LD)


def _known(names: Names, named_LD: Tensor, sample: list[Tensor]) -> Known:
    """Of labels: their names, and no documents yet; the sample's vectors say where the centre is."""
    real_L = torch.from_numpy(names.real_L).to(named_LD.device)
    names_LD = F.normalize(named_LD - named_LD[real_L].mean(0), dim=1, eps=1e-6) if real_L.any() else named_LD
    return Known(torch.cat(sample).mean(0), names_LD * real_L[:, None], torch.zeros_like(named_LD))


def _of_clusters(labels: Known, table: ClusterTable) -> Known:
    """Likewise of clusters, whose names are those of their labels together."""
    clusters_L = table.of(torch.arange(len(labels.names_RD), device=labels.names_RD.device))
    names_KD = labels.names_RD.new_zeros(table.num_clusters, labels.names_RD.shape[1])
    names_KD.index_add_(0, clusters_L, labels.names_RD)
    return Known(labels.centre_D, F.normalize(names_KD, dim=1), torch.zeros_like(names_KD))


def _cluster_pairs(labels: RaggedLabels, table: ClusterTable | None) -> tuple[Tensor, Tensor]:
    """Cluster and document of each true pair of these, once."""
    assert table is not None
    keys = torch.unique(labels.documents_V * table.num_clusters + table.of(labels.values_V))
    return keys % table.num_clusters, keys // table.num_clusters


def _fit_clusters(known: Known, sample: Sequence[Batch], table: ClusterTable | None) -> Mix:
    centroids_KD = known.centroids_RD
    return fit(known, centroids_KD, [_clusters_scored(batch, known, centroids_KD, table) for batch in sample])


def _fit_labels(model: Model, known: Known, sample: Sequence[Batch]) -> Mix:
    centroids_LD = known.centroids_RD
    return fit(known, centroids_LD, [_labels_scored(model, batch, known, centroids_LD) for batch in sample])


def _clusters_scored(batch: Batch, known: Known, centroids_KD: Tensor, table: ClusterTable | None) -> Scored:
    """All clusters, at the loss of TopClusters."""
    assert table is not None
    u_BD = known.unit_BD(batch.vectors.recall_BD)
    truth_BK = u_BD.new_zeros(len(u_BD), table.num_clusters)
    clusters_V, documents_V = _cluster_pairs(batch.labels, table)
    truth_BK[documents_V, clusters_V] = 1.0

    def cost(z_BK: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(z_BK, truth_BK, reduction="sum")

    return Scored(u_BD @ known.names_RD.T, u_BD @ centroids_KD.T, slice(0, table.num_clusters), cost)


def _labels_scored(model: Model, batch: Batch, known: Known, centroids_LD: Tensor) -> Scored:
    """All labels, or the candidates of these documents, at the loss that they will have in training."""
    u_BD = known.unit_BD(batch.vectors.rank_BD)
    if model.shortlister.every_label:
        every = slice(0, model.num_labels)
        name_BL, centroid_BL = u_BD @ known.names_RD.T, u_BD @ centroids_LD.T
        return Scored(name_BL, centroid_BL, every, lambda z_BL: model.cost_of_every_label(z_BL, batch.labels))
    rng = torch.Generator(u_BD.device).manual_seed(0)
    training = Training(batch.labels, rng, batch.rows_B, model.combiner.cluster_cost)
    short = model.shortlister(batch.vectors, batch.documents, training)
    ids_U, slots_BC = unique_ids(short.ids_BC, model.num_labels)
    name_BC = (u_BD @ known.names_RD[ids_U].T).gather(1, slots_BC)
    centroid_BC = (u_BD @ centroids_LD[ids_U].T).gather(1, slots_BC)
    return Scored(
        name_BC, centroid_BC, short.ids_BC, lambda z_BC: model.cost_B(z_BC, short, batch.labels).sum()
    )
