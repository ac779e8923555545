"""`xmlkit compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from xmlkit.cli.options import (
    Chosen,
    DataArgument,
    Read,
    spread,
)
from xmlkit.cli.saying import corpus_of, print_uncut, to_the_end
from xmlkit.config import parse_assignments
from xmlkit.console import say

DOUBT = (
    "Differences from {base}, with 95% intervals over documents and seeds. "
    "`could show` is the smallest difference of P@5 that would have been told from 0. Each row is a test of "
    "its own: of twenty without any effect about one shows a difference."
)
ONE_SEED = (
    " With one seed the intervals leave out how much seeds differ: give --seeds 3 before you believe them."
)
SECONDS = " Up to {at_once} runs were trained at once: seconds can't be compared, as those of --jobs 1 can."


@spread
def compare(
    data: DataArgument = None,
    plugin_sets: Annotated[
        str,
        typer.Option(
            metavar="SETS",
            help="Sets between semicolons, plugins between commas, options or settings in brackets.",
        ),
    ] = "base",
    base: Annotated[
        str,
        typer.Option(metavar="SET", help="The set that the others are compared with, as it stands there."),
    ] = "base",
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Each set is trained with 0 to N-1.")] = 3,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Runs that are trained at once, each with its part of the threads; their seconds can't be "
            "compared.",
        ),
    ] = 1,
    final: Annotated[
        Literal["test"] | None,
        typer.Option(help="Scores the test split instead of the validation part: once, at the very end."),
    ] = None,
    *,
    chosen: Chosen,
    read: Read,
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of the runs and tables; what it holds is not trained again. "
            "Default: `comparisons/NAME-OF-DATA`.",
        ),
    ] = None,
) -> None:
    """Trains sets of plugins from the same start and shows which differ from one by more than chance.

    Example: `xmlkit compare FOLDER --plugin-sets "base;se;loss-fix[mode=split];se,loss-fix[lr=2e-4]"`
    """
    settings = chosen.settings()
    if "seed" not in parse_assignments(chosen.set_ or []):
        settings.pop("seed", None)  # a preset's or a run's: here --seeds decides
    from xmlkit.cli.display import comparison_table
    from xmlkit.comparison.compare import compare as run_comparison

    corpus = corpus_of(data, read)
    part: Literal["test", "validation"] = "test" if final else "validation"
    found = to_the_end(lambda: run_comparison(corpus, plugin_sets, settings, seeds, part, out_, base, jobs))
    print_uncut(comparison_table(found))
    doubt = DOUBT.format(base=found.base) + (ONE_SEED if seeds == 1 else "")
    say(doubt + (SECONDS.format(at_once=found.at_once) if found.at_once > 1 else ""))
