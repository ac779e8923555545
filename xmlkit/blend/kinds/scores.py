"""`scores:FILE`: what any other system says, for texts that a file answers.

With p_l the score of a label, from 0 to 1,

    e_l = log(max(p_l, 1e-6))

and a label that the file doesn't name is worth 1 less than the text's smallest evidence. Texts are found be
their white space as it may. The file's name says its layout, with or without `.gz` behind it: `.jsonl` has a
line a text, as `xmlkit predict --format jsonl` writes them, of which the last one about a text counts; `.tsv`
has lines of text, label and score, and the last one about a text and a label counts.

N texts, K labels that a text gets.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from xmlkit.blend.kinds.run import LEAST
from xmlkit.blend.member import Candidates, Making, Member
from xmlkit.blend.towers import Towers
from xmlkit.console import say
from xmlkit.data.corpus import Labels
from xmlkit.data.lines import read_lines, squeezed
from xmlkit.errors import UserError

FILE = "scores.jsonl.gz"
BELOW = 1.0  # of what is named: a file may name one label alone
JSONL = '{"text": "...", "labels": [{"label": "...", "score": 0 to 1}, ...]}'
Said = dict[str, dict[str, float]]  # of each text the scores of its labels


class _Scored(BaseModel, strict=True):
    label: str
    score: float = Field(ge=0, le=1, allow_inf_nan=False)


class _Line(BaseModel, strict=True):
    text: str
    labels: list[_Scored]


class Scores(Member):
    """The logarithms of scores that were computed elsewhere."""

    of_score = "logarithm"
    keeps_texts = True

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
        said, corpus = read_scores(Path(what)), making.corpus
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
        return cls(read_scores(folder / FILE), labels)


def read_scores(path: Path) -> Said:
    """What a file says of each text. Raises UserError with file and line where it can't be read."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return _read_jsonl(path)
    if name.endswith(".tsv"):
        return _read_tsv(path)
    raise UserError(f"{path}: neither a .jsonl nor a .tsv file (or .gz added); rename it, or name another")


def _read_jsonl(path: Path) -> Said:
    said: Said = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            read = _Line.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            wrong = f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}"
            raise UserError(f"{path}:{number}: {wrong}; write {JSONL}") from None
        said[squeezed(read.text)] = {scored.label: scored.score for scored in read.labels}
    return said


def _read_tsv(path: Path) -> Said:
    said: Said = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != 3:
            raise UserError(f"{path}:{number}: {len(cells)} cells; a line is: text TAB label TAB score")
        text, label, score = cells
        said.setdefault(squeezed(text), {})[label] = _score(score, f"{path}:{number}")
    return said


def _score(cell: str, where: str) -> float:
    try:
        score = float(cell)
    except ValueError:
        raise UserError(f"{where}: the score {cell!r} is not a number; write one from 0 to 1") from None
    if not 0 <= score <= 1:
        raise UserError(f"{where}: the score {cell!r} is not from 0 to 1; scale all of them") from None
    return score
