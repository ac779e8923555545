"""Files that hold features of documents, counted words, in place of their texts."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from xmlkit.data.lines import find_file, read_lines
from xmlkit.errors import UserError

LINE = re.compile(r"(([0-9]+(,[0-9]+)*)? +)?[0-9]+:[-+.0-9eE]+( +[0-9]+:[-+.0-9eE]+)* *")
PEEK = 20  # lines, as the first documents may have no features
NAMES = {"train": ("train.txt", "trn_X_Xf.txt"), "test": ("test.txt", "tst_X_Xf.txt")}


def features_instead(folder: Path, split: str) -> str | None:
    """What lacks where there are features of a split in place of its texts; None where there are none."""
    for name in NAMES.get(split, ()):
        path = find_file(folder, name)
        if path and holds_features(path):
            return of_features(path)
    return None


def of_features(path: Path) -> str:
    """What lacks where there is such a file."""
    return (
        f"{path.name} holds features (counted words); the raw texts, which are needed, are missing: "
        "get those of the same data set, such as trn.json.gz with lbl.json.gz"
    )


def holds_features(path: Path) -> bool:
    """Whether a line is `label,label feature:value ...`, below a header of numbers or without one."""
    try:
        return any(LINE.fullmatch(line) for _, line in islice(read_lines(path, "latin-1"), PEEK))
    except UserError:  # of a damaged file, which is told where it is read
        return False
