"""Document vectors of weights that nobody has trained yet, kept in the cache folder.

They follow from texts, weights and code alone: a second run of a corpus and an encoder starts at once.

N texts, B of a batch, D document width, W the width of all that is kept of a text.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xmlkit.config import Config
from xmlkit.data.batches import micro_batches
from xmlkit.data.cache import cache_folder, cached
from xmlkit.data.ragged import Ragged
from xmlkit.hooks import Documents, Vectors
from xmlkit.model.inputs import Reader
from xmlkit.model.parts import chain
from xmlkit.model.ranking import DOCUMENTS_AT_ONCE, encode_documents
from xmlkit.model.vectoriser import Vectoriser

VERSION = 1  # of how the core makes vectors: another one finds no old ones in the cache
KIND = "vectors"


class VectorStore:
    """Vectors of a reader's texts, encoded when they are first asked for.

    What is kept is the difference from one text's vector, in float16: where all vectors lie close together,
    as many encoders have it, their differences are what counts.
    """

    def __init__(self, model: Vectoriser, reader: Reader, config: Config, key: str):
        self._model, self._reader, self._most = model, reader, config.tokens_at_once

        def make(folder: Path) -> None:  # the files are as large as all texts need, and hold what was written
            ((_, _, first),) = encode_documents(model, reader, np.arange(1), self._most)
            reference_1W = _packed(first)
            np.save(folder / "reference.npy", reference_1W)
            shape = (len(reader.store), reference_1W.shape[1])
            np.lib.format.open_memmap(folder / "values.npy", "w+", np.float16, shape).flush()
            np.lib.format.open_memmap(folder / "known.npy", "w+", np.bool_, shape[:1]).flush()

        folder = cached(KIND, key, make)
        self._reference_1W = np.load(folder / "reference.npy")
        self._values_NW = np.load(folder / "values.npy", mmap_mode="r+")
        self._known_N = np.load(folder / "known.npy", mmap_mode="r+")

    def batches(
        self, rows: np.ndarray, what: str | None = None
    ) -> Iterator[tuple[np.ndarray, Documents, Vectors]]:
        """Places among these rows, with the documents there and their vectors, on the model's device.

        `what` is shown with a bar while there are some to be encoded.
        """
        missing = rows[~self._known_N[rows]]
        for batch, _, vectors in encode_documents(self._model, self._reader, missing, self._most, what):
            self._values_NW[missing[batch]] = _packed(vectors) - self._reference_1W
            self._values_NW.flush()
            self._known_N[missing[batch]] = True
        device, lengths = next(self._model.parameters()).device, self._reader.lengths[rows]
        width = self._model.representation.rank_width
        for batch in micro_batches(np.arange(len(rows)), lengths, DOCUMENTS_AT_ONCE, self._most):
            packed_BW = torch.from_numpy(self._values_NW[rows[batch]] + self._reference_1W).to(device)
            rank_BD = packed_BW[:, :width]
            recall_BD = packed_BW[:, width:] if packed_BW.shape[1] > width else rank_BD
            yield batch, self._reader.documents(rows[batch]).to(device), Vectors(recall_BD, rank_BD)


def _packed(vectors: Vectors) -> np.ndarray:
    """Both side by side, or the one that they are."""
    is_one = vectors.recall_BD is vectors.rank_BD
    both = [vectors.rank_BD] if is_one else [vectors.rank_BD, vectors.recall_BD]
    return torch.cat(both, 1).float().cpu().numpy()


def kept_vectors(model: Vectoriser, reader: Reader, config: Config) -> VectorStore:
    """The store of these weights and texts; it begins empty."""
    return VectorStore(model, reader, config, _key(model, reader, config))


def vectors_if_kept(model: Vectoriser, reader: Reader, config: Config) -> VectorStore | None:
    """The same where there is one already: weights that have been trained have none."""
    key = _key(model, reader, config)
    return VectorStore(model, reader, config, key) if (cache_folder() / KIND / key).is_dir() else None


def _key(model: Vectoriser, reader: Reader, config: Config) -> str:
    """A digest of all that vectors follow from: texts, framing, weights, the parts' options and code."""
    whole = hashlib.sha256()
    window = (repr(reader.template), reader.max_len, model.encoder.num_layers, model.in_bfloat16)
    told = (VERSION, window, config.plugins, config.options)
    whole.update(json.dumps(told, default=str).encode())
    assert isinstance(reader.store, Ragged)  # names as documents are read by steps alone
    for array in (reader.store.offsets, reader.store.values):
        whole.update(np.ascontiguousarray(array).tobytes())
    for part in (model.encoder, *chain(model.representation)):
        whole.update(type(part).__qualname__.encode())
        whole.update(Path(inspect.getfile(type(part))).read_bytes())
    for module in (model.encoder, model.representation):
        for name, tensor in module.state_dict().items():
            whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            whole.update(_bytes_of(tensor))
    return whole.hexdigest()[:32]


def _bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
