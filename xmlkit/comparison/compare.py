"""`compare`: the same training with and without plugins, and which differences are more than chance."""

from __future__ import annotations

import csv
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError

from xmlkit.comparison.runs import Run, Tested, held_out, train_all
from xmlkit.comparison.sets import NO_PLUGINS, PluginSet, parse_sets
from xmlkit.config import SETTINGS, as_assigned
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.files import replaced
from xmlkit.intervals import FEWEST, cells, interval
from xmlkit.metrics import Terms
from xmlkit.model.encoder import NONE
from xmlkit.model.folder import write_json
from xmlkit.training.claim import claimed

SHOWN = ("P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5", "nDCG@5")
DECIDES = "P@5"
Part = Literal["validation", "test"]


@dataclass(frozen=True)
class Figure:
    """A metric of a row, in percent, and its difference from base's with a 95% interval; None for base."""

    value: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        """Of the interval; None for base."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Row:
    """One set, over all seeds."""

    name: str
    metrics: dict[str, Figure]
    seconds: float  # of training, a seed
    extra_seconds: float
    extra_parameters: int
    could_show: float | None  # the smallest difference of P@5 that its interval would tell from 0
    verdict: str  # on P@5


@dataclass(frozen=True)
class Comparison:
    """The table, and what it is of."""

    part: Part
    scored: str  # when the first of the runs was scored on this part
    documents: int
    seeds: int
    rows: list[Row]  # base first
    settings: dict[str, Any]  # of base, seed 0
    plugins: dict[str, str]  # versions
    at_once: int = 1  # trainings, at the most: where there were several, seconds can't be compared
    command: str | None = None  # that makes the same once more; None for a corpus made in memory

    @property
    def base(self) -> str:
        """The set that the others are compared with; it has the first row."""
        return self.rows[0].name


def compare(
    corpus: Corpus,
    plugin_sets: str,
    settings: Mapping[str, Any] | None = None,
    seeds: int = 3,
    part: Part = "validation",
    out: str | Path | None = None,
    base: str = NO_PLUGINS,
    jobs: int = 1,
) -> Comparison | None:
    """Trains each set with seeds 0 to `seeds` - 1, scores them on one part and compares each with `base`.

    That is one of them, by default the model without plugins. Each run has a process of its own, `jobs` of
    them at once, each with its part of the threads. What `out` (by default `comparisons/CORPUS`) holds
    already is not trained again; it then holds the runs, `PART.json` and `PART.csv`. Returns None where
    Ctrl-C ended a run; a second call goes on.

    Raises UserError for sets that do not parse, settings that there are not, a folder of other runs, a corpus
    without the part that is asked for, and a process that was killed.
    """
    shared = dict(settings or {})
    for key, value in shared.items():
        if value and (key == "plugins" or isinstance(value, Mapping)):
            raise UserError(f"{key} belongs into --plugin-sets, as in 'base;se[reduction=4]'")
    if "seed" in shared:
        raise UserError("seed: --seeds N trains each set with the seeds 0 to N-1; leave it out")
    if jobs < 1:
        raise UserError(f"--jobs {jobs}: one at least")
    if part == "test" and corpus.test is None:
        raise UserError(f"--final test: {corpus.name} has no test split")
    sets = parse_sets(plugin_sets, base)
    if shared.get("encoder") == NONE:
        _check_vectors(sets)
    configs = [
        (found, seed, found.config(shared, seed, corpus.source))
        for seed, found in product(range(seeds), sets)
    ]
    split = held_out(corpus, configs[0][2])  # which there must be, whatever is scored
    tested = Tested(part, split if part == "validation" or corpus.test is None else corpus.test)
    folder = Path("comparisons") / corpus.folder_name if out is None else Path(out)
    with claimed(folder):
        runs = train_all(corpus, configs, folder, tested, jobs)
        if runs is None:
            return None
        scored = {key: run.scores(tested) for key, run in runs.items()}
        dates = sorted(day for _, day in scored.values())
        scores = {key: terms for key, (terms, _) in scored.items()}
        rows = _rows([found.name for found in sets], seeds, runs, scores)
        plugins = {name: version for run in runs.values() for name, version in run.plugins.items()}
        document = configs[0][2].as_document()
        at_once = max(run.at_once for run in runs.values())
        command = _command(corpus, sets, shared, seeds, part)
        found = Comparison(
            part, dates[0], len(tested.split), seeds, rows, document, plugins, at_once, command
        )
        _write(folder, found)
        return found


def _command(
    corpus: Corpus, sets: Sequence[PluginSet], shared: Mapping[str, Any], seeds: int, part: Part
) -> str | None:
    if corpus.source is None:
        return None
    base, names = sets[0].name, ";".join(found.name for found in sets)
    words = ["xmlkit", "compare", corpus.source, *corpus.dialect.words]
    words += ["--plugin-sets", names, "--seeds", str(seeds)]
    words += [] if base == NO_PLUGINS else ["--base", base]
    words += ["--final", "test"] if part == "test" else []
    for name, value in shared.items():
        if name in SETTINGS and name != "plugins":  # of which there are none beside those of the sets
            words += ["--set", f"{name}={as_assigned(value)}"]
    return shlex.join(words)


def _check_vectors(sets: Sequence[PluginSet]) -> None:
    for found in sets:
        if not found.settings["plugins"] and "encoder" not in found.settings:
            raise UserError(
                f"--encoder none: {found.name} would have no vectors; set it in brackets, as in "
                "'lexical[encoder=none]'"
            )


def _rows(
    names: list[str],
    seeds: int,
    runs: Mapping[tuple[str, int], Run],
    scores: Mapping[tuple[str, int], Mapping[str, Terms]],
) -> list[Row]:
    """Models (M) are the sets in their order, base first."""
    metrics: list[dict[str, Figure]] = [{} for _ in names]
    for metric in SHOWN:
        part_MSN, whole_MSN = (
            np.array([[getattr(scores[name, s][metric], term) for s in range(seeds)] for name in names])
            for term in ("part_N", "whole_N")
        )
        percent_MS = np.array([[scores[name, s][metric].percent for s in range(seeds)] for name in names])
        cells_MSN = np.stack([cells(*of) for of in zip(part_MSN, whole_MSN, strict=True)])
        for m, figures in enumerate(metrics):
            value = float(percent_MS[m].mean())
            if m == 0:
                figures[metric] = Figure(value)
            else:
                difference = float((percent_MS[m] - percent_MS[0]).mean())
                figures[metric] = Figure(value, difference, *interval(cells_MSN[m] - cells_MSN[0]))
    seconds = [float(np.mean([runs[name, s].seconds for s in range(seeds)])) for name in names]
    parameters = [runs[name, 0].parameters for name in names]
    base, of_set = names[0], {name: [scores[name, s] for s in range(seeds)] for name in names}
    return [
        Row(
            name,
            metrics[m],
            seconds[m],
            seconds[m] - seconds[0],
            parameters[m] - parameters[0],
            metrics[m][DECIDES].half_width,
            _verdict(metrics[m][DECIDES], of_set[name], of_set[base], base),
        )
        for m, name in enumerate(names)
    ]


def _verdict(
    figure: Figure, ours: Sequence[Mapping[str, Terms]], theirs: Sequence[Mapping[str, Terms]], base: str
) -> str:
    """Of the terms of all seeds, beside those of base."""
    if figure.low is None or figure.high is None:  # base itself
        return ""
    pairs = [(o[name].part_N, t[name].part_N) for o, t in zip(ours, theirs, strict=True) for name in SHOWN]
    if all(np.array_equal(*pair) for pair in pairs):
        return f"the same as {base}"
    if len(theirs[0][DECIDES].part_N) < FEWEST:
        return "no difference shown"
    return "better" if figure.low > 0 else "worse" if figure.high < 0 else "no difference shown"


def read(folder: Path) -> list[Comparison]:
    """The tables that a folder holds, the one to choose by first. Raises UserError where one is damaged."""
    paths = [folder / f"{part}.json" for part in get_args(Part)]
    return [_read(path) for path in paths if path.is_file()]


def _read(path: Path) -> Comparison:
    try:
        found = TypeAdapter(Comparison).validate_json(path.read_bytes())
    except ValidationError:
        found = None
    if (
        found is None
        or not found.rows
        or not all(_is_whole(row, not at) for at, row in enumerate(found.rows))
    ):
        raise UserError(f"{path} is damaged, or another version's: the same compare writes it anew")
    return found


def _is_whole(row: Row, is_base: bool) -> bool:
    figures = [value for figure in row.metrics.values() for value in asdict(figure).values()]
    if not is_base and (row.could_show is None or None in figures):
        return False
    numbers = [row.seconds, row.extra_seconds, row.could_show or 0.0, *(value or 0.0 for value in figures)]
    return row.metrics.keys() == set(SHOWN) and all(map(math.isfinite, numbers))


def _write(folder: Path, found: Comparison) -> None:
    write_json(folder / f"{found.part}.json", asdict(found))
    with (
        replaced(folder / f"{found.part}.csv") as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        kinds = ("", " difference", " low", " high")
        table.writerow(
            [
                "set",
                *(metric + kind for metric in SHOWN for kind in kinds),
                *("seconds", "extra seconds", "extra parameters", "could show", "verdict"),
            ]
        )
        for row in found.rows:
            figures = [value for metric in SHOWN for value in asdict(row.metrics[metric]).values()]
            numbers = (row.seconds, row.extra_seconds, row.extra_parameters, row.could_show)
            table.writerow([row.name, *figures, *numbers, row.verdict])
