"""`scores:FILE`: what any other system says, for texts that a file answers.

With p_l the score of a label, from 0 to 1,

    e_l = log(max(p_l, 1e-6))

and a label that the file doesn't name is worth 1 less than the text's smallest evidence. Texts are found be
their white space as it may.

N texts, K labels that a text gets.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from xmlkit.blend.kinds.run import LEAST
from xmlkit.blend.member import Candidates, Making, Member
from xmlkit.blend.scored import read_scores
from xmlkit.blend.towers import Towers
from xmlkit.console import say
from xmlkit.data.corpus import Labels
from xmlkit.data.lines import squeezed
from xmlkit.errors import UserError

FILE = "scores.jsonl.gz"
BELOW = 1.0  # of what is named: a file may name one label alone


class Scores(Member):
    """The logarithms of scores that were computed elsewhere."""

    of_score = "logarithm"
    keeps_texts = True
    looks_texts_up = True

    def __init__(self, said: Mapping[str, Mapping[str, float]], labels: Labels):
        self.labels = labels
        self._rows_of: dict[str, dict[int, float]] = {}
        for text, scores in said.items():
            known = {labels.rows[label]: score for label, score in scores.items() if label in labels.rows}
            if known:
                self._rows_of[text] = known

    @classmethod
    def make(cls, what: str, making: Making) -> Self:
        """`what` is a file. Says how many held-out documents it answers; raises UserError where none."""
        if not what:
            raise UserError("scores: no file; write scores:FILE, with a .jsonl or .tsv file")
        said, corpus = dict(read_scores(Path(what))), making.corpus
        member = cls(said, corpus.labels)
        held_out = [corpus.train.texts[row] for row in np.flatnonzero(making.held_out_N).tolist()]
        count = sum(squeezed(text) in member._rows_of for text in held_out)
        strangers = {label for scores in said.values() for label in scores} - corpus.labels.rows.keys()
        found = f"scores:{what}: {count:,} of {len(held_out):,} held-out documents have scores"
        if strangers:
            found += f"; labels that the corpus doesn't know: {len(strangers):,}, such as {min(strangers)!r}"
        if not count:
            raise UserError(f"{found}; have that system label them, too")
        say(found)
        say(f"scores:{what}: whether it learnt from held-out documents can't be checked: see that it didn't")
        return member

    def candidates(self, texts: Sequence[str], top_k: int) -> Candidates:
        """The labels of best scores; none of a text that the file doesn't answer."""
        ids_NK = np.full((len(texts), top_k), -1, np.int64)
        evidence_NK = np.full((len(texts), top_k), np.log(LEAST), np.float32)
        floor_N = np.full(len(texts), np.log(LEAST), np.float32)
        for row, text in enumerate(texts):
            if scores := self._rows_of.get(squeezed(text)):
                best = sorted(scores, key=lambda label: (-scores[label], label))
                evidence = np.log(np.array([scores[label] for label in best]).clip(min=LEAST))
                ids_NK[row, : len(best)] = best[:top_k]
                evidence_NK[row, : len(best)] = evidence[:top_k]
                floor_N[row] = evidence[-1] - BELOW
        return Candidates(ids_NK, evidence_NK, floor_N)

    def save(self, folder: Path) -> None:
        """The scores of labels that the corpus knows."""
        lines = []
        for text, scores in self._rows_of.items():
            labels = [{"label": self.labels.ids[row], "score": score} for row, score in scores.items()]
            lines.append(json.dumps({"text": text, "labels": labels}) + "\n")
        (folder / FILE).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))

    @classmethod
    def open(cls, folder: Path, labels: Labels, towers: Towers) -> Self:
        """What was saved."""
        return cls(dict(read_scores(folder / FILE)), labels)
