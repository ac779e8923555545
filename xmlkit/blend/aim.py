"""What models are compared by: a metric, or the mean of several, and by how much one is better.

N documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xmlkit.config import Config
from xmlkit.errors import UserError
from xmlkit.intervals import cells, interval
from xmlkit.metrics import METRICS, Terms, usual_k


@dataclass(frozen=True)
class Mean:
    """The mean of some metrics of one ranking."""

    terms: tuple[Terms, ...]

    @property
    def percent(self) -> float:
        """The mean of their percentages."""
        return sum(one.percent for one in self.terms) / len(self.terms)


@dataclass(frozen=True)
class Aim:
    """The metrics that count, one as much as another."""

    metrics: tuple[str, ...]  # as `nDCG@5`

    def __str__(self) -> str:
        *others, last = self.metrics
        return f"mean of {', '.join(others)} and {last}" if others else last

    def of(self, terms: Mapping[str, Terms]) -> Mean:
        """These, of all that are known of a ranking."""
        return Mean(tuple(terms[metric] for metric in self.metrics))


def aim_for(config: Config, given: str | None) -> Aim:
    """The metrics that a comma parts, None: nDCG and PSP. Raises UserError for one that is not computed."""
    if given is None:
        return Aim((at_five("nDCG", config), at_five("PSP", config)))
    known = [f"{name}@{k}" for name in METRICS if name != "coverage" for k in config.ks]
    metrics = tuple(dict.fromkeys(metric.strip() for metric in given.split(",")))
    for metric in metrics:
        if metric not in known:
            raise UserError(f"--for {given}: no metric {metric!r}; expected one of {', '.join(known)}")
    return Aim(metrics)


def at_five(name: str, config: Config) -> str:
    """This metric at 5, or where it is not computed there at the largest k."""
    return f"{name}@{usual_k(config.ks)}"


def difference(one: Mean, other: Mean) -> tuple[float, float, float]:
    """Points by which one is better, and a 95% interval over documents."""

    def cells_1N(of: Mean) -> np.ndarray:
        """What a document adds to the mean of the metrics."""
        return np.mean([cells(one.part_N[None], one.whole_N[None]) for one in of.terms], axis=0)

    return one.percent - other.percent, *interval(cells_1N(one) - cells_1N(other))
