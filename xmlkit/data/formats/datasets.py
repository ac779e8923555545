"""Folders that Hugging Face's `datasets` saves to disk: Arrow files of each split, and what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmlkit.data.arrow import load_pyarrow, read_arrow, table_of
from xmlkit.data.dialect import Dialect
from xmlkit.data.formats import ALL_OF_TABLES, NOTHING_MORE, Document
from xmlkit.data.vocabularies import tsv
from xmlkit.errors import UserError
from xmlkit.files import errors_named

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus

NAME = "datasets"
DESCRIPTION = "folders train, test that Hugging Face's datasets saved, or such a folder alone"
HOLDS = NOTHING_MORE
HEEDS = ALL_OF_TABLES
SUFFIXES = ()
STATE, INFO = "state.json", "dataset_info.json"
UNSAID: dict[str, Any] = {  # in a split's state, which `datasets` reads all of
    "_fingerprint": "0",
    "_format_columns": None,
    "_format_kwargs": {},
    "_format_type": None,
    "_output_all_columns": False,
}


def find(folder: Path, split: str, dialect: Dialect) -> tuple[Path, ...] | None:
    """The Arrow files that the split's `state.json` lists. Raises UserError where it can't be read.

    A dataset that is no dictionary of splits is saved as the folder itself, and is train.
    """
    state = folder / split / STATE
    if split == "train" and not (folder / split).is_dir() and (folder / INFO).is_file():
        state = folder / STATE
    if not state.is_file():
        return None
    try:
        listed = json.loads(state.read_bytes())["_data_files"]
        paths = tuple(state.parent / file["filename"] for file in listed)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{state}: names no Arrow files; save the dataset again") from None
    for file, path in zip(listed, paths, strict=True):
        if path.name != file["filename"]:
            raise UserError(f"{state}: names {file['filename']!r}, which is no file of its folder")
        if not path.is_file():
            raise UserError(f"{path}: missing; {state.relative_to(folder)} names it")
    return paths or None


def takes(path: Path, dialect: Dialect) -> bool:
    """None: a split is a folder."""
    return False


def read(paths: tuple[Path, ...], dialect: Dialect) -> Iterator[Document | UserError]:
    """Row by row."""
    for path in paths:
        yield from read_arrow(path, dialect)


def write(folder: Path, corpus: Corpus) -> list[str]:
    """Columns `text` and `labels`, and `id` where a document has one."""
    _write(folder / "dataset_dict.json", {"splits": list(corpus.splits)})
    for name, split in corpus.splits.items():
        schema, batches = table_of(split)
        place, file_name = folder / name, "data-00000-of-00001.arrow"
        place.mkdir()
        with load_pyarrow().ipc.new_stream(str(place / file_name), schema) as file:
            for batch in batches:
                file.write_batch(batch)
        string = {"dtype": "string", "_type": "Value"}
        features: dict[str, Any] = {column: string for column in schema.names}
        features["labels"] = {"feature": string, "_type": "List"}
        _write(place / INFO, {"features": features})
        _write(place / STATE, {"_data_files": [{"filename": file_name}], "_split": name, **UNSAID})
    return tsv.write(folder, corpus)


def _write(path: Path, document: dict[str, Any]) -> None:
    with errors_named(path):
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")
