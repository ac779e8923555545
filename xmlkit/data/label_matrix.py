"""Which document has which label, as SciPy keeps a sparse matrix in an `.npz` file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.files import errors_named


class LabelMatrix(NamedTuple):
    """Numbers of labels of each document, their relevances, and how many labels there are."""

    labels: Ragged
    relevances: Ragged
    label_count: int


def read_matrix(path: Path) -> LabelMatrix:
    """A row a document; values are relevances, and what is above 0 is a label.

    Raises UserError for a file that holds anything else.
    """
    try:
        with path.open("rb") as file:
            matrix = sparse.load_npz(file)
        if hasattr(matrix, "check_format"):  # before SciPy follows its indices anywhere
            matrix.check_format(full_check=True)
        matrix = matrix.tocsr()
        matrix.sum_duplicates()
        is_real = matrix.dtype.kind in "biuf" and bool(((matrix.data >= 0) & np.isfinite(matrix.data)).all())
    except Exception as error:  # a damaged file may fail anywhere in zip, zlib, NumPy or SciPy
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: no sparse matrix of SciPy ({reason}); check the file") from None
    if not is_real:
        raise UserError(f"{path}: holds other values than relevances, which are numbers from 0")
    matrix.eliminate_zeros()
    relevances = Ragged(matrix.data, matrix.indptr)
    return LabelMatrix(Ragged(matrix.indices, matrix.indptr), relevances, matrix.shape[1])


def write_matrix(path: Path, labels: Ragged, relevances: np.ndarray | None, label_count: int) -> None:
    """With these relevances or ones, as float32, which is what others write, where that holds them."""
    values = np.ones(len(labels.values)) if relevances is None else relevances
    short = values.astype(np.float32)
    parts = (short if (short == values).all() else values, labels.values, labels.offsets)
    matrix = sparse.csr_matrix(parts, shape=(len(labels), label_count))
    with errors_named(path):
        sparse.save_npz(path, matrix)
