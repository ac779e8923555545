"""Labels that a run gets after its training, to be scored by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from xmlkit.console import say
from xmlkit.data.corpus import Labels
from xmlkit.data.dialect import PLAIN
from xmlkit.data.lines import is_unicode
from xmlkit.data.vocabularies import Label
from xmlkit.data.vocabularies.tsv import read
from xmlkit.errors import UserError
from xmlkit.inference.predict import ready_to_predict
from xmlkit.model.finite import not_finite
from xmlkit.model.folder import (
    Opened,
    Recorded,
    describe_again,
    open_description,
    save_weights,
    with_weights,
)
from xmlkit.training.claim import new_folder

ADVICE = "train it with an encoder, --plugin label-text and a corpus that has labels.tsv"


def add_labels(
    run: str | Path, labels: str | Path | Mapping[str, str], out: str | Path | None = None
) -> Path:
    """Writes a run that knows more labels than `run`, which stays as it is; returns the new one's folder.

    `labels` are names by id, or a file of them, `<id> TAB name` a line. They come behind the run's own and
    are scored by their names: some plugin must do so, as label-text does. `out` is a new folder, by default
    `RUN-more-labels`. The log and the figures on the test split, which are not its own, are not in it.

    Raises UserError where the run has no such plugin, has clusters, or is damaged; for labels that it has
    already, that have no name or can't be read; and for a folder that is in use.
    """
    run = Path(run)
    recorded = open_description(run)
    _check(run, recorded)
    more = _new_labels(labels, run, recorded.labels)
    with new_folder(_beside(run) if out is None else out, run.name) as folder:
        opened = _opened_with(more, run, recorded)
        ready_to_predict(opened)
        opened.model.labels_added(len(more))
        if (name := not_finite(opened.model.weights())) is not None:
            raise UserError(f"{run}: with the new labels {name!r} is not finite: train it again")
        describe_again(folder, run, opened)
        save_weights(folder, opened.model)
    say(f"{len(more):,} labels added to the {len(recorded.labels):,} of {run}, which stays as it is")
    return folder


def _check(run: Path, recorded: Recorded) -> None:
    if recorded.clusters is not None:
        advice = "train it with --set clustered=false"
        raise UserError(f"{run}: its labels lie in clusters, to which none can be added: {advice}")
    if not recorded.labels.named_L.any():
        raise UserError(f"{run}: its labels have no names, by which new ones could be scored: {ADVICE}")


def _new_labels(given: str | Path | Mapping[str, str], run: Path, known: Labels) -> Labels:
    source, lines = (
        ("labels", _of_mapping(given)) if isinstance(given, Mapping) else (given, read(Path(given), PLAIN))
    )
    names: dict[str, str] = {}
    for where, label, name, *_ in lines:
        if label in known.rows:
            raise UserError(f"{where}: {run} has the label {label} already; leave it out")
        if name in ("", label):
            raise UserError(f"{where}: label {label} has no name, by which it would be scored; give it one")
        names[label] = name
    if not names:
        raise UserError(f"{source}: no labels; give an id and a name for each")
    return Labels(list(names), list(names.values()))


def _of_mapping(names: Mapping[str, str]) -> Iterator[Label]:
    for label, name in names.items():
        if not all(isinstance(text, str) and is_unicode(text) for text in (label, name)) or not label:
            raise UserError(f"labels[{label!r}]: {name!r}; ids and names are strings that are not empty")
        yield Label(f"labels[{label!r}]", label, name.strip())


def _opened_with(more: Labels, run: Path, recorded: Recorded) -> Opened:
    """The run's model with rows for more labels behind its own: all row numbers stay what they are."""
    labels = recorded.labels.and_more(more.ids, more.names)
    counts_L = np.append(recorded.counts_L, np.zeros(len(more), np.int64))
    opened = with_weights(run, replace(recorded, labels=labels, counts_L=counts_L), len(more))
    if not opened.model.shortlister.every_label:
        advice = "train it without what makes the choice"
        raise UserError(f"{run}: it scores a choice of labels, to which none can be added: {advice}")
    if not opened.model.head.knows_new_labels:
        raise UserError(f"{run}: it scores no label by its name, and so would find no new one: {ADVICE}")
    return opened


def _beside(run: Path) -> Path:
    run = run if run.name.strip(".") else run.resolve()
    return run.with_name(f"{run.name}-more-labels")
