"""What a corpus holds that its owner may not have meant; it can be trained on all the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.formats import OfTables, formats

BETWEEN, OF_LISTS = (";", ",", "|"), ("['", '["')  # how labels end that were cut at white space alone
SEEMINGLY = 0.05  # of the labels: a few may be so by right
OPTIONS: dict[OfTables, str] = {
    "text_columns": "--text-column",
    "label_column": "--label-column",
    "label_separator": "--label-separator",
}
COLUMNS = ("label", "labels", "subject", "subjects", "uri", "uris")  # what heads labels


def remarks(corpus: Corpus) -> list[str]:
    """A line each, with an example."""
    labels, found = corpus.labels, unheeded(corpus)
    for name, split in corpus.splits.items():
        heads = [split.label_ids[row] for row in split.labels[0].tolist()] if len(split) else []
        if len(heads) == 1 and heads[0].lower() in COLUMNS:
            found.append(
                f"the first document of {name} is {split.texts[0][:40]!r} with the label {heads[0]!r}: if "
                "that is a line of column names, remove it, as this format has none"
            )
    graded = sum(
        int((split.relevances != 1).sum()) for split in corpus.splits.values() if split.relevances is not None
    )
    if graded:
        found.append(f"{graded:,} relevances are not 1: each label counts as one all the same")
    parted = [label for label in labels.ids if label.endswith(BETWEEN) or label.startswith(OF_LISTS)]
    if len(parted) > SEEMINGLY * len(labels):
        lists = [label for label in parted if label.startswith(OF_LISTS)]
        example, mark = (lists or parted)[0], parted[0][-1]
        advice = f"if {mark!r} stood between them: of a table say so, --label-separator {mark!r}"
        if lists:
            advice = "parts of a program's lists: write them as JSON Lines have lists"
        found.append(f"{len(parted):,} of {len(labels):,} labels are like {example!r}, as {advice}")
    within = [label for label in labels.ids if label.startswith("<") and label.endswith(">")]
    if len(within) > SEEMINGLY * len(labels):
        told = corpus.dialect.label_column or corpus.dialect.label_separator
        advice = "; Annif's CSV, read without --label-column and --label-separator, has them around labels"
        found.append(
            f"{len(within):,} of {len(labels):,} labels are like {within[0]!r}, in which the brackets count"
            f"{advice if told else ''}"
        )
    used = np.unique(corpus.train.labels.values)
    if len(called := _called_as_others(labels, used)) > SEEMINGLY * len(used):
        found.append(
            f"{len(called):,} of {len(used):,} labels of documents are called as others in the list of "
            f"labels, as {called[0]!r}: if they are these, --labels-by-name"
        )
    if corpus.dialect.labels_by_name and labels.names is None:
        found.append("--labels-by-name is not heeded: there is no list of labels")
    if same := _alike(labels.ids):
        first, second = (labels.ids[row] for row in same[0])
        found.append(
            f"{first!a} and {second!a} are two labels that differ in their Unicode normalisation alone"
            f"{_more(same)}: write both in one form (NFC), if they are one"
        )
    if labels.names and (same := _alike(labels.names)):
        first, second = (labels.ids[row] for row in same[0])
        found.append(
            f"the labels {first!r} and {second!r} have one name, {labels.names[same[0][0]]!r}{_more(same)}"
        )
    return found


def unheeded(corpus: Corpus) -> list[str]:
    """How it should be read, where files of its format are not read so."""
    format = next((one for one in formats() if corpus.format == one.NAME), None)
    if format is None:
        return []
    return [
        f"{option} is not heeded: {corpus.name} is read as {format.NAME} ({format.DESCRIPTION})"
        for field, option in OPTIONS.items()
        if getattr(corpus.dialect, field) and field not in format.HEEDS
    ]


def _called_as_others(labels: Labels, rows: np.ndarray) -> list[str]:
    """Those without a name, of these rows, whose id is one."""
    unnamed = [labels.ids[row] for row in rows[~labels.named_L[rows]].tolist()]
    if not unnamed:
        return []
    names = {labels.name(row) for row in np.flatnonzero(labels.named_L).tolist()}
    return [label for label in unnamed if label in names]


def _alike(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of texts that are one in NFC with an earlier one, each with the first of them."""
    first: dict[str, int] = {}
    pairs = []
    for row, text in enumerate(texts):
        earlier = first.setdefault(unicodedata.normalize("NFC", text), row)
        if earlier != row:
            pairs.append((earlier, row))
    return pairs


def _more(pairs: Sequence[tuple[int, int]]) -> str:
    return f", and so {len(pairs) - 1:,} more" if len(pairs) > 1 else ""
