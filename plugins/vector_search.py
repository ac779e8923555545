"""The nearest of many vectors, searched through an index.

The index is faiss's (Johnson et al., 2019; an extra, imported where it is asked for): inverted lists (Jégou
et al., 2011) of codes of four bits, scanned in registers (André et al., 2017); the best of them are scored
anew from the vectors. A run holds vectors alone. The index follows from them and is made where it is used,
then kept in the cache folder: nothing that a stranger sends is read as one.

Shapes: N vectors that are searched in, B queries, K nearest, F found by their codes, D width.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xmlkit import UserError, cached, say

NUMBERS_AT_ONCE = 2**21  # of what is scored anew, in float32
INDEXED_FROM = 20_000  # fewer are searched as fast without an index
LISTS_SEARCHED = 128
RESCORED = 4  # times as many as are asked for
NUMBERS_A_CODE = 4
DOCUMENTS_A_LIST = 39  # that a list's centre is found from at least, as faiss wants it
FILE = "index.faiss"


class Index:
    """Finds most of the nearest of N vectors of length 1, N >= INDEXED_FROM."""

    def __init__(self, bank_ND: Tensor):
        faiss, self.bank_ND = load_faiss(), bank_ND
        bank = bank_ND.cpu().contiguous().numpy()
        key = hashlib.sha256(f"{faiss.__version__} {bank.shape} {NUMBERS_A_CODE} {DOCUMENTS_A_LIST}".encode())
        key.update(bank.data)
        folder = cached("nearest", key.hexdigest()[:32], lambda folder: _make(faiss, bank, folder / FILE))
        self._index: Any = faiss.read_index(str(folder / FILE))
        self._index.nprobe = LISTS_SEARCHED

    def nearest(self, query_BD: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """As `nearest_vectors`; where the searched lists hold fewer, vector 0 at a product of -1 fills up."""
        queries = _padded(query_BD.float().cpu().numpy())
        found = self._index.search(queries, min(RESCORED * most, len(self.bank_ND)))[1]
        at_BF = torch.from_numpy(found).to(query_BD.device)
        queries_at_once = max(NUMBERS_AT_ONCE // (at_BF.shape[1] * query_BD.shape[1]), 1)
        runs = zip(query_BD.split(queries_at_once), at_BF.clamp(min=0).split(queries_at_once), strict=True)
        cos_BF = torch.cat(
            [(self.bank_ND[at].to(some.dtype) @ some[:, :, None])[:, :, 0] for some, at in runs]
        )
        cos_BK, order = cos_BF.masked_fill(at_BF < 0, -1.0).topk(min(most, at_BF.shape[1]), 1)
        return cos_BK, at_BF.clamp(min=0).gather(1, order)


def _make(faiss: Any, bank: np.ndarray, file: Path) -> None:
    """Writes the index of these vectors."""
    count, width = len(bank), -(-bank.shape[1] // NUMBERS_A_CODE) * NUMBERS_A_CODE
    say(f"neighbours: making the index of {count:,} vectors, once on this machine")
    lists = max(1, min(int(4 * count**0.5), count // DOCUMENTS_A_LIST))
    shape = f"IVF{lists},PQ{width // NUMBERS_A_CODE}x4fs"
    index = faiss.index_factory(width, shape, faiss.METRIC_INNER_PRODUCT)
    some = np.random.default_rng(0).permutation(count)[: DOCUMENTS_A_LIST * lists]
    index.train(_padded(bank[some]))
    rows = max(NUMBERS_AT_ONCE // width, 1)
    for start in range(0, count, rows):
        index.add(_padded(bank[start : start + rows]))
    faiss.write_index(index, str(file))


def _padded(vectors: np.ndarray) -> np.ndarray:
    """In float32, with zeros up to whole codes."""
    missing = -vectors.shape[1] % NUMBERS_A_CODE
    return np.pad(vectors.astype(np.float32), ((0, 0), (0, missing)))


def load_faiss() -> Any:
    """The library. Raises UserError where it is not installed."""
    try:
        import faiss
    except ImportError:
        raise UserError(
            "neighbours.search=index needs faiss: pip install faiss-cpu, or leave it at exact"
        ) from None
    return faiss
