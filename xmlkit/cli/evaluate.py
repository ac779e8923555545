"""`xmlkit evaluate`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from xmlkit.cli.options import Read, RunArgument, spread
from xmlkit.cli.saying import out
from xmlkit.console import say, visible


@spread
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
    *,
    read: Read,
) -> None:
    """Scores a run on a test split: P, nDCG, RP, R, PSP, PSnDCG and coverage.

    Of labels that no training document has it says apart how well they are found among themselves.
    The figures of an ensemble on its own corpus stay in its metrics.json where there is none yet.
    """
    from xmlkit.blend.opening import Ensemble, load, source_of
    from xmlkit.cli.display import metric_table, unknown_labels, unseen_in_words
    from xmlkit.data.corpus import load_split
    from xmlkit.inference.predict import RunPredictor
    from xmlkit.inference.unseen import evaluate_unseen
    from xmlkit.model.folder import write_json
    from xmlkit.training.train import METRICS

    model = load(run)
    source, dialect = (data, read.dialect()) if data else source_of(run)
    split = load_split(source, model.labels, dialect=dialect)
    if warning := unknown_labels(split, len(model.labels)):
        say(warning)
    print(visible(f"{run} on {source}, {len(split):,} documents"))
    if isinstance(model, Ensemble):
        ranking, before, after = model.evaluated(split, max(model.scoring.ks))
        metrics = model.scoring.of(ranking)
        if data is None and not (run / METRICS).exists() and os.access(run, os.W_OK):
            write_json(run / METRICS, metrics)
        out.print(metric_table(metrics))
        print(f"expected calibration error of scores: {after:.2f}%; {before:.2f}% before calibration")
    else:
        out.print(metric_table(model.evaluate(split)))
    if isinstance(model, RunPredictor) and (unseen := evaluate_unseen(model, split)):
        print(unseen_in_words(unseen))
        out.print(metric_table(unseen.metrics))
