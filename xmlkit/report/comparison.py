"""What a comparison's folder tells: its tables, and how each set learnt.

S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xmlkit.comparison.compare import DECIDES, Comparison, read
from xmlkit.comparison.runs import folder_of
from xmlkit.errors import UserError
from xmlkit.report.curves import Curve, Curves, Point
from xmlkit.training.claim import LOG
from xmlkit.training.report import figures_in


@dataclass(frozen=True)
class OfComparison:
    """Tables of one folder: of the validation part, and of the test split where that was looked at."""

    folder: Path
    tables: list[Comparison]
    curves: dict[
        str, Curve
    ]  # of each set: P@5 of held-out documents, the mean over seeds, where it is more than a point

    @property
    def title(self) -> str:
        """Its folder's name."""
        return self.folder.resolve().name


def read_comparison(folder: Path) -> OfComparison:
    """Raises UserError where it is none, or damaged."""
    tables = read(folder)
    if not tables:
        raise UserError(
            f"{folder} is neither a run nor a comparison: it holds no model.json, ensemble.json, "
            "validation.json or test.json; name a folder that train, ensemble or compare has filled"
        )
    curves = {row.name: _mean_curve(folder, row.name, tables[0].seeds) for row in tables[0].rows}
    return OfComparison(folder, tables, {name: curve for name, curve in curves.items() if len(curve) > 1})


def _mean_curve(folder: Path, name: str, seeds: int) -> Curve:
    """Over the steps that every seed was evaluated at; none where the runs are gone."""
    logs = [Curves(figures_in(folder_of(folder, name, seed) / LOG)) for seed in range(seeds)]
    of_seeds = [log.pictures.get("validation/P", {}).get(DECIDES, []) for log in logs]
    by_step = [{point.step: point for point in curve} for curve in of_seeds]
    shared = sorted(set.intersection(*(set(one) for one in by_step)))
    return [
        Point(step, by_step[0][step].epoch, sum(one[step].value for one in by_step) / len(by_step))
        for step in shared
    ]
