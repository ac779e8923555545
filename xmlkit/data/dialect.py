"""What a corpus's files do not say of themselves, or say wrongly: how they are to be read."""

from __future__ import annotations

import codecs
from collections.abc import Generator, Iterable, Iterator
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator

from xmlkit.console import say
from xmlkit.errors import UserError

ItemT = TypeVar("ItemT")
MOST_BAD = 0.1  # of a file's documents: one with more that can't be read is of another format


def _several(columns: Any) -> Any:
    """A single one, or none, as runs kept it before there could be several."""
    return (columns,) if isinstance(columns, str) else columns or ()


class Dialect(BaseModel):
    """How files are read; each format takes what concerns it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    encoding: str = "utf-8"  # of text files
    bad_lines: Literal["error", "skip"] = "error"
    text_columns: tuple[str, ...] = ()  # of a table: whose texts are put together
    label_column: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()  # of a table, one or several
    label_separator: str | None = None  # between the labels of a cell; None: white space
    labels_by_name: bool = False  # documents may call labels as the list of labels does, not by their ids
    language: str | None = None  # of labels' names, where there are several
    column: str | None = None  # a further one of a table, or key of an object: its values are read too
    unlabelled: bool = False  # documents to be labelled, which need not say labels of their own

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            found = codecs.lookup(name).name.removesuffix("-sig")  # a byte order mark is dropped anyway
            ends_lines = "\n".encode(found) == b"\n"
        except LookupError:  # also of a codec that is for other things than text
            raise ValueError("no such encoding; for instance utf-8, latin-1 or cp1252") from None
        if not ends_lines:
            raise ValueError("its lines do not end as ours do; save the files as UTF-8")
        return found

    @field_validator("label_separator")
    @classmethod
    def _parts(cls, separator: str | None) -> str | None:
        if separator == "":
            raise ValueError("empty; leave it out where white space is between labels")
        return separator

    @property
    def words(self) -> list[str]:
        """How a corpus is read, as the command line takes it."""
        words = []
        for name, value in self:
            if value != getattr(PLAIN, name) and name not in ("column", "unlabelled"):
                words.append(f"--{name.replace('_', '-').replace('columns', 'column')}")
                if value is not True:
                    words.append(",".join(value) if isinstance(value, tuple) else value)
        return words


PLAIN = Dialect()


class Source(NamedTuple):
    """Where a corpus is read from, a folder, a file or `demo`, and how."""

    path: str
    dialect: Dialect


def readable(items: Iterable[ItemT | UserError], dialect: Dialect, source: str) -> Iterator[ItemT]:
    """The items that could be read; the first that could not is raised, or all are skipped and counted.

    Raises UserError where more than a share of `MOST_BAD` could not be read.
    """
    bad: list[UserError] = []
    count = 0
    for item in items:
        count += 1
        if not isinstance(item, UserError):
            yield item
        elif dialect.bad_lines == "error":
            if isinstance(items, Generator):  # or the open file lives as long as the error, and longer
                items.close()
            raise item
        else:
            bad.append(item)
    if not bad:
        return
    if len(bad) > MOST_BAD * count:
        raise UserError(
            f"{source}: {len(bad):,} of {count:,} documents can't be read, more than {MOST_BAD:.0%} "
            f"(the first: {bad[0]}); is it another format?"
        )
    for error in bad[:3]:
        say(f"skipped: {error}")
    say(f"{source}: {len(bad):,} of {count:,} documents were skipped, since they can't be read")
