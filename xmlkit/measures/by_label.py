"""What is assigned, label by label and by how often labels occur in training.

L labels (of the model, then those that it does not know), M labels of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xmlkit.data.corpus import Labels
from xmlkit.measures.assigned import Assigned

HEADER = ["label", "name", "support", "true_positives", "false_positives", "false_negatives", "P", "R", "F1"]


def rows_by_label(found: Assigned, labels: Labels) -> Iterator[list[str]]:
    """The cells of each label under `HEADER`, P, R and F1 in percent; `labels` has all, in order."""
    counts = found.of_labels
    whole = (counts.support_G, counts.right_G, counts.wrong_G, counts.missed_G)
    for row, (numbers, figures) in enumerate(zip(zip(*whole), zip(*counts.figures))):
        cells = [*map(str, numbers), *(f"{figure:.2f}" for figure in figures)]
        yield [labels.ids[row], labels.name(row), *cells]


@dataclass(frozen=True)
class Decile:
    """A tenth of the labels."""

    labels: int
    fewest: int  # training documents of one of them
    most: int
    support: int  # how often they are true
    micro: tuple[float, float, float]  # P, R, F1 over their pairs
    macro_f1: float


def deciles(found: Assigned, counts_M: np.ndarray) -> list[Decile]:
    """The labels of the model in ten parts of like size, rarest first, by their training documents.

    Of labels that occur equally often the first come first. Fewer parts where there are fewer labels.
    """
    made = []
    for rows in tenths(counts_M):
        counts = found.of_labels.take(rows)
        p, r, f1 = (float(figure_G[0]) for figure_G in counts.sum().figures)
        macro_f1 = float(counts.figures[-1].mean())
        ends = (int(counts_M[rows[0]]), int(counts_M[rows[-1]]))
        made.append(Decile(len(rows), *ends, int(counts.support_G.sum()), (p, r, f1), macro_f1))
    return made


def tenths(counts_M: np.ndarray) -> list[np.ndarray]:
    """The rows of each of these parts."""
    by_count = np.argsort(counts_M, kind="stable")
    return np.array_split(by_count, min(10, len(by_count)))
