"""What the tokenizers library raises, a bare Exception or a panic of Rust's, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xmlkit.errors import UserError


@contextmanager
def tokenizer_errors() -> Iterator[None]:
    """Around a tokenizer's work: its files may come from a stranger. Raises UserError for what it raises."""
    try:
        yield
    except BaseException as error:
        is_panic = type(error).__name__ == "PanicException"  # which is no Exception
        if not (is_panic or isinstance(error, Exception)) or isinstance(error, UserError | MemoryError):
            raise
        first = str(error).partition("\n")[0]
        raise UserError(
            f"the tokenizer can't read texts ({first}): put its files back, or choose another --encoder"
        ) from None
