"""Files of scores, as any system can write them: of texts, how likely which labels are.

The file's name says its layout, with or without `.gz` behind it: `.jsonl` has a line a text, as
`xmlkit predict --format jsonl` writes them, of which the last one about a text counts; `.tsv` has lines of
text, label and score, and the last one about a text and a label counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from xmlkit.data.lines import read_lines, squeezed
from xmlkit.errors import UserError

JSONL = '{"text": "...", "labels": [{"label": "...", "score": 0 to 1}, ...]}'
Said = tuple[str, dict[str, float]]  # a text, its white space squeezed, and the scores of its labels


class _Scored(BaseModel, strict=True):
    label: str
    score: float = Field(ge=0, le=1, allow_inf_nan=False)


class _Line(BaseModel, strict=True):
    text: str
    labels: list[_Scored]


def read_scores(path: Path) -> Iterator[Said]:
    """What a file says, text by text; of several about one text the last one counts.

    Raises UserError with file and line where it can't be read.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        yield from _read_jsonl(path)
    elif name.endswith(".tsv"):
        yield from _read_tsv(path)
    else:
        raise UserError(f"{path}: neither a .jsonl nor a .tsv file (or .gz added); name another")


def _read_jsonl(path: Path) -> Iterator[Said]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            read = _Line.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            wrong = f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}"
            raise UserError(f"{path}:{number}: {wrong}; write {JSONL}") from None
        yield squeezed(read.text), {scored.label: scored.score for scored in read.labels}


def _read_tsv(path: Path) -> Iterator[Said]:
    """A text's lines may lie anywhere, so that nothing is said before the end."""
    said: dict[str, dict[str, float]] = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != 3:
            raise UserError(f"{path}:{number}: {len(cells)} cells; a line is: text TAB label TAB score")
        text, label, score = cells
        said.setdefault(squeezed(text), {})[label] = _score(score, f"{path}:{number}")
    yield from said.items()


def _score(cell: str, where: str) -> float:
    try:
        score = float(cell)
    except ValueError:
        raise UserError(f"{where}: the score {cell!r} is not a number; write one from 0 to 1") from None
    if not 0 <= score <= 1:
        raise UserError(f"{where}: the score {cell!r} is not from 0 to 1; scale all of them") from None
    return score
