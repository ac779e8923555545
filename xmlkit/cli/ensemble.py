"""`xmlkit ensemble`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmlkit.cli.options import AimOption, FastOption, OutOption, Read, never_empty, spread
from xmlkit.cli.saying import print_uncut, say_run


@spread
def ensemble(
    members: Annotated[
        list[str],
        typer.Argument(
            metavar="MEMBER ...",
            help="Runs' folders, or `neighbours:RUN`, `names:ENCODER`, `linear`, `words`, `scores:FILE`.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="The corpus; default: that of the first run.",
            callback=never_empty,
            show_default=False,
        ),
    ] = None,
    for_: AimOption = None,
    summed: Annotated[
        bool, typer.Option("--sum", help="Adds up scores label by label, as LightXML does, and fits nothing.")
    ] = False,
    fast: FastOption = None,
    out_: OutOption = None,
    *,
    read: Read,
) -> None:
    """Blends several ways of knowing into one run, by weights fitted on documents that none has learnt from.

    Example: `xmlkit ensemble runs/mine neighbours:runs/mine linear --out runs/whole`
    """
    from xmlkit.blend.costs import milliseconds_in
    from xmlkit.blend.ensemble import ensemble as blend
    from xmlkit.cli.display import ensemble_table
    from xmlkit.data.corpus import load_corpus

    budget = None if fast is None else milliseconds_in(fast)
    read.check_data(data)
    corpus = load_corpus(data, read.dialect()) if data else None
    made = blend(members, corpus, out_, for_, summed, budget)
    print_uncut(ensemble_table(made))
    say_run(made.folder)
