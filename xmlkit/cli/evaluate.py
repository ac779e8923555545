"""`xmlkit evaluate`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from xmlkit.cli.options import RunArgument
from xmlkit.cli.saying import out
from xmlkit.console import say, visible


def evaluate(
    run: RunArgument,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="A corpus folder (its test split is taken) or one file; default: the run's own corpus.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Scores a run on a test split: P, nDCG, RP, R, PSP, PSnDCG and coverage.

    The figures of an ensemble on its own corpus stay in its metrics.json where there is none yet.
    """
    from xmlkit.blend.opening import Ensemble, load, source_of
    from xmlkit.cli.display import metric_table, unknown_labels
    from xmlkit.data.corpus import load_split
    from xmlkit.model.folder import write_json
    from xmlkit.training.train import METRICS

    model = load(run)
    source = data or source_of(run)
    split = load_split(source, model.labels)
    if warning := unknown_labels(split, len(model.labels)):
        say(warning)
    print(visible(f"{run} on {source}, {len(split):,} documents"))
    if isinstance(model, Ensemble):
        metrics, before, after = model.evaluated(split)
        if data is None and not (run / METRICS).exists() and os.access(run, os.W_OK):
            write_json(run / METRICS, metrics)
        out.print(metric_table(metrics))
        print(f"expected calibration error of scores: {after:.2f}%; {before:.2f}% before calibration")
    else:
        out.print(metric_table(model.evaluate(split)))
