"""`xmlkit report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmlkit.cli.options import Read, file_to_write, never_empty, spread
from xmlkit.console import say
from xmlkit.distribution import DISTRIBUTION
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.data.dialect import Source
    from xmlkit.report.comparison import OfComparison
    from xmlkit.report.run import OfRun
    from xmlkit.report.suite import OfSuite


@spread
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|COMPARISON ...",
            help="Folders of runs, ensembles, comparisons and benchmarks, and `hub:user/name`.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="DATA",
            help="A corpus folder (its test split is taken) or one file; default: each run's own corpus.",
            callback=never_empty,
            show_default=False,
        ),
    ] = None,
    out_: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The page; one that is there is replaced.")
    ] = Path("report.html"),
    *,
    read: Read,
) -> None:
    """Writes a page of runs and comparisons: one HTML file that opens in a browser, alone and offline.

    What was trained, how it learnt, how good it is on rare and frequent labels, calibration, each label, and
    test documents with predictions to be searched; of comparisons, differences with intervals.

    It holds texts of test documents; where a run's corpus is gone or has no test split, it is made without.

    Example: `xmlkit report runs/mine -o mine.html`
    """
    read.check_data(data)
    out_ = file_to_write("--out", out_)
    try:
        from xmlkit.report.page import write
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("xmlkit"):
            raise
        raise UserError(f"report needs {error.name}: pip install '{DISTRIBUTION}[report]'") from None
    from xmlkit.data.dialect import Source
    from xmlkit.report.run import OfRun

    named = Source(data, read.dialect()) if data else None
    there = [_folder(one) for one in folders]
    sources = [_read(folder, named) for folder in there]
    if named and not any(isinstance(one, OfRun) for one in sources):
        raise UserError("--data is for runs and ensembles, and none is named: leave it out")
    write(sources, out_)
    say(f"{out_}: {out_.stat().st_size / 1e6:.1f} MB; open it in a browser")


def _read(folder: Path, data: Source | None) -> OfRun | OfComparison | OfSuite:
    from xmlkit.model.folder import DESCRIPTION, is_ensemble
    from xmlkit.report.comparison import read_comparison
    from xmlkit.report.run import read_run
    from xmlkit.report.suite import is_suite, read_suite

    if is_ensemble(folder) or (folder / DESCRIPTION).is_file():
        return read_run(folder, data)
    if is_suite(folder):
        return read_suite(folder)
    return read_comparison(folder)


def _folder(given: Path) -> Path:
    from xmlkit.hub import local

    folder = local(given)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that train, ensemble or compare has filled")
    return folder
