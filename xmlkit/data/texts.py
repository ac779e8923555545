"""Very many texts, kept as bytes end to end.

N texts.
"""

from __future__ import annotations

import hashlib
import mmap
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import overload

import numpy as np

from xmlkit.console import counted, track
from xmlkit.files import errors_named

IN_MEMORY = (
    2**26
)  # bytes: more lie in a temporary file without a name, which the system keeps in memory or not
AT_ONCE = 4096  # texts
MANY = 10**5  # texts, over which it may take long
HALVES = "surrogatepass"  # of surrogate pairs: no text of a file has such, but lists of strings may


class Texts(Sequence[str]):
    """Text i is `buffer[starts_N[i] : ends_N[i]]` in UTF-8; slices and `take` share the buffer."""

    def __init__(self, buffer: bytes | mmap.mmap, starts_N: np.ndarray, ends_N: np.ndarray):
        self._buffer, self._starts_N, self._ends_N = buffer, starts_N, ends_N

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Packs them, one after the other."""
        if isinstance(texts, Texts):
            return texts
        ends = array("q", [0])
        with errors_named(Path(gettempdir())), SpooledTemporaryFile(IN_MEMORY) as file:
            for text in texts:
                ends.append(ends[-1] + file.write(text.encode("utf-8", HALVES)))
            file.seek(0)
            if ends[-1] > IN_MEMORY:  # which is when it has become a file
                file.flush()
                buffer: bytes | mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            else:
                buffer = file.read()
        ends_N = np.frombuffer(ends, np.int64)
        return cls(buffer, ends_N[:-1], ends_N[1:])

    def __len__(self) -> int:
        return len(self._starts_N)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Texts: ...
    def __getitem__(self, place: int | slice) -> str | Texts:
        if isinstance(place, slice):
            return Texts(self._buffer, self._starts_N[place], self._ends_N[place])
        return self._buffer[self._starts_N[place] : self._ends_N[place]].decode("utf-8", HALVES)

    def __iter__(self) -> Iterator[str]:
        return (text.decode("utf-8", HALVES) for text in self._encoded())

    def __eq__(self, other: object) -> bool:
        """As lists of strings are."""
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self):,} texts, {int(self.sizes.sum()):,} bytes>"

    @property
    def sizes(self) -> np.ndarray:
        """(N,) Bytes of each."""
        return self._ends_N - self._starts_N

    def take(self, rows: Sequence[int] | np.ndarray) -> Texts:
        """Those with these numbers, in this order."""
        return Texts(self._buffer, self._starts_N[rows], self._ends_N[rows])

    def chunks(self) -> Iterator[bytes]:
        """Their bytes end to end, thousands of texts at once."""
        starts = range(0, len(self), AT_ONCE)
        for start in track(starts, "digest of texts") if len(self) > MANY else starts:
            yield b"".join(self[start : start + AT_ONCE]._encoded())

    def _encoded(self) -> Iterator[bytes]:
        buffer = self._buffer
        for start in range(0, len(self), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            for begin, end in zip(self._starts_N[some].tolist(), self._ends_N[some].tolist()):
                yield buffer[begin:end]


def hashes_of(texts: Sequence[str]) -> np.ndarray:
    """(N,) uint64: the same for equal texts, spread evenly, and the same in every run."""
    found = (
        int.from_bytes(hashlib.blake2b(f"0 {text}".encode("utf-8", HALVES), digest_size=8).digest(), "little")
        for text in counted(texts, "hashes of texts")
    )
    return np.fromiter(found, np.uint64, len(texts))
