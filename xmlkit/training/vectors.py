"""Document vectors of weights that nobody has trained yet, kept in the cache folder.

They follow from texts, weights and code alone: a second run of a corpus and an encoder starts at once.

N texts, B of a batch, D document width, W the width of all that is kept of a text.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import sys
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from xmlkit.config import Config
from xmlkit.console import track
from xmlkit.data.cache import LOCK, cache_folder, cached, one_at_a_time
from xmlkit.data.ragged import Ragged
from xmlkit.distributed import collectives, ranks
from xmlkit.errors import UserError
from xmlkit.files import errors_named
from xmlkit.model.encoder import Encoder
from xmlkit.model.inputs import Reader
from xmlkit.model.parts import chain
from xmlkit.model.ranking import batches_of, encode_documents, in_eval_mode
from xmlkit.model.representation import TokenMean
from xmlkit.model.tensor_file import bytes_of
from xmlkit.model.vectoriser import Vectoriser
from xmlkit.passing import Documents, Vectors

VERSION = 2  # of how the core makes vectors: another one finds no old ones in the cache
KIND = "vectors"
VALUE, CHECKSUM = np.dtype(np.float16), np.dtype(np.uint32)


class VectorStore:
    """Vectors of a reader's texts, encoded when they are first asked for.

    What is kept is the difference from one text's vector, in float16: where all vectors lie close together,
    as many encoders have it, their differences are what counts. A text whose numbers have not the checksum
    beside them, be it that it was not asked for yet or that a write was cut short, is encoded (again).

    Of several ranks all must ask, for the same texts: each encodes some, and one of each host writes all.
    """

    def __init__(self, model: Vectoriser, reader: Reader, most: int, key: str):
        ranks.check_alike(f"{len(reader.store):,} texts for an encoder, {key[:8]} with its weights")
        self._model, self._reader, self._most = model, reader, most
        self._writes = ranks.first_here() == ranks.number()
        count = len(reader.store)

        def make(folder: Path) -> None:
            ((_, _, first),) = encode_documents(model, reader, np.arange(1), self._most)
            np.save(folder / "reference.npy", _packed(first))

        folder = cached(KIND, key, make)
        self._reference_1W = np.load(folder / "reference.npy")
        self._files = (folder / "values", folder / "checksums")
        shape = (count, self._reference_1W.size)
        for file, size in zip(self._files, (math.prod(shape) * VALUE.itemsize, count * CHECKSUM.itemsize)):
            with file.open("ab") as kept:  # as large as all texts need, with holes where nothing is known
                kept.truncate(size)
        self._values_NW = np.memmap(self._files[0], VALUE, "r", shape=shape)
        self._checksums_N = np.memmap(self._files[1], CHECKSUM, "r", shape=shape[:1])
        self._known_N = np.zeros(count, np.bool_)  # seen to be whole by this process

    def encode(self, rows: np.ndarray, what: str | None = None) -> None:
        """Encodes those of these rows that are not known yet."""
        unseen = rows[~self._known_N[rows]]
        missing = self._missing(unseen)
        if ranks.are_several() or len(missing):
            with one_at_a_time(self._files[0].with_name(LOCK)) if ranks.is_first() else nullcontext():
                missing = self._missing(missing)  # now that others that encode the same have ended
                if ranks.are_several():  # whose hosts may know others
                    is_missing_N = torch.zeros(len(self._known_N), dtype=torch.int32)
                    is_missing_N[torch.from_numpy(missing)] = 1
                    missing = rows[collectives.summed_in_place(is_missing_N).numpy()[rows] > 0]
                if len(missing):
                    self._encode(missing, what)
        self._known_N[unseen] = True

    def _missing(self, rows: np.ndarray) -> np.ndarray:
        pairs = zip(self._checksums_N[rows].tolist(), rows.tolist())
        is_whole = [checksum == _checksum(self._values_NW[row]) for checksum, row in pairs]
        return rows[~np.array(is_whole, np.bool_)]

    def rank(self, rows: np.ndarray) -> np.ndarray:
        """The vectors to rank with (B, D), of rows that are known."""
        return self._whole(rows)[:, : self._model.representation.rank_width]

    def _whole(self, rows: np.ndarray) -> np.ndarray:
        return self._values_NW[rows] + self._reference_1W

    def batches(
        self, rows: np.ndarray, what: str | None = None
    ) -> Iterator[tuple[np.ndarray, Documents, Vectors]]:
        """Places among these rows, with the documents there and their vectors, on the model's device.

        The model is in eval mode meanwhile. `what` is shown with a bar while there are some to be encoded.
        """
        self.encode(rows, what)
        width, device = self._model.representation.rank_width, self._model.device
        with in_eval_mode(self._model):
            for batch in batches_of(self._reader, rows, self._most, device):
                packed_BW = torch.from_numpy(self._whole(rows[batch])).to(device)
                rank_BD = packed_BW[:, :width]
                recall_BD = packed_BW[:, width:] if packed_BW.shape[1] > width else rank_BD
                yield batch, self._reader.documents(rows[batch]).to(device), Vectors(recall_BD, rank_BD)

    def _encode(self, rows: np.ndarray, what: str | None) -> None:
        """Written, not mapped: a full disk is then an error."""
        stride = self._reference_1W.size * VALUE.itemsize
        with (
            in_eval_mode(self._model),  # which each batch would have to go into, and leave, by itself
            errors_named(self._files[0]),
            self._files[0].open("r+b") as values,
            self._files[1].open("r+b") as checksums,
        ):
            for batch, packed_BW in self._encoded(rows, what):
                found_BW = packed_BW - self._reference_1W
                if not np.isfinite(found_BW).all() or np.abs(found_BW).max() > np.finfo(VALUE).max:
                    raise UserError(
                        "the encoder's vectors are too large, or not finite: set start=prior without freeze, "
                        "or take another encoder"
                    )
                if not self._writes:
                    continue
                for row, value_W in zip(batch.tolist(), found_BW.astype(VALUE), strict=True):
                    values.seek(row * stride)
                    values.write(value_W.tobytes())
                    checksums.seek(row * CHECKSUM.itemsize)
                    checksums.write(CHECKSUM.type(_checksum(value_W)).tobytes())
        ranks.meet()  # others may be about to read them

    def _encoded(self, rows: np.ndarray, what: str | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Some of the rows with their vectors; several ranks encode a batch each at a time."""
        places = batches_of(self._reader, rows, self._most, self._model.device)
        batches = [rows[some] for some in places]
        at_once = [batches[start : start + ranks.count()] for start in range(0, len(batches), ranks.count())]
        for some in track(at_once, what) if what else at_once:
            packed_BW = np.zeros((0, self._reference_1W.size), np.float32)
            for batch in some[ranks.number() :][:1]:
                ((_, _, vectors),) = encode_documents(self._model, self._reader, batch, self._most)
                packed_BW = _packed(vectors)
            if ranks.are_several():
                sizes = [*map(len, some), *[0] * (ranks.count() - len(some))]
                packed_BW = collectives.gathered(torch.from_numpy(packed_BW), sizes).numpy()
            yield np.concatenate(some), packed_BW


