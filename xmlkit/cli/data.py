"""`xmlkit data describe`, `convert`, `split` and `sample`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmlkit.cli.options import Read, spread
from xmlkit.cli.saying import out, remark
from xmlkit.console import say
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus
    from xmlkit.data.formats import Format

WITHOUT_ONE = "jsonl"  # the format of what has none: it holds any text and label
InArgument = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="A corpus folder, `demo`, or one file, whose documents are training documents.",
        show_default=False,
    ),
]
NewFolder = Annotated[
    Path, typer.Argument(metavar="OUT", help="A folder that is new or empty.", show_default=False)
]
FormatOption = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="What is written; default: as IN is.", show_default=False),
]
SeedOption = Annotated[int, typer.Option(min=0, metavar="N", help="Another one draws others.")]


@spread
def describe(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A corpus folder, `demo`, or one file.", show_default=False)
    ],
    *,
    read: Read,
) -> None:
    """Counts documents and labels, and shows how the labels are spread."""
    from xmlkit.data.corpus import load_documents
    from xmlkit.data.describe import describe as describe_corpus
    from xmlkit.data.describe import render

    corpus = load_documents(path, read.dialect())
    out.print(render(describe_corpus(corpus)))
    remark(corpus)


@spread
def convert(
    in_: InArgument,
    out_: NewFolder,
    format_: Annotated[
        str, typer.Option("--format", metavar="NAME", help="What is written.", show_default=False)
    ],
    *,
    read: Read,
) -> None:
    """Writes a corpus in another format, and says what that has no room for."""
    from xmlkit.data.corpus import load_documents

    format = _format(format_)
    _write(load_documents(in_, read.dialect()), out_, format)


@spread
def split(
    in_: InArgument,
    out_: NewFolder,
    test: Annotated[
        float, typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Of the documents, for the test split.")
    ] = 0.1,
    seed: SeedOption = 0,
    format_: FormatOption = None,
    *,
    read: Read,
) -> None:
    """Parts a corpus into train and test at random, with texts that are nearly the same on one side."""
    from xmlkit.data.corpus import load_documents
    from xmlkit.data.drawing import parted

    format = format_ and _format(format_)
    corpus = load_documents(in_, read.dialect())
    found = parted(corpus, test, seed)
    say(f"{found.near_duplicates:,} documents are nearly the same as another one, and lie on its side")
    _write(found.corpus, out_, format or _format(corpus.format or WITHOUT_ONE))


@spread
def sample(
    in_: InArgument,
    out_: NewFolder,
    documents: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Training documents; of a test split, the same share.",
            show_default=False,
        ),
    ],
    seed: SeedOption = 0,
    format_: FormatOption = None,
    *,
    read: Read,
) -> None:
    """Draws documents at random; the list of labels stays whole."""
    from xmlkit.data.corpus import load_documents
    from xmlkit.data.drawing import sampled

    format = format_ and _format(format_)
    corpus = load_documents(in_, read.dialect())
    _write(sampled(corpus, documents, seed), out_, format or _format(corpus.format or WITHOUT_ONE))


def _format(name: str) -> Format:
    from xmlkit.config import nearest
    from xmlkit.data.formats import formats

    known = {format.NAME: format for format in formats()}
    if name not in known:
        hint = nearest(name, known) or f"; there are {', '.join(known)}"
        raise UserError(f"--format {name}: no such format{hint}")
    return known[name]


def _write(corpus: Corpus, folder: Path, format: Format) -> None:
    from xmlkit.data.writing import write_corpus

    for line in write_corpus(corpus, folder, format):
        say(line)
    counts = " and ".join(f"{len(split):,} {name}" for name, split in corpus.splits.items())
    say(f"{folder}: {counts} documents as {format.NAME}")
