"""What an ensemble is made of: a member reads texts and names labels, each with what speaks for it.

A kind of member is a class under an entry point of the group `xmlkit.members`; `KIND:WHAT` makes one on the
command line. Those that come with xmlkit are in `xmlkit.blend.kinds`.

N texts, K labels that a member names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Literal, Self

import numpy as np

from xmlkit.blend.towers import Tower, Towers
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.errors import UserError
from xmlkit.passing import Voters

GROUP = "xmlkit.members"
NAMED = 50  # labels that a member is asked for, at least


@dataclass(frozen=True)
class Candidates:
    """Labels that a member names for texts; no label twice for one text."""

    ids_NK: np.ndarray  # int64 rows of the ensemble's labels; -1 where there are fewer
    evidence_NK: np.ndarray  # float32, the more the likelier: as a logarithm of a chance has it
    floor_N: np.ndarray  # float32, what a label is worth that is not among them

    def ranked(self, k: int) -> np.ndarray:
        """The member's own best labels (N, k), as if it were alone; -1 where there are fewer."""
        evidence_NK = np.where(self.ids_NK < 0, -np.inf, self.evidence_NK)
        order_Nk = np.argsort(-evidence_NK, 1, kind="stable")[:, :k]
        ids_Nk: np.ndarray = np.take_along_axis(self.ids_NK, order_Nk, 1)
        return np.pad(ids_Nk, ((0, 0), (0, k - ids_Nk.shape[1])), constant_values=-1)


def checked(found: Candidates, name: str, num_texts: int, num_labels: int) -> Candidates:
    """The same. Raises UserError, by the member's name, for what breaks what `Candidates` says of itself."""
    arrays = [getattr(found, field.name, None) for field in fields(Candidates)]
    if not all(isinstance(array, np.ndarray) and array.dtype != object for array in arrays):
        raise UserError(f"member {name}: what it names can't be read: expected Candidates of NumPy's arrays")
    ids_NK, evidence_NK, floor_N = found.ids_NK, found.evidence_NK, found.floor_N
    if ids_NK.ndim != 2 or len(ids_NK) != num_texts or not np.issubdtype(ids_NK.dtype, np.integer):
        wrong = f"ids_NK is {ids_NK.dtype} of the shape {ids_NK.shape}, expected integers ({num_texts}, K)"
    elif evidence_NK.shape != ids_NK.shape or floor_N.shape != (num_texts,):
        wrong = f"evidence_NK and floor_N have the shapes {evidence_NK.shape} and {floor_N.shape}"
    elif ids_NK.min(initial=-1) < -1 or ids_NK.max(initial=-1) >= num_labels:
        wrong = f"ids_NK holds {ids_NK.min()} to {ids_NK.max()}, expected -1 to {num_labels - 1}"
    elif not (evidence_NK[ids_NK >= 0] < np.inf).all() or not np.isfinite(floor_N).all():
        wrong = "evidence_NK or floor_N holds what is no number"
    else:
        sorted_NK = np.sort(ids_NK, axis=1)
        if not ((sorted_NK[:, 1:] == sorted_NK[:, :-1]) & (sorted_NK[:, 1:] >= 0)).any():
            return found
        wrong = "ids_NK has a label twice for one text"
    raise UserError(f"member {name}: what it names can't be read: {wrong}")


@dataclass(frozen=True)
class Making:
    """What a member is made from: the corpus, and which of its documents no member may learn from."""

    corpus: Corpus
    held_out_N: np.ndarray  # bool, of the training documents
    towers: Towers  # what makes vectors of texts, shared by the members that ask for the same

    @classmethod
    def of_few(cls, corpus: Corpus, held_out_N: np.ndarray, most: int) -> Self:
        """For a trial: of so many of the documents that are not held out, drawn at random."""
        rows = np.random.default_rng(0).permutation(np.flatnonzero(~held_out_N))[:most]
        return cls(replace(corpus, train=corpus.train.take(rows)), np.zeros(len(rows), np.bool_), Towers())

    def tower(self, what: str) -> tuple[str, Tower]:
        """A run or encoder and its number. Raises UserError where it has learnt from held-out documents."""
        number = self.towers.add(what)
        self.towers[number].check(self.corpus, self.held_out_N)
        return number, self.towers[number]


class Member(ABC):
    """One way of knowing."""

    tower_number: str | None = None  # of what it reads texts with, where that is a tower
    # What its evidence is of a score from 0 to 1, which can be added up; None: there is none.
    of_score: Literal["logit", "logarithm"] | None = None
    keeps_texts = False  # in what it saves, so that whoever is given it can read them
    needs: tuple[str, ...] = ()  # packages beside the distribution that brings it
    looks_texts_up = False  # and knows nothing of one that is a word shorter

    @classmethod
    @abstractmethod
    def make(cls, what: str, making: Making) -> Self:
        """A new one; `what` is what stands behind the kind's name and a colon.

        Raises UserError where that makes none, or where it has learnt from documents that are held out.
        """

    @abstractmethod
    def candidates(self, texts: Sequence[str], top_k: int) -> Candidates:
        """At least the `top_k` labels that it holds for the likeliest, where there are so many."""

    def candidates_of_seen(self, texts: Sequence[str], top_k: int) -> Candidates:
        """The same of texts that it may have been made from: who looks texts up leaves out each itself.

        By default nothing is looked up.
        """
        return self.candidates(texts, top_k)

    def voters(self, text: str) -> Voters | None:
        """Training documents that speak for labels, which are rows of the ensemble's; by default none do."""
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes all that `open` needs into an empty folder."""

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, labels: Labels, towers: Towers) -> Self:
        """What `save` wrote, be it that the ensemble's folder was moved. Raises UserError."""


def floor_N(evidence_NK: np.ndarray, known: int, least: float) -> np.ndarray:
    """What is said at one place, however many labels were asked for.

    A member that knows no more labels than are named has none to compare the last one with, and so `least`,
    the least that its evidence can be: how sure it is of a text's labels would count for nothing otherwise.
    """
    count = min(NAMED, evidence_NK.shape[1])
    if known <= count:
        return np.full(len(evidence_NK), least, np.float32)
    return evidence_NK[:, count - 1]


def kinds() -> dict[str, EntryPoint]:
    """Those that are installed, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def parted(name: str) -> tuple[str, str]:
    """A member's kind with its colon, where its name begins with one, and what stands behind: a path, say."""
    first, colon, what = name.partition(":")
    return (f"{first}:", what) if colon and first in kinds() else ("", name)


def check_needs(name: str) -> None:
    """Raises UserError where a package that members of this kind need is missing."""
    for package in kind(name).needs:
        try:
            distribution(package)
        except PackageNotFoundError:
            raise UserError(f"{name} needs {package}: pip install {package}") from None


def kind(name: str) -> type[Member]:
    """The class of a kind. Raises UserError where none of this name is installed."""
    found = kinds()
    if name not in found:
        raise UserError(f"{name}: no such kind of member; there are {', '.join(sorted(found))}")
    try:
        loaded = found[name].load()
    except Exception as error:  # whatever a stranger's module does on import
        raise UserError(
            f"{name}: {found[name].value} can't be loaded: {type(error).__name__}: {error}"
        ) from None
    if not (isinstance(loaded, type) and issubclass(loaded, Member)):
        raise UserError(f"{name}: {found[name].value} is no class that inherits from xmlkit.Member")
    return loaded