def _checksum(value_W: np.ndarray) -> int:
    """Never 0, which is what a file holds where nothing was written."""
    return zlib.crc32(value_W.tobytes()) or 1


def _packed(vectors: Vectors) -> np.ndarray:
    """Both side by side, or the one that they are."""
    is_one = vectors.recall_BD is vectors.rank_BD
    both = [vectors.rank_BD] if is_one else [vectors.rank_BD, vectors.recall_BD]
    return torch.cat(both, 1).float().cpu().numpy()


class Unkept:
    """The same, made anew whenever they are asked for: weights are trained, or mean states are known."""

    def __init__(self, model: Vectoriser, reader: Reader, config: Config):
        self._model, self._reader, self._most = model, reader, config.tokens_at_once

    def batches(
        self, rows: np.ndarray, what: str | None = None
    ) -> Iterator[tuple[np.ndarray, Documents, Vectors]]:
        """As those of a VectorStore."""
        return encode_documents(self._model, self._reader, rows, self._most, what)


def kept_vectors(model: Vectoriser, reader: Reader, config: Config) -> VectorStore | Unkept:
    """The store of these weights and texts; it begins empty."""
    if reader.means is not None:
        return Unkept(model, reader, config)
    return VectorStore(model, reader, config.tokens_at_once, _key_of_parts(model, reader, config))


