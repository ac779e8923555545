"""`xmlkit data describe`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmlkit.cli.options import Read, spread
from xmlkit.cli.saying import out, remark


@spread
def describe(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A corpus folder, or `demo`.", show_default=False)
    ],
    *,
    read: Read,
) -> None:
    """Counts documents and labels, and shows how the labels are spread."""
    from xmlkit.data.corpus import load_corpus
    from xmlkit.data.describe import describe as describe_corpus
    from xmlkit.data.describe import render

    corpus = load_corpus(path, read.dialect())
    out.print(render(describe_corpus(corpus)))
    remark(corpus)
