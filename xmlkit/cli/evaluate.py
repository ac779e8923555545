"""`xmlkit evaluate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmlkit.cli.options import PrecisionOption, Read, RunOrHubArgument, file_to_write, never_empty, spread
from xmlkit.cli.ranked import join_for
from xmlkit.cli.saying import out, print_uncut
from xmlkit.console import say, visible
from xmlkit.distributed.launch import speaks
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.inference.predict import Predictor
    from xmlkit.measures.cut import Cut
    from xmlkit.measures.scoring import Ranking


@spread
def evaluate(
    run: RunOrHubArgument,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="A corpus folder (its test split is taken) or one file; default: the run's own corpus.",
            callback=never_empty,
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Adds precision, recall and F1 of the labels that score as much; default: as `xmlkit "
            "threshold` found, where it did; 0 with --limit.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="The same of the first labels of each text, at most.", show_default=False),
    ] = None,
    per_label: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Writes them for each label, as TSV.")
    ] = None,
    deciles: Annotated[
        bool, typer.Option("--deciles", help="Adds them for rare to frequent labels, in ten parts.")
    ] = False,
    annif: Annotated[
        bool,
        typer.Option("--annif", help="Prints what `annif eval` would, by its definitions, and nothing else."),
    ] = False,
    precision: PrecisionOption = None,
    *,
    read: Read,
) -> None:
    """Scores a run on a test split: P, nDCG, RP, R, PSP, PSnDCG and coverage.

    With a threshold or a limit, P, R and F1 of what is then assigned: over all pairs (micro), label by label
    (macro), document by document (example).

    Of labels that no training document has it says apart how well they are found among themselves. Of an
    ensemble there are its members alone, too; its figures on its own corpus stay in its metrics.json where
    there is none yet.
    """
    from xmlkit.blend.load import load
    from xmlkit.blend.member import NAMED
    from xmlkit.blend.opening import Ensemble, tested_on
    from xmlkit.cli.display import members_table, metric_table, unknown_labels, unseen_in_words
    from xmlkit.data.corpus import load_split
    from xmlkit.inference.predict import RunPredictor
    from xmlkit.inference.unseen import evaluate_unseen
    from xmlkit.measures.annif import LIMIT
    from xmlkit.model.folder import write_json
    from xmlkit.training.train import METRICS

    if annif and (per_label or deciles):
        raise UserError("--annif prints what annif eval prints: leave out --per-label and --deciles")
    per_label = file_to_write("--per-label", per_label) if per_label and speaks() else None
    read.check_data(data)
    join_for(run)
    model = load(run, precision)
    cut = _cut(run, threshold, limit or (LIMIT if annif else None), needed=bool(per_label or deciles))
    source, dialect = (data, read.dialect()) if data else tested_on(run)
    split = load_split(source, model.labels, dialect=dialect)
    if warning := unknown_labels(split, len(model.labels)):
        say(warning)
    depth = max(*model.scoring.ks, min(cut.limit, len(model.labels)) if cut else 1)
    evaluated = model.evaluated(split, depth) if isinstance(model, Ensemble) else None
    ranking = evaluated.ranking if evaluated else model.ranking(split, depth)
    if annif and cut:
        _print_annif(model, ranking, cut)
        return
    print(visible(f"{run} on {source}, {len(split):,} documents"))
    # Where more is asked of its members than usually, a whole ranks otherwise.
    usual = depth <= NAMED or not isinstance(model, Ensemble)
    metrics = model.scoring.of(ranking) if usual else model.evaluate(split)
    out.print(metric_table(metrics))
    if evaluated:
        if data is None and not (run / METRICS).exists() and os.access(run, os.W_OK):
            write_json(run / METRICS, metrics)
        k = max(model.scoring.ks)
        alone = [
            (name, model.scoring.scores(ids_NK[:, :k], ranking.truth)) for name, ids_NK in evaluated.members
        ]
        print_uncut(members_table(alone, metrics))
        print(
            f"expected calibration error of scores: {evaluated.error:.2f}%; {evaluated.error_before:.2f}% "
            "before calibration"
        )
    if cut:
        if limit is None and threshold is not None:
            remark_on_limit(ranking, cut)
        _print_assigned(model, ranking, cut, split.label_ids, per_label, deciles)
    if isinstance(model, RunPredictor) and (unseen := evaluate_unseen(model, split)):
        print(unseen_in_words(unseen))
        out.print(metric_table(unseen.metrics))


def _cut(run: Path, threshold: float | None, limit: int | None, needed: bool) -> Cut | None:
    """What is asked for; else what was fitted, or None."""
    from xmlkit.blend.threshold import kept
    from xmlkit.measures.cut import DEEPEST, Cut

    if threshold is not None or limit is not None:
        return Cut(threshold or 0.0, limit or DEEPEST)
    fitted = kept(run)
    if fitted is None and needed:
        raise UserError(f"what is assigned? add --limit 5, or --threshold, or first: xmlkit threshold {run}")
    return fitted.cut if fitted else None


def remark_on_limit(ranking: Ranking, cut: Cut) -> None:
    """Where the limit that nobody asked for leaves labels out."""
    if ranking.ids_NK.shape[1] < cut.limit:
        return
    last = cut.limit - 1
    count = int(((ranking.ids_NK[:, last] >= 0) & (ranking.scores_NK[:, last] >= cut.threshold)).sum())
    if count:
        say(f"{count:,} documents have {cut.limit} labels or more above the threshold: --limit takes more")


def _print_annif(model: Predictor, ranking: Ranking, cut: Cut) -> None:
    from xmlkit.measures.annif import annif_figures

    found = annif_figures(ranking.scores_NK, ranking.ids_NK, ranking.truth, len(model.labels), cut)
    for name, value in found.items():
        print(f"{name + ':':<30}\t{value if isinstance(value, int) else format(value, '.04f')}")


def _print_assigned(
    model: Predictor, ranking: Ranking, cut: Cut, label_ids: list[str], per_label: Path | None, deciles: bool
) -> None:
    from xmlkit.cli.display import assigned_table, cut_in_words, decile_table
    from xmlkit.files import replaced
    from xmlkit.measures import by_label
    from xmlkit.measures.assigned import Assigned, f1_at
    from xmlkit.metrics import usual_k

    kept_NK = cut.assigned_NK(ranking.scores_NK, ranking.ids_NK)
    found = Assigned(ranking.ids_NK, kept_NK, ranking.truth, len(model.labels))
    print(cut_in_words(cut))
    out.print(assigned_table(found.measures))
    k = usual_k(model.scoring.ks)
    f1 = f1_at(ranking.ids_NK, ranking.truth, k)
    print(f"{found.each:.2f} labels a document; nDCG of them {found.ndcg:.2f}; F1@{k} {f1:.2f}")
    if deciles:
        print_uncut(decile_table(by_label.deciles(found, model.scoring.counts_L)))
    if per_label:
        labels = model.labels.and_more(label_ids[len(model.labels) :])
        with replaced(per_label) as unfinished, unfinished.open("w", encoding="utf-8") as file:
            print("\t".join(by_label.HEADER), file=file)
            for cells in by_label.rows_by_label(found, labels):
                print("\t".join(" ".join(cell.split()) for cell in cells), file=file)
        say(f"{per_label}: {len(found.of_labels.right_G):,} labels")
