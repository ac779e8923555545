"""`xmlkit threshold`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from xmlkit.cli.options import Read, RunArgument, never_empty, spread
from xmlkit.cli.saying import out
from xmlkit.console import say


@spread
def threshold(
    run: RunArgument,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="The corpus that it was trained on, where that lies elsewhere now.",
            callback=never_empty,
            show_default=False,
        ),
    ] = None,
    for_: Annotated[
        Literal["micro-F1", "macro-F1", "example-F1"],
        typer.Option("--for", help="What the one that is kept is the best for."),
    ] = "micro-F1",
    *,
    read: Read,
) -> None:
    """Finds the best threshold and limit on held-out documents and keeps them for `predict --threshold auto`.

    Each label that scores at least the threshold is assigned, up to the limit. `evaluate` then says how good
    that is on a test split.
    """
    from xmlkit.blend.load import load
    from xmlkit.blend.opening import Ensemble, source_of
    from xmlkit.blend.threshold import FILE, fit, keep
    from xmlkit.cli.display import fitted_table
    from xmlkit.data.corpus import load_corpus

    model = load(run)
    read.check_data(data)
    corpus = load_corpus(data, read.dialect()) if data else load_corpus(*source_of(run))
    fitted = {found.measure: found for found in fit(run, model, model.held_out(corpus))}
    keep(run, fitted[for_])
    out.print(fitted_table(list(fitted.values()), for_))
    how = "fitted on" if isinstance(model, Ensemble) else "chosen by"
    say(f"its weights were {how} these documents: on others it will do a little worse")
    say(f"{run / FILE}: {for_}; next: xmlkit predict {run} --threshold auto")
