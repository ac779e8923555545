"""Label names as training documents: an epoch reads each name once, beside the documents.

A name is about its label, whether or not any document has it: LEVER (Buvanesh et al., ICLR 2024) and Renee
(Jain et al., MLSys 2023) train on names as documents that have this label alone (`hard`). Gandalf (Kharbanda
et al., KDD 2024) takes what is known of a document with the label for what is known of its name z_l (`soft`):

    P(y_l' = 1 | z_l) = P(y_l' = 1 | y_l = 1) = count(l, l') / count(l)

over the training documents. Shares under LEAST are left out: those of a label sum to the labels that its
documents have on average, so that at most 1 / LEAST as many are left.

L labels, N those that have names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xmlkit.data.corpus import Labels
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.labels.cooccurrence import labels_given
from xmlkit.model.inputs import Means

LEAST = 0.1


@dataclass(frozen=True)
class NameDocuments:
    """N documents, one for each label that has a name, in the order of the labels."""

    texts: Ragged  # tokens
    labels: Ragged
    targets: Ragged | None  # of each of these labels, how true it is, in 0..1; None: all are true
    means: Means | None = None  # of the texts, where the encoder is frozen


def check_names(labels: Labels, kind: Literal["hard", "soft"], corpus: str) -> None:
    """Raises UserError where no label has a name."""
    if not labels.named_L.any():
        raise UserError(
            f"name_documents={kind}: no label of {corpus} has a name; add labels.tsv, whose lines are "
            "<id> TAB name, or leave name_documents out"
        )


def name_documents(
    labels: Labels, trained_on: Ragged, kind: Literal["hard", "soft"], tokenise: Callable[[list[str]], Ragged]
) -> NameDocuments:
    """The names of labels, with what is true of each.

    `trained_on` has the label rows of the training documents, whose counts are the soft targets; `tokenise`
    makes tokens of texts.
    """
    rows_N = np.flatnonzero(labels.named_L)
    texts = tokenise([labels.text(row) for row in rows_N.tolist()])
    if kind == "hard":
        return NameDocuments(texts, Ragged(rows_N, np.arange(len(rows_N) + 1)), None)
    ids, shares = labels_given(trained_on, len(labels), LEAST)
    return NameDocuments(texts, ids.take(rows_N), shares.take(rows_N))
