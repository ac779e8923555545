"""Training what is compared, once: a run's folder holds its scores, and is not trained again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np

from xmlkit.comparison.sets import PluginSet
from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.data.corpus import Corpus, Split, validation_rows
from xmlkit.errors import UserError
from xmlkit.inference.predict import load
from xmlkit.metrics import Terms
from xmlkit.model.folder import write_json
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.train import Trained, resume, train

RESULT = "result.json"
KS = (1, 3, 5)


@dataclass(frozen=True)
class Run:
    """One set with one seed, trained."""

    folder: Path
    seconds: float  # in training steps
    parameters: int
    plugins: dict[str, str]  # versions

    def scores(self, part: str, split: Split) -> dict[str, Terms]:
        """Document by document; computed once and kept beside the run."""
        file = self.folder / f"{part}.npz"
        if not file.is_file():
            found = load(self.folder).terms(split, KS)
            arrays = {name: np.stack([terms.part_N, terms.whole_N]) for name, terms in found.items()}
            np.savez_compressed(file, **arrays)
        with np.load(file) as arrays:
            return {name: Terms(*arrays[name]) for name in arrays.files}


def held_out(corpus: Corpus, config: Config) -> Split:
    """The validation part, which is the same for all seeds. Raises UserError where there is none."""
    split = corpus.train.take(
        np.flatnonzero(validation_rows(corpus.train.texts, config.validation, config.validation_max))
    )
    if not len(split):
        raise UserError(
            f"validation={config.validation:g} holds out no document: there is nothing to choose by"
        )
    return split


def train_all(
    corpus: Corpus, configs: Sequence[tuple[PluginSet, int, Config]], out: Path
) -> dict[tuple[str, int], Run] | None:
    """Trains what `out` does not hold yet; None where Ctrl-C was pressed, after which a second call goes on.

    Raises UserError where `out` holds a run of these names with other settings or on other documents.
    """
    corpus = replace(corpus, test=None)  # which nothing is chosen by
    folders = {
        (found.name, seed): out / quote(found.name, safe="[]=,") / f"seed-{seed}"
        for found, seed, _ in configs
    }
    for found, seed, config in configs:
        _check(folders[found.name, seed], corpus, config)
    runs = {}
    for number, (found, seed, config) in enumerate(configs, start=1):
        folder = folders[found.name, seed]
        if not (folder / RESULT).is_file():
            say(f"run {number} of {len(configs)}: {found.name}, seed {seed}", style="bold")
            trained = _train(corpus, config, folder)
            if trained.outcome == "interrupted":
                return None
            _record(trained, corpus, config)
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        runs[found.name, seed] = Run(folder, result["seconds"], result["parameters"], result["plugins"])
    return runs


def _train(corpus: Corpus, config: Config, folder: Path) -> Trained:
    if (folder / CHECKPOINT).is_file():
        return resume(folder, corpus)
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was broken off before its first checkpoint
    return train(corpus, config, folder)


def _record(trained: Trained, corpus: Corpus, config: Config) -> None:
    """What makes the run count as finished."""
    folder = trained.folder
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    result = {
        "settings": config.as_document(),
        "corpus": corpus.digest,
        "seconds": max(line["seconds"] for line in log if "seconds" in line),
        "parameters": trained.model.num_parameters,
        "plugins": {plugin["name"]: plugin["version"] for plugin in description["plugins"]},
    }
    write_json(folder / RESULT, result)


def _check(folder: Path, corpus: Corpus, config: Config) -> None:
    if not (folder / RESULT).is_file():
        return
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if result["corpus"] != corpus.digest:
        raise UserError(f"{folder} was trained on other documents: name another --out")
    ours, theirs = json.loads(json.dumps(config.as_document())), result["settings"]
    for key in ours.keys() | theirs.keys():
        if ours.get(key) != theirs.get(key):
            raise UserError(
                f"{folder} was trained with {key}={theirs.get(key)}, not {ours.get(key)}: name another --out"
            )
