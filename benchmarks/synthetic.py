"""Made-up work of a given shape: documents of random tokens, Zipf labels, balanced clusters, random weights.

N documents, T tokens, V true labels, L labels, K clusters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, BertConfig

from xmlkit.data.ragged import Ragged
from xmlkit.data.template import Template
from xmlkit.hooks import Run
from xmlkit.model.device import choose_device
from xmlkit.model.encoder import Encoder
from xmlkit.model.inputs import Reader, ragged_labels
from xmlkit.model.model import Model, new_model
from xmlkit.model.parts import Known
from xmlkit.plugins import settled
from xmlkit.tables import ClusterTable
from xmlkit.training.assemble import make_ready
from xmlkit.training.checked import TOKENS_AT_ONCE
from xmlkit.training.feed import TrainingData
from xmlkit.training.trainer import Trainer

VOCABULARY = 30_522
SHAPES: dict[str, dict[str, Any]] = {
    "minilm": {"num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536},
    "bert-base": {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072},
}
# As LightXML trains Amazon-670K: first-token states, clusters of at most 100 labels, 75 of them shortlisted,
# label rows of 400, which begin at zero.
AMAZON = {"pooling": "first", "cluster_size": 100, "shortlist": 75, "label_width": 400, "start": "prior"}
LABELS_A_DOCUMENT, TOKENS = 5, 128


def encoder_of(shape: str, layers: int = 5) -> Encoder:
    """A BERT of this shape from random weights, as its configuration has it: dropout 0.1."""
    torch.manual_seed(0)
    backbone = AutoModel.from_config(
        BertConfig(vocab_size=VOCABULARY, num_attention_heads=12, **SHAPES[shape])
    )
    return Encoder(backbone, Template((101,), (102,), 101, 0, 0, ()), layers)


def spell() -> tuple[str, ...]:
    """The made-up tokens are words."""
    return tuple(f" {token}" for token in range(VOCABULARY))


def balanced_clusters(num_labels: int, largest: int) -> ClusterTable:
    """The sizes that halving gives."""
    sizes = [num_labels]
    while max(sizes) > largest:
        sizes = [half for size in sizes for half in (size - size // 2, size // 2)]
    return ClusterTable(torch.tensor([0, *np.cumsum(sizes)]))


def zipf_labels(documents: int, num_labels: int, seed: int = 0) -> Ragged:
    """About five labels a document, the r-th most frequent as often as 1 / r, in no order of clusters."""
    rng = np.random.default_rng(seed)
    share_L = 1 / np.arange(1, num_labels + 1)
    bounds_L = (share_L / share_L.sum()).cumsum()
    name_L = rng.permutation(num_labels)
    drawn = [
        np.unique(name_L[np.searchsorted(bounds_L, rng.random(count)).clip(max=num_labels - 1)]).tolist()
        for count in rng.poisson(LABELS_A_DOCUMENT - 1, documents) + 1
    ]
    return Ragged.of(drawn)


def random_documents(lengths: np.ndarray, seed: int = 0) -> Ragged:
    """Random tokens, so many a document."""
    offsets = np.concatenate([[0], lengths.cumsum()])
    tokens = np.random.default_rng(seed).integers(1000, VOCABULARY, offsets[-1])
    return Ragged(tokens.astype(np.int32), offsets)


def scatter_shortlists(model: Model) -> None:
    """Each document gets likely clusters of its own, drawn anew at each step.

    With the zeros that training begins with, all documents share one shortlist: too little work. This is the
    most there can be: what is learnt makes shortlists alike.
    """
    part = model.shortlister
    while part.inner is not None:
        part = part.inner

    logits_BK = part.cluster_logits_BK

    def scattered(recall_BD: Tensor) -> Tensor:
        z_BK = logits_BK(recall_BD)
        return z_BK + torch.randn_like(z_BK)

    part.cluster_logits_BK = scattered


def trainer_of(
    shape: str, num_labels: int, documents: int, folder: Path, scattered: bool = True, **settings: Any
) -> Trainer:
    """A trainer before its first step; `scattered`: each document has a shortlist of its own."""
    config, active = settled({"encoder": shape, "clustered": True, "max_len": TOKENS, **AMAZON, **settings})
    device = choose_device(config.device)
    limit = config.micro_batch_tokens or TOKENS_AT_ONCE[device.type]
    config = config.model_copy(update={"micro_batch_tokens": limit})
    encoder = encoder_of(shape, config.layers)
    labels = zipf_labels(documents, num_labels)
    clusters = balanced_clusters(num_labels, config.cluster_size) if config.clustered else None
    everything = ragged_labels(labels, num_labels)
    known = Known(clusters, spell, train_labels=everything)
    model = new_model(encoder, num_labels, active, config, known)
    if scattered and clusters:
        scatter_shortlists(model)
    texts = random_documents(np.full(documents, TOKENS - encoder.template.special))
    data = TrainingData(
        Reader(texts, encoder.template, config.max_len),
        labels,
        np.arange(documents),
        np.arange(0),
        np.bincount(labels.values, minlength=num_labels),
    )
    make_ready(model.train(), config, device)
    return Trainer(Run(folder, config, model, num_steps=10**6), data, active.plugins)
