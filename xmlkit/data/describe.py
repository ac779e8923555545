"""A corpus in figures: what to know before training on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from xmlkit.console import visible
from xmlkit.data.corpus import Corpus
from xmlkit.data.texts import hashes_of

MOST_FILES = 8  # that are named: a format may have one a document


def describe(corpus: Corpus) -> dict[str, Any]:
    """Plain numbers of a corpus.

    Texts, labels and counts are those of train where `test` is not named, ids and filters those of both.

    `deciles` splits the labels, sorted by frequency, into ten groups (fewer where there are fewer labels).
    """
    texts, labels, label_count = corpus.train.texts, corpus.train.labels, len(corpus.labels)
    splits = corpus.splits.values()
    counts = np.bincount(labels.values, minlength=label_count)
    lengths = labels.lengths
    unknown = None
    if corpus.test is not None:
        used = np.unique(corpus.test.labels.values)
        known = used[used < label_count]
        unknown = len(used) - int(np.count_nonzero(counts[known]))
    return {
        "name": corpus.name,
        "format": corpus.format,
        "files": _names(corpus.files),
        "train_documents": len(texts),
        "test_documents": None if corpus.test is None else len(corpus.test),
        "labels": label_count,
        "labels_without_training_document": int(np.sum(counts == 0)),
        "test_labels_unknown_to_train": unknown,
        "documents_without_labels": int(np.sum(lengths == 0)),
        "documents_with_ids": sum(id is not None for split in splits for id in split.ids or ()),
        "documents_with_filters": sum(
            int(np.count_nonzero(split.left_out.lengths)) for split in splits if split.left_out
        ),
        "empty_texts": sum(not text.strip() for text in texts),
        "duplicate_texts": len(texts) - len(np.unique(hashes_of(texts))),
        "labels_per_document": _summary(lengths),
        "documents_per_label": _summary(counts),
        "characters_per_text": _summary(np.fromiter(map(len, texts), np.int64)),
        "words_per_text": _summary(np.fromiter((len(text.split()) for text in texts), np.int64)),
        "deciles": _deciles(counts),
    }


def render(description: dict[str, Any]) -> RenderableType:
    """The description as tables for a terminal."""
    overview = Table(title=escape(visible(description["name"])), show_header=False)
    spreads = Table("", title="Train")
    for column in ("mean", "median", "min", "max"):
        spreads.add_column(column, justify="right")
    for key, value in description.items():
        title = key.replace("_", " ")
        if isinstance(value, dict):
            spreads.add_row(title, *(_number(part) for part in value.values()))
        elif key not in ("name", "deciles"):
            overview.add_row(title, _number(value))
    deciles = Table(title="Labels by frequency, head to tail")
    for column in ("decile", "labels", "share of occurrences", "largest count", "smallest count"):
        deciles.add_column(column, justify="right")
    for place, group in enumerate(description["deciles"], start=1):
        counts = (_number(group[key]) for key in ("largest_count", "smallest_count"))
        deciles.add_row(str(place), _number(group["labels"]), f"{group['share']:.1%}", *counts)
    return Group(overview, spreads, deciles)


def _names(files: Sequence[Path]) -> list[str]:
    more = len(files) - MOST_FILES
    return [path.name for path in files[:MOST_FILES]] + ([f"and {more:,} more"] if more > 0 else [])


def _summary(values: Sequence[int] | np.ndarray) -> dict[str, float]:
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "min": int(np.min(values)),
        "max": int(np.max(values)),
    }


def _deciles(counts: np.ndarray) -> list[dict[str, float]]:
    groups = np.array_split(np.sort(counts)[::-1], min(10, len(counts)))
    return [
        {
            "labels": len(group),
            "share": float(group.sum() / counts.sum()),
            "largest_count": int(group[0]),
            "smallest_count": int(group[-1]),
        }
        for group in groups
    ]


def _number(value: float | str | list[str] | None) -> str:
    if isinstance(value, list):
        value = "\n".join(value)
    if isinstance(value, str):
        return escape(visible(value))
    if value is None:
        return "none"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
