"""`words`: labels whose names stand in the text, word for word, and how often that has meant them.

What a lexical matcher does (MLLM, https://github.com/NatLibFi/Annif/wiki/Backend:-MLLM; Medelyan,
"Human-competitive automatic topic indexing", 2009), with one thing learnt: of the training documents in which
all words of a name are found, what share has the label.

    e_l = max over the label's names found in the text of log((right + 2 r) / (found + 2))

with r = (right + 1) / (found + 2) of all names together. Words are one where they begin alike (fixed prefix
stemming: Can et al., "Information retrieval on Turkish texts", JASIST 2008): of no language in particular. A
qualifier in brackets, as thesauri have it (ISO 25964), is not looked for. Where words are not set apart
nothing is found.

N texts, B of them at once, K labels of a text, P names, W words, V pairs of a text and a name.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from xmlkit.blend.fusion import Pairs
from xmlkit.blend.member import NAMED, Candidates, Making, Member
from xmlkit.blend.towers import Towers
from xmlkit.console import track
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.model.tensor_file import load_tensors, save_tensors

LETTERS = 6  # of a word, by which it is known
PRIOR = 2.0  # documents that each name is thought to have been found in before any was read
LEAST = 1e-9  # of a chance
AT_ONCE = 1024
TRIED = 2048  # documents of a trial
NOTHING = np.zeros((0, 0), np.float32)  # the numbers of pairs that are not weighed
WORD, QUALIFIER = re.compile(r"[^\W_]+"), re.compile(r"\s*\([^()]*\)")
VOCABULARY, NAMES = "words.json", "names.safetensors"


class Words(Member):
    """Names that are looked for, and the chance that each means its label."""

    of_score = "logarithm"

    def __init__(
        self, words_W: list[str], names: Ragged, rows_P: np.ndarray, chance_P: np.ndarray, floor: float
    ):
        """`names` are those of words, ascending in each; `floor` is the chance of a label not found."""
        self.words_W, self.names, self.rows_P = words_W, names, rows_P
        self.chance_P, self.floor = chance_P, floor
        self._reads = CountVectorizer(analyzer=words_of, vocabulary=words_W, binary=True, dtype=np.int32)
        count_W = np.bincount(names.values, minlength=len(words_W))
        of_V = np.repeat(np.arange(len(names)), names.lengths)
        shape = len(words_W), len(names)
        self._all_PW = sparse.csr_matrix((np.ones_like(of_V), (of_V, names.values)), shape[::-1])
        # A name is looked at where its rarest word stands: "of" alone would have us look at thousands.
        order = np.lexsort((count_W[names.values], of_V))
        rarest_P = names.values[order[names.offsets[:-1]]]
        self._rarest_WP = sparse.csr_matrix(
            (np.ones(len(names), int), (rarest_P, np.arange(shape[1]))), shape
        )

    @classmethod
    def make(cls, what: str, making: Making) -> Self:
        """`what` is empty."""
        if what:
            raise UserError(f"words:{what}: words takes nothing behind it; write words alone")
        corpus = making.corpus
        named = [
            (row, stems)
            for row in np.flatnonzero(corpus.labels.worded_L).tolist()
            for stems in _names_of(corpus.labels, row)
        ]
        if not named:
            raise UserError(f"words: the labels of {corpus.name} have no names; leave it out")
        words_W = sorted({word for _, stems in named for word in stems})
        number = {word: at for at, word in enumerate(words_W)}
        names = Ragged.of([sorted(number[word] for word in stems) for _, stems in named])
        rows_P = np.array([row for row, _ in named])
        blank = cls(words_W, names, rows_P, np.ones(len(names)), LEAST)
        return cls(words_W, names, rows_P, *blank._learnt(corpus, np.flatnonzero(~making.held_out_N)))

    def _learnt(self, corpus: Corpus, rows_N: np.ndarray) -> tuple[np.ndarray, float]:
        """The chance of each name, and that of a label which is not found, by these documents."""
        found_P, right_P = np.zeros(len(self.rows_P)), np.zeros(len(self.rows_P))
        num_labels = len(corpus.labels)
        missed, others = 0, len(rows_N) * num_labels  # of pairs that are not found: true ones, all
        seen_L = np.zeros(num_labels, bool)
        for start in track(range(0, len(rows_N), AT_ONCE), "looking for names"):
            rows_B = rows_N[start : start + AT_ONCE]
            text_V, name_V = self._found([corpus.train.texts[row] for row in rows_B.tolist()])
            truth = corpus.train.labels.take(rows_B)
            right_V = Pairs(len(rows_B), text_V, self.rows_P[name_V], NOTHING).true_V(truth)
            found_P += np.bincount(name_V, minlength=len(found_P))
            right_P += np.bincount(name_V[right_V], minlength=len(found_P))
            seen_L[truth.values] = True
            _, first_U = np.unique(text_V * num_labels + self.rows_P[name_V], return_index=True)
            missed += len(truth.values) - int(right_V[first_U].sum())
            others -= len(first_U)
        # Of a label that no document has it says nothing that its name was found in some.
        found_P, right_P = found_P * seen_L[self.rows_P], right_P * seen_L[self.rows_P]
        found, right = found_P.sum(), right_P.sum()
        chance_P = (right_P + PRIOR * (right + 1) / (found + 2)) / (found_P + PRIOR)
        return chance_P, max(missed / max(others, 1), LEAST)

    def _found(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of a text and a name, all of whose words stand in it."""
        x_BW = self._reads.transform(texts)
        maybe = (x_BW @ self._rarest_WP).tocoo()
        text_V, name_V = maybe.row.astype(np.int64), maybe.col.astype(np.int64)
        there_V = np.asarray(x_BW[text_V].multiply(self._all_PW[name_V]).sum(1)).ravel()
        whole_V = there_V == self.names.lengths[name_V]
        return text_V[whole_V], name_V[whole_V]

    def candidates(self, texts: Sequence[str], top_k: int) -> Candidates:
        """Those whose names are found, of a label's the likeliest."""
        ids_NK = np.full((len(texts), top_k), -1, np.int64)
        chance_NK = np.full((len(texts), top_k), self.floor)
        width = 1 + int(self.rows_P.max())
        for start in range(0, len(texts), AT_ONCE):
            some = texts[start : start + AT_ONCE]
            text_V, name_V = self._found(some)
            keys_U, at_V = np.unique(text_V * width + self.rows_P[name_V], return_inverse=True)
            best_U = np.zeros(len(keys_U))
            np.maximum.at(best_U, at_V, self.chance_P[name_V])
            ids_BK, chance_BK = Pairs(len(some), *np.divmod(keys_U, width), NOTHING).ranked(best_U, top_k)
            ids_NK[start : start + len(some)] = ids_BK
            chance_NK[start : start + len(some)] = np.where(ids_BK < 0, self.floor, chance_BK)
        floor = np.float32(np.log(self.floor))
        return Candidates(ids_NK, np.log(chance_NK).astype(np.float32), np.full(len(texts), floor))

    def save(self, folder: Path) -> None:
        """Words, which of them are a name, and what was learnt of it."""
        (folder / VOCABULARY).write_text(json.dumps(self.words_W), encoding="utf-8")
        arrays = {
            "values_V": self.names.values,
            "offsets_P": self.names.offsets,
            "rows_P": self.rows_P,
            "chance_P": self.chance_P,
            "floor": np.array([self.floor]),
        }
        save_tensors(folder / NAMES, {name: torch.from_numpy(array) for name, array in arrays.items()}, {})

    @classmethod
    def open(cls, folder: Path, labels: Labels, towers: Towers) -> Self:
        """What was saved. Raises UserError where it is damaged."""
        kept, _ = load_tensors(folder / NAMES)
        arrays = {name: tensor.numpy() for name, tensor in kept.items()}
        words_W = json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))
        values_V, offsets_P, rows_P = arrays["values_V"], arrays["offsets_P"], arrays["rows_P"]
        chance_P, (floor,) = arrays["chance_P"], arrays["floor"]
        fits = isinstance(words_W, list) and all(isinstance(word, str) for word in words_W)
        fits = fits and len(offsets_P) == len(rows_P) + 1 == len(chance_P) + 1 and offsets_P[0] == 0
        fits = fits and bool((np.diff(offsets_P) > 0).all()) and offsets_P[-1] == len(values_V)
        fits = fits and all(
            bool(((part >= 0) & (part < most)).all())
            for part, most in ((values_V, len(words_W)), (rows_P, len(labels)))
        )
        fits = fits and bool(((chance_P > 0) & (chance_P <= 1)).all()) and 0 < floor <= 1
        if not fits:
            raise ValueError(f"{NAMES} and {VOCABULARY} are not of these labels")
        return cls(words_W, Ragged(values_V, offsets_P), rows_P, chance_P, float(floor))


def words_of(text: str) -> set[str]:
    """By their first letters."""
    return {word[:LETTERS] for word in WORD.findall(text.casefold())}


def _names_of(labels: Labels, row: int) -> list[set[str]]:
    """Of each name of a label what is looked for, once."""
    found: list[set[str]] = []
    for name in (labels.name(row), *(labels.alternatives[row] if labels.alternatives else ())):
        words = words_of(QUALIFIER.sub(" ", name)) or words_of(name)
        if words and words not in found:
            found.append(words)
    return found


def price_of_words(corpus: Corpus, held_out_N: np.ndarray, asked: int) -> float:
    """Seconds to look for names in all training documents and in so many texts, by a trial."""
    few = Making.of_few(corpus, held_out_N, TRIED)
    begun = time.perf_counter()
    member = Words.make("", few)
    made = time.perf_counter() - begun
    begun = time.perf_counter()
    member.candidates(few.corpus.train.texts, NAMED)
    question = time.perf_counter() - begun
    return float(made * (~held_out_N).sum() + question * asked) / len(few.held_out_N)
