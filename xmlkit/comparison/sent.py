"""What goes from process to process, as JSON: a corpus, settings, and errors with their tracebacks."""

from __future__ import annotations

import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from xmlkit.config import Config
from xmlkit.data.corpus import Corpus, Labels, Split
from xmlkit.data.dialect import Dialect
from xmlkit.data.ragged import Ragged
from xmlkit.data.texts import Texts
from xmlkit.errors import UserError

Document = dict[str, Any]


def of_corpus(corpus: Corpus) -> Document:
    """All of it but its test split."""
    return {
        "name": corpus.name,
        "labels": asdict(corpus.labels),
        "train": of_split(corpus.train),
        "source": corpus.source,
        "dialect": corpus.dialect.model_dump(mode="json"),
        "format": corpus.format,
        "files": [str(path) for path in corpus.files],
    }


def to_corpus(document: Document) -> Corpus:
    """The same one."""
    labels = document["labels"]
    alternatives = labels["alternatives"] and [tuple(names) for names in labels["alternatives"]]
    return Corpus(
        document["name"],
        Labels(labels["ids"], labels["names"], alternatives, labels["notations"]),
        to_split(document["train"]),
        None,
        document["source"],
        Dialect.model_validate(document["dialect"]),
        document["format"],
        tuple(map(Path, document["files"])),
    )


def of_split(split: Split) -> Document:
    """Its documents."""
    return {
        "texts": list(split.texts),
        "labels": _of_ragged(split.labels),
        "label_ids": split.label_ids,
        "ids": split.ids,
        "left_out": split.left_out and _of_ragged(split.left_out),
        "relevances": None if split.relevances is None else split.relevances.tolist(),
        "values": split.values,
    }


def to_split(document: Document) -> Split:
    """The same one."""
    left_out, relevances = document["left_out"], document["relevances"]
    return Split(
        Texts.of(document["texts"]),
        _to_ragged(document["labels"]),
        document["label_ids"],
        document["ids"],
        left_out and _to_ragged(left_out),
        None if relevances is None else np.array(relevances),
        document["values"],
    )


def _of_ragged(rows: Ragged) -> list[list[int]]:
    return [rows.values.tolist(), rows.offsets.tolist()]


def _to_ragged(both: list[list[int]]) -> Ragged:
    return Ragged(*(np.array(some, np.int64) for some in both))


def of_config(config: Config) -> Document:
    """Its settings, and which of them were given."""
    return {"settings": config.model_dump(mode="json"), "given": sorted(config.model_fields_set)}


def to_config(document: Document) -> Config:
    """The same one."""
    return Config.model_construct(set(document["given"]), **dict(Config(**document["settings"])))


def of_error(error: Exception) -> Document:
    """With its traceback, which does not travel by itself."""
    found = {"kind": type(error).__name__, "words": str(error)}
    found["traceback"] = "".join(traceback.format_exception(error))
    if isinstance(error, UserError):
        return {**found, "kind": "UserError", "detail": error.detail}
    if isinstance(error, OSError):
        file = None if error.filename is None else str(error.filename)
        return {**found, "kind": "OSError", "arguments": [error.errno, error.strerror, file]}
    return found


def to_error(document: Document) -> Exception:
    """One that is told as the same; of kinds that nobody tells apart, a RuntimeError."""
    kind, words = document["kind"], document["words"]
    error: Exception
    if kind == "UserError":
        return UserError(words, document["detail"])
    if kind == "OSError":
        error = OSError(*document["arguments"])
    elif kind == "MemoryError":
        error = MemoryError(words)
    else:
        error = RuntimeError(words if kind == "RuntimeError" else f"{kind}: {words}")
    error.add_note(document["traceback"])
    return error
