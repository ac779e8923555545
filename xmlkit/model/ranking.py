"""Ranking many documents with a model, in batches of like length, and scoring the rankings.

N documents, B of a batch, T tokens, H encoder width, K ranks, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from xmlkit.console import track
from xmlkit.data.batches import micro_batches
from xmlkit.doors import Head
from xmlkit.model.encoder import Encoder
from xmlkit.model.inputs import Reader
from xmlkit.model.model import Model
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.passing import Documents, Shortlist, Vectors

DOCUMENTS_AT_ONCE = 256
PADDING_FOR_A_PASS = 64  # tokens that take a CPU about as long as what a pass costs whatever is in it


def rank_documents(
    model: Model,
    head: Head,
    reader: Reader,
    rows: np.ndarray,
    k: int,
    max_tokens: int,
    allowed_L: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, K) in 0..1 and label ids (N, K) of these rows, best first; id -1 where there are fewer.

    `head` is the model's own, or what `head_for_prediction` made of it; `allowed_L` (bool) says which labels
    may be there. Raises UserError for scores above 1.
    """
    scores_NK = np.zeros((len(rows), k), np.float32)
    ids_NK = np.full((len(rows), k), -1, np.int64)
    allowed = None if allowed_L is None else torch.from_numpy(allowed_L).to(model.device)
    for batch, documents in _batches(model, reader, rows, max_tokens):
        scores, ids = model.rank(documents, k, head, allowed)
        scores_NK[batch, : ids.shape[1]] = scores.float().cpu().numpy()
        if scores_NK[batch].max(initial=0) > 1:
            raise model.above_one(documents)
        ids_NK[batch, : ids.shape[1]] = ids.cpu().numpy()
    return scores_NK, ids_NK


def shortlist_documents(
    model: Model, reader: Reader, rows: np.ndarray, max_tokens: int
) -> Iterator[tuple[np.ndarray, Shortlist]]:
    """Places among these rows, and the shortlist of the documents there, as at prediction."""
    for batch, documents in _batches(model, reader, rows, max_tokens):
        yield batch, model.shortlist(documents)


@torch.no_grad()
def encode_documents(
    model: Vectoriser, reader: Reader, rows: np.ndarray, max_tokens: int, what: str | None = None
) -> Iterator[tuple[np.ndarray, Documents, Vectors]]:
    """Places among these rows, with the documents there and their vectors, on the model's device.

    `what` is shown with a bar.
    """
    for batch, documents in _batches(model, reader, rows, max_tokens, what):
        yield batch, documents, model.vectors(documents)


@torch.no_grad()
def mean_states(
    encoder: Encoder, reader: Reader, max_tokens: int, bfloat16: bool, what: str | None = None
) -> Tensor:
    """The mean of the last layer's states over the real tokens of each text (N, H), on the host.

    `what` is shown with a bar.
    """
    found_NH = torch.zeros(len(reader.store), encoder.hidden)
    for batch, documents in _batches(encoder, reader, np.arange(len(reader.store)), max_tokens, what):
        with torch.autocast(documents.mask_BT.device.type, torch.bfloat16, enabled=bfloat16):
            states = encoder(documents)
        found_NH[torch.from_numpy(batch)] = states.mean_BH.float().cpu()
    return found_NH


def batches_of(reader: Reader, rows: np.ndarray, max_tokens: int, device: torch.device) -> list[np.ndarray]:
    """Places among these rows, of those that go through an encoder together."""
    max_padding = PADDING_FOR_A_PASS if device.type == "cpu" else None
    limits = DOCUMENTS_AT_ONCE, max_tokens, max_padding
    return list(micro_batches(np.arange(len(rows)), reader.lengths[rows], *limits))


def _batches(
    model: Vectoriser | Encoder, reader: Reader, rows: np.ndarray, max_tokens: int, what: str | None = None
) -> Iterator[tuple[np.ndarray, Documents]]:
    """Places among the rows, and their documents on the model's device, with the model in eval mode."""
    device = model.device if isinstance(model, Vectoriser) else next(model.parameters()).device
    batches = batches_of(reader, rows, max_tokens, device)
    with in_eval_mode(model):
        for batch in track(batches, what) if what else batches:
            yield batch, reader.documents(rows[batch]).to(device)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """And afterwards in the mode that it had; one that is in it already is not gone through."""
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()
