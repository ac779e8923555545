"""Labels that a run gets after its training, to be scored by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xmlkit.console import say
from xmlkit.data.corpus import Labels
from xmlkit.data.dialect import PLAIN
from xmlkit.data.lines import is_unicode
from xmlkit.data.tokens import tokenise
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
from xmlkit.model.inputs import Reader
from xmlkit.model.ranking import encode_documents
from xmlkit.tables import ClusterTable
from xmlkit.training.claim import new_folder

ADVICE = "train it with an encoder, --plugin label-text and a corpus that has labels.tsv"


def add_labels(
    run: str | Path, labels: str | Path | Mapping[str, str], out: str | Path | None = None
) -> Path:
    """Writes a run that knows more labels than `run`, which stays as it is; returns the new one's folder.

    `labels` are names by id, or a file of them, `<id> TAB name` a line. They come behind the run's own and
    are scored by their names: some plugin must do so, as label-text does. Where labels lie in clusters, each
    goes to the one that is the likeliest for a text that says its name. `out` is a new folder, by default
    `RUN-more-labels`. The log and the figures on the test split, which are not its own, are not in it.

    Raises UserError where the run has no such plugin, or is damaged; for labels that it has
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
    if recorded.clusters is not None:
        clusters = _grown(recorded.clusters, _likeliest_clusters(more, run, recorded))
        recorded = replace(recorded, clusters=clusters)
    labels = recorded.labels.and_more(more.ids, more.names)
    counts_L = np.append(recorded.counts_L, np.zeros(len(more), np.int64))
    opened = with_weights(run, replace(recorded, labels=labels, counts_L=counts_L), len(more))
    if recorded.clusters is None and not opened.model.shortlister.every_label:
        advice = "train it without what makes the choice"
        raise UserError(f"{run}: it scores a choice of labels, to which none can be added: {advice}")
    if not opened.model.head.knows_new_labels:
        raise UserError(f"{run}: it scores no label by its name, and so would find no new one: {ADVICE}")
    return opened


def _likeliest_clusters(more: Labels, run: Path, recorded: Recorded) -> Tensor:
    """Of each label (L) the cluster where a document that says its name and no more is looked up first."""
    assert more.names is not None
    opened = with_weights(run, recorded)
    ready_to_predict(opened)
    model, config = opened.model, opened.config
    store = tokenise(more.names, opened.tokenizer, config.text_cap)
    reader, rows = Reader(store, model.encoder.template, config.max_len), np.arange(len(more))
    found_L = torch.zeros(len(more), dtype=torch.long)
    for places_B, documents, vectors in encode_documents(model, reader, rows, config.tokens_at_once):
        shortlister = model.shortlister
        clusters_BS = None if shortlister.every_label else shortlister(vectors, documents, None).clusters_BS
        if clusters_BS is None:
            advice = "train it with --set clustered=false"
            raise UserError(f"{run}: its labels lie in clusters, by which it does not choose: {advice}")
        z_BS = shortlister.cluster_logits_BK(vectors.recall_BD).gather(1, clusters_BS)
        best_B1 = z_BS.argmax(1, keepdim=True)
        found_L[places_B] = clusters_BS.gather(1, best_B1).squeeze(1).cpu()
    return found_L


def _grown(clusters: ClusterTable, more_L: Tensor) -> ClusterTable:
    """With more labels, behind all others, in these clusters."""
    grown = ClusterTable.of_labels(torch.cat([clusters.cluster_L.cpu(), more_L]))
    if grown.largest > clusters.largest:
        say(f"the largest cluster holds {grown.largest:,} labels now, {clusters.largest:,} before")
    return grown


def _beside(run: Path) -> Path:
    run = run if run.name.strip(".") else run.resolve()
    return run.with_name(f"{run.name}-more-labels")
