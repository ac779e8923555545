"""`xmlkit labels add`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmlkit.cli.options import RunArgument
from xmlkit.cli.saying import say_run


def add(
    run: RunArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The new labels: `<id> TAB name` a line, `.gz` or not.", show_default=False
        ),
    ],
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The new run's folder; default: `RUN-more-labels`."),
    ] = None,
) -> None:
    """Makes a run that knows more labels, of one that scores labels by their names (`--plugin label-text`).

    Example: `xmlkit labels add runs/mine NEW.tsv`
    """
    from xmlkit.training.new_labels import add_labels

    folder = add_labels(run, file, out_)
    say_run(folder)
