"""What a run's or an ensemble's folder tells, and what its model makes of test documents."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xmlkit.blend.folder import DESCRIPTION, describe, documents_of_labels
from xmlkit.blend.folder import Description as WholeDescription
from xmlkit.blend.load import load
from xmlkit.blend.opening import tested_on
from xmlkit.blend.threshold import kept
from xmlkit.console import in_words, say
from xmlkit.data.corpus import load_split
from xmlkit.data.dialect import Source
from xmlkit.errors import UserError
from xmlkit.model.folder import WEIGHTS, Description, description_of, is_ensemble, read_config, read_labels
from xmlkit.report.curves import Curves
from xmlkit.report.tested import Tested
from xmlkit.training.claim import LOG
from xmlkit.training.report import figures_in, outcome_of, seconds_of, steps_of
from xmlkit.training.train import metrics_of

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Told:
    """What the folder alone tells."""

    kind: str  # run or ensemble
    facts: Facts
    counts_L: np.ndarray  # training documents of each label
    curves: Curves = field(default_factory=lambda: Curves([]))
    command: str | None = None  # that trains the same once more
    settings: Mapping[str, Any] = field(default_factory=dict)  # all
    changed: Mapping[str, Any] = field(default_factory=dict)  # those that differ from the defaults
    members: Sequence[Mapping[str, Any]] = ()  # of an ensemble
    metric: str = ""  # that these were weighed by


@dataclass(frozen=True)
class OfRun:
    """A run, or an ensemble."""

    folder: Path
    told: Told
    recorded: dict[str, Any]  # metrics.json
    tested: Tested | None
    left_out: str  # why that is none

    @property
    def title(self) -> str:
        """Its folder's name."""
        return self.folder.resolve().name

    @property
    def metrics(self) -> dict[str, float]:
        """Of the test split: as computed now, else as the run has noted them."""
        noted = {name: value for name, value in self.recorded.items() if "@" in name}
        return self.tested.metrics if self.tested else noted

    @property
    def unseen(self) -> dict[str, Any]:
        """The same of labels without a training document, where they were noted."""
        found = self.recorded.get("unseen")
        if not isinstance(found, dict) or not {"labels", "occurring", "documents", "P@1"} <= found.keys():
            return {}
        return found if all(isinstance(value, int | float) for value in found.values()) else {}


def read_run(folder: Path, data: Source | None) -> OfRun:
    """`data`: the corpus or file to be scored; None: its own, where that is there.

    Raises UserError where a file is damaged, and for `data` that cannot be scored.
    """
    tested, left_out = _tested(folder, data)
    told = _of_ensemble(folder) if is_ensemble(folder) else _of_run(folder)
    recorded = metrics_of(folder)
    if data:  # which these are not of
        recorded = {name: value for name, value in recorded.items() if name != "unseen"}
    return OfRun(folder, told, recorded, tested, left_out)


def _tested(folder: Path, data: Source | None) -> tuple[Tested | None, str]:
    """Raises UserError where data are named; else what is wrong is said, and the page is without them."""
    try:
        if not is_ensemble(folder) and not (folder / WEIGHTS).is_file():
            description_of(folder)
            raise UserError(f"{folder} holds no {WEIGHTS} yet")
        model, fitted = load(folder), kept(folder)
        source, dialect = data or tested_on(folder)
        split = load_split(source, model.labels, dialect=dialect)
        return Tested(model, split, source, fitted.cut if fitted else None), ""
    except UserError as error:
        if data:
            raise
        say(f"without test documents: {error}")
        return None, str(error)


def _of_run(folder: Path) -> Told:
    described, config = description_of(folder), read_config(folder)
    _, counts_L, clusters = read_labels(folder)
    log = folder / LOG
    curves = Curves(figures_in(log))
    num_clusters = "" if clusters is None else f" in {clusters.num_clusters:,} clusters"
    facts = [
        *_of_corpus(described.source, described.training_documents, counts_L, num_clusters),
        ("Held out", f"{100 * config.validation:g}% of these, {config.validation_max:,} at most"),
        ("Encoder", f"{config.encoder}{', as it is' if config.freeze else ''}"),
        ("Plugins", ", ".join(f"{one.name} {one.version}" for one in described.plugins)),
        ("Training", _training(log)),
        ("Machine", ", ".join(f"{what} {which}" for what, which in described.machine.items())),
    ]
    if curves.chosen:
        facts.append(("Weights", f"of step {curves.chosen.step:,}, the best on held-out documents"))
    return Told(
        "run",
        facts,
        counts_L,
        curves,
        _command(folder, described),
        settings=config.as_document(),
        changed=config.changed,
    )


def _training(log: Path) -> str:
    if not (steps := steps_of(log)):
        return "none"
    return f"{steps:,} steps in {in_words(seconds_of(log))}, {outcome_of(log) or 'not ended'}"


def _of_ensemble(folder: Path) -> Told:
    described, counts_L = describe(folder), np.array(documents_of_labels(folder), np.int64)
    facts = [
        *_of_corpus(described.source, described.training_documents, counts_L, ""),
        ("Held out", f"{described.held_out_documents:,} of these, which weights were fitted on"),
        ("Blended", "scores added up" if described.fusion == "sum" else f"by {described.metric}"),
    ]
    return Told("ensemble", facts, counts_L, members=_members(folder, described), metric=described.metric)


def _members(folder: Path, described: WholeDescription) -> list[dict[str, Any]]:
    found = []
    for member in described.members:
        if len(member.loss_without) != 3 or not np.isfinite(member.loss_without).all():
            raise UserError(f"{folder / DESCRIPTION} is damaged: loss_without of {member.name}")
        row = dict(zip(("difference", "low", "high"), member.loss_without, strict=True))
        found.append({**row, "name": member.name, "kind": member.kind, "alone": member.alone})
    return found


def _of_corpus(source: str | None, documents: int, counts_L: np.ndarray, clusters: str) -> Facts:
    lacking = int((counts_L == 0).sum())
    usual = f"half of them have {np.median(counts_L):,.0f} training documents or fewer"
    usual += f", {lacking:,} have none" if lacking else ""
    return [
        ("Corpus", source or "made in memory"),
        ("Training documents", f"{documents:,}, with {counts_L.sum() / documents:.2f} labels each"),
        ("Labels", f"{len(counts_L):,}{clusters}; {usual}"),
    ]


def _command(folder: Path, described: Description) -> str | None:
    """That trains the same once more; None for a corpus made in memory."""
    if described.source is None:
        return None
    words = ["xmlkit", "train", described.source, *described.dialect.words]
    words += ["--config", str(folder / "config.json")]
    words += ["--init-from", described.init_from] if described.init_from else []
    return shlex.join(words)