def kept_means(encoder: Encoder, reader: Reader, most: int, name: str | None = None) -> VectorStore:
    """The store of the last layer's mean states, which all have in common that leave these weights be.

    Neither what stands around the encoder nor whether a run or the encoder alone is asked plays a part.
    `most` is how many tokens go through the encoder at once, `name` its name, where that is known.
    """
    key = _of_texts(reader, name or name_of_means(encoder, reader))
    return VectorStore(_alone(encoder), reader, most, key)


def name_of_means(encoder: Encoder, reader: Reader) -> str:
    """The same for all who would get the same mean states of any text."""
    return _name(_alone(encoder), reader, None)


def _alone(encoder: Encoder) -> Vectoriser:
    return Vectoriser(encoder, TokenMean(encoder.hidden, 0.0))


def vectors_if_kept(model: Vectoriser, reader: Reader, config: Config) -> VectorStore | None:
    """The same where there is one already: weights that have been trained have none."""
    key = _key_of_parts(model, reader, config)
    return (
        VectorStore(model, reader, config.tokens_at_once, key)
        if (cache_folder() / KIND / key).is_dir()
        else None
    )


def _key_of_parts(model: Vectoriser, reader: Reader, config: Config) -> str:
    """Of vectors that parts make by settings and options of their own."""
    owners = [part.owner for part in chain(model.representation)]
    options = {owner: config.options[owner] for owner in owners if owner in config.options}
    return _of_texts(reader, _name(model, reader, (config.layers, config.pooling, options)))


def _of_texts(reader: Reader, name: str) -> str:
    """A digest of the texts, and of all that their vectors follow from beside them."""
    assert isinstance(reader.store, Ragged)  # names as documents are read by steps alone
    whole = hashlib.sha256(name.encode())
    for array in (reader.store.offsets, reader.store.values):
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()[:32]


def _name(model: Vectoriser, reader: Reader, settings: Any) -> str:
    """A digest of that: framing, weights, code, and the parts' settings."""
    backbone = model.encoder.backbone
    shape = backbone.config.to_json_string() if hasattr(backbone, "config") else ""
    window = (repr(reader.template), reader.max_len, model.encoder.in_bfloat16)
    versions = (VERSION, torch.__version__, transformers.__version__)
    whole = hashlib.sha256(json.dumps((versions, shape, window, settings), default=str).encode())
    for module in (model.encoder, model.representation):
        for kind in {kind: None for part in module.modules() for kind in type(part).__mro__}:
            whole.update(_code_of(kind))
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            whole.update(bytes_of(tensor))
    return whole.hexdigest()


def _code_of(kind: type) -> bytes:
    """Its name, the file that it is defined in, and those of its package whose names this file knows.

    Of the libraries, whose versions are known, the name alone.
    """
    name, package = f"{kind.__module__}.{kind.__qualname__}".encode(), kind.__module__.partition(".")[0]
    if package in ("torch", "transformers", "builtins"):
        return name
    modules, found = [sys.modules[kind.__module__]], {}
    while modules:
        module = modules.pop()
        if module.__name__ in found or module.__name__.partition(".")[0] != package:
            continue
        try:
            found[module.__name__] = Path(inspect.getfile(module)).read_bytes()
        except (OSError, TypeError):  # it was typed in, or lies in an archive
            found[module.__name__] = b""
        if package != "xmlkit":  # the core has a VERSION
            known = [inspect.getmodule(value) for value in vars(module).values()]
            modules += [other for other in known if other is not None]
    return name + b"".join(code for _, code in sorted(found.items()))
