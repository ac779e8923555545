"""Training a run that may be there already: it is not trained again, and what was broken off goes on.

`FOLDER.json` beside a run's folder says what it is a run of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xmlkit.config import Config
from xmlkit.data.corpus import Corpus
from xmlkit.discovery import load_all
from xmlkit.distribution import DISTRIBUTION
from xmlkit.errors import UserError
from xmlkit.inference.predict import load_run
from xmlkit.model.folder import write_json
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.claim import LOG, is_free
from xmlkit.training.report import outcome_of, seconds_of
from xmlkit.training.train import METRICS, Trained, resume, train


def read_record(folder: Path) -> dict[str, Any]:
    """What is known of a run; nothing where it was never begun. Raises UserError for what is no record."""
    path = record_of(folder)
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {**record, "corpus": record["corpus"], "settings": dict(record["settings"])}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(
            f"{path} is no record of a run, or damaged: name another --out or remove it"
        ) from None


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Replaces it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_json(record_of(folder), record)


def record_of(folder: Path) -> Path:
    """Where it lies."""
    return folder.with_name(f"{folder.name}.json")


def check_same(folder: Path, corpus: Corpus, config: Config, by: str) -> dict[str, Any]:
    """The record of a run, if anything came of it.

    Raises UserError where it has other documents or settings, or where `by`, such as "this comparison", did
    not make what is there.
    """
    record = read_record(folder)
    if "result" not in record and is_free(folder):
        return {}
    if not record:
        raise UserError(f"{folder} was not made by {by}: name another --out or remove it")
    if record["corpus"] != corpus.digest:
        raise UserError(f"{folder} was trained on other documents: name another --out")
    if record.get("names", corpus.names_digest) != corpus.names_digest:
        raise UserError(f"{folder} was trained with other names of labels: name another --out")
    ours, theirs = json.loads(json.dumps(config.as_document())), record["settings"]
    for key in ours.keys() | theirs.keys():
        if ours.get(key) != theirs.get(key):
            raise UserError(
                f"{folder} was trained with {key}={theirs.get(key)}, not {ours.get(key)}: name another --out"
            )
    code = _code_of(config)
    for name, digest in record.get("code", code).items():
        if code.get(name) != digest:
            raise UserError(
                f"{folder} was trained with other code of the plugin {name!r}: name another --out"
            )
    return record


def is_trained(folder: Path) -> bool:
    """Whether its training has ended."""
    return not (folder / CHECKPOINT).is_file() and outcome_of(folder / LOG) is not None


def train_once(corpus: Corpus, config: Config, folder: Path) -> Trained:
    """Trains what `check_same` let pass, goes on with it, or opens it."""
    if is_trained(folder):
        if corpus.test is not None and not (folder / METRICS).is_file():
            return resume(folder, corpus)  # its scoring was broken off
        outcome = outcome_of(folder / LOG)
        assert outcome is not None
        return Trained(folder, outcome, load_run(folder), seconds=seconds_of(folder / LOG))
    if (folder / CHECKPOINT).is_file():
        return resume(folder, corpus)
    record = {"settings": config.as_document(), "corpus": corpus.digest, "names": corpus.names_digest}
    write_record(folder, {**record, "code": _code_of(config)})
    return train(corpus, config, folder)  # which clears what was broken off before its first step


def _code_of(config: Config) -> dict[str, str]:
    """Digests of the plugins that do not come with xmlkit: while they are written their version stays."""
    return {one.name: one.code for one in load_all(config.plugins) if one.distribution != DISTRIBUTION}
