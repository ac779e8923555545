"""One plain model that learns what a run or an ensemble says, and how much of it is kept.

Both are judged on the same documents, from which neither has learnt: on those of the test split, else on the
held-out ones, which an ensemble's weights were fitted to, and by which the student's best epoch was chosen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xmlkit.blend.aim import Mean, at_five, difference
from xmlkit.blend.folder import describe
from xmlkit.blend.load import load
from xmlkit.config import Config, merge, resolve
from xmlkit.data.corpus import Corpus, Split, validation_rows
from xmlkit.errors import UserError
from xmlkit.inference.predict import Predictor
from xmlkit.measures.left_out import depth_for, without
from xmlkit.metrics import Terms
from xmlkit.model.folder import is_ensemble, open_description, write_json
from xmlkit.training.checked import check
from xmlkit.training.once import check_same, train_once
from xmlkit.training.train import Trained

PLUGIN = "distil"
KEPT = "kept.json"


@dataclass(frozen=True)
class Judged:
    """A model on the documents that it is judged by."""

    scores: dict[str, float]  # in percent
    milliseconds: float  # a document, many at once
    parameters: int


@dataclass(frozen=True)
class Kept:
    """What a student has kept of its teacher; `kept.json` in its folder holds it."""

    teacher_folder: str
    part: Literal["test", "held-out"]
    num_documents: int
    teacher: Judged
    student: Judged
    metric: str
    difference: tuple[float, float, float]  # points of the metric from teacher to student, a 95% interval


def distil(
    corpus: Corpus, settings: Mapping[str, Any], teacher: str | Path, out: Path
) -> tuple[Trained, Kept] | None:
    """Trains a student in `out` by the plugin distil; None after Ctrl-C, whereupon the same call goes on.

    `settings` are a document as a config file holds it. Raises UserError for a teacher that is no run, was
    made from another corpus, or has learnt from documents that the student holds out.
    """
    teacher = Path(teacher).resolve()
    config = _config(corpus, settings, teacher)
    settled = check(corpus, config, None).config  # before anything is written
    held_out_N = validation_rows(corpus.train.texts, settled.validation, settled.validation_max)
    _check(teacher, corpus, int(held_out_N.sum()))
    metric = at_five("nDCG", settled)
    check_same(out, corpus, config, "this command")
    trained = train_once(corpus, config, out)
    if trained.outcome == "interrupted" or trained.stop_asked:
        return None
    split = corpus.test or corpus.train.take(np.flatnonzero(held_out_N))
    of_teacher, of_student = (_judged(model, split, settled) for model in (load(teacher), trained.model))
    gap = difference(Mean((of_student[1][metric],)), Mean((of_teacher[1][metric],)))
    part: Literal["test", "held-out"] = "test" if corpus.test else "held-out"
    kept = Kept(str(teacher), part, len(split), of_teacher[0], of_student[0], metric, gap)
    write_json(out / KEPT, asdict(kept))
    return trained, kept


def _config(corpus: Corpus, settings: Mapping[str, Any], teacher: Path) -> Config:
    options = settings.get(PLUGIN)
    if isinstance(options, Mapping) and "teacher" in options:
        raise UserError("--distil names the teacher: leave out distil.teacher")
    others = {key: value for key, value in settings.items() if key != PLUGIN}
    plugins = resolve(others, corpus.source).plugins
    plugins = plugins if PLUGIN in plugins else (*plugins, PLUGIN)
    return resolve(merge(settings, {"plugins": plugins, PLUGIN: {"teacher": str(teacher)}}), corpus.source)


def _check(teacher: Path, corpus: Corpus, held_out: int) -> None:
    if not (held_out or corpus.test):
        raise UserError("--distil: no document is left to tell what is kept by: set validation above 0")
    if is_ensemble(teacher):
        described = describe(teacher)
        digest, apart = described.corpus, described.held_out_documents
    else:
        recorded = open_description(teacher)
        digest, theirs = recorded.corpus_digest, recorded.config
        apart = int(validation_rows(corpus.train.texts, theirs.validation, theirs.validation_max).sum())
    corpus.check_same(digest, teacher)
    if held_out > apart:  # of two parts that are held out the smaller one lies in the larger
        raise UserError(
            f"{teacher} has learnt from documents that the student would hold out: it held out {apart:,}, "
            f"the student would {held_out:,}; set validation or validation_max"
        )


def _judged(model: Predictor, split: Split, config: Config) -> tuple[Judged, dict[str, Terms]]:
    split, k = split.numbered_as(model.labels), max(config.ks)
    depth = depth_for(k, split.left_out)
    model.rank(split.texts[:1], depth)  # what is opened late is open
    begun = time.perf_counter()
    ranked = model.rank(split.texts, depth)
    seconds = time.perf_counter() - begun
    _, ids_NK = without(*ranked, split.left_out, k)
    of_student = {name: getattr(config, name) for name in ("ks", "propensity_a", "propensity_b")}
    by = replace(model.scoring, **of_student)
    judged = Judged(by.scores(ids_NK, split.labels), 1000 * seconds / len(split), model.num_parameters)
    return judged, by.terms(ids_NK, split.labels)
