"""Training what is compared, once: what a folder holds is not trained again.

`OUT/SET/seed-N` is a run like any other; `OUT/SET/seed-N.json` says what it is a run of and, once it has
ended, what came out; `OUT/SET/seed-N.PART.npz` holds its scores on a part, document by document.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import BadZipFile

import numpy as np

from xmlkit.comparison.apart import Task, work_through
from xmlkit.comparison.sent import Document, of_config, of_corpus, of_split, to_config, to_corpus, to_split
from xmlkit.comparison.sets import PluginSet
from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.data.cache import digest
from xmlkit.data.corpus import Corpus, Split, validation_rows
from xmlkit.data.ragged import Ragged
from xmlkit.errors import UserError
from xmlkit.files import replaced
from xmlkit.inference.predict import load_run
from xmlkit.metrics import Terms
from xmlkit.plugins import activate
from xmlkit.training.once import check_same, read_record, train_once, write_record

KS = (1, 3, 5)


@dataclass(frozen=True)
class Run:
    """One set with one seed, trained."""

    folder: Path
    seconds: float  # of training steps
    parameters: int
    plugins: dict[str, str]  # versions
    at_once: int = 1  # trainings, this one among them

    def scores(self, tested: Tested) -> tuple[dict[str, Terms], str]:
        """Document by document, and the date they are of: computed once for these documents, and kept."""
        if (kept := self.kept_scores(tested)) is not None:
            return kept
        found, today = load_run(self.folder).terms(tested.split, KS), date.today().isoformat()
        packed = io.BytesIO()
        arrays: dict[str, Any] = {
            name: np.stack([terms.part_N, terms.whole_N]) for name, terms in found.items()
        }
        np.savez_compressed(packed, documents=tested.digest, date=today, **arrays)
        with replaced(self._file_of(tested)) as unfinished:
            unfinished.write_bytes(packed.getvalue())
        return found, today

    def kept_scores(self, tested: Tested) -> tuple[dict[str, Terms], str] | None:
        """The same where they were computed already."""
        file = self._file_of(tested)
        if not file.is_file():
            return None
        try:
            with np.load(io.BytesIO(file.read_bytes())) as arrays:
                if str(arrays["documents"]) != tested.digest:
                    return None
                found = {name: Terms(*arrays[name]) for name in arrays.files if "@" in name}
                return found, str(arrays["date"])
        except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile):  # damaged: computed anew
            return None

    def _file_of(self, tested: Tested) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{tested.part}.npz")


@dataclass(frozen=True)
class Tested:
    """What runs are scored on."""

    part: str  # its name
    split: Split

    @cached_property
    def digest(self) -> str:
        """A key for the documents, their labels, and those that they are not asked about."""
        split = self.split
        asked = [split.labels] if split.left_out is None else [split.labels, split.left_out]
        return digest(split.texts, *(_ids_of(rows, split.label_ids) for rows in asked))


def _ids_of(labels: Ragged, label_ids: list[str]) -> Iterator[str]:
    return (json.dumps([label_ids[label] for label in labels[row]]) for row in range(len(labels)))


def held_out(corpus: Corpus, config: Config) -> Split:
    """The validation part, which is the same for all seeds. Raises UserError where there is none."""
    rows = validation_rows(corpus.train.texts, config.validation, config.validation_max)
    split = corpus.train.take(np.flatnonzero(rows))
    if not len(split):
        raise UserError(
            f"validation={config.validation:g} holds out no document: there is nothing to choose by"
        )
    return split


def folder_of(out: Path, name: str, seed: int) -> Path:
    """Where the run of a set is with this seed."""
    return out / quote(name, safe="[]=,") / f"seed-{seed}"


def train_all(
    corpus: Corpus, configs: Sequence[tuple[PluginSet, int, Config]], out: Path, tested: Tested, jobs: int
) -> dict[tuple[str, int], Run] | None:
    """Trains and scores what `out` does not hold yet, each run in a process of its own, `jobs` at once.

    None where Ctrl-C was pressed, after which a second call goes on. Raises UserError where `out` holds a run
    of these names with other settings or on other documents, and where a process was killed.
    """
    corpus = replace(corpus, test=None)  # which nothing is chosen by
    folders = [folder_of(out, found.name, seed) for found, seed, _ in configs]
    for folder, (_, _, config) in zip(folders, configs, strict=True):
        _check(folder, corpus, config)
    missing = [
        (folder, f"run {number} of {len(configs)}: {found.name}, seed {seed}", config)
        for number, (folder, (found, seed, config)) in enumerate(zip(folders, configs, strict=True), start=1)
        if (run := _ended(folder)) is None or run.kept_scores(tested) is None
    ]
    if missing:
        at_once = min(jobs, len(missing))
        shared = (of_corpus(corpus), tested.part, of_split(tested.split), at_once)
        tasks = [
            Task(name, _train_and_score, (of_config(config), str(folder), *shared))
            for folder, name, config in missing
        ]
        if not work_through(tasks, at_once):
            return None
    runs = {(found.name, seed): _ended(folder) for folder, (found, seed, _) in zip(folders, configs)}
    return {key: run for key, run in runs.items() if run is not None}


def _ended(folder: Path) -> Run | None:
    record = read_record(folder)
    return Run(folder, **record["result"]) if "result" in record else None


def _train_and_score(
    settings: Document, name: str, sent: Document, part: str, documents: Document, at_once: int
) -> bool:
    """Of what is sent to a process. Returns whether to go on: false after Ctrl-C."""
    corpus, config, folder = to_corpus(sent), to_config(settings), Path(name)
    tested = Tested(part, to_split(documents))
    if _ended(folder) is None:
        for of_another in folder.parent.glob(f"{folder.name}.*.npz"):  # which somebody has removed
            of_another.unlink()
        trained = train_once(corpus, config, folder)
        if trained.outcome != "interrupted":
            parameters, versions = trained.model.num_parameters, _versions(config)
            result = {"seconds": trained.seconds, "parameters": parameters, "plugins": versions}
            write_record(folder, {**read_record(folder), "result": {**result, "at_once": at_once}})
        if trained.stop_asked:
            return False
    run = _ended(folder)
    assert run is not None
    run.scores(tested)
    return True


def _check(folder: Path, corpus: Corpus, config: Config) -> None:
    record = check_same(folder, corpus, config, "this comparison")
    if not record:
        return
    versions = _versions(config)
    for name, version in record.get("result", {}).get("plugins", {}).items():
        if versions[name] != version:
            say(f"{folder} was trained with {name} {version}; {versions[name]} is installed")


def _versions(config: Config) -> dict[str, str]:
    return {plugin.name: plugin.version for plugin in activate(config.plugins, config.options).plugins}
