"""Making an ensemble: members, weights fitted on what none of them has learnt from, one folder.

N held-out documents, K labels of each, V pairs of a document and a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmlkit.blend.calibration import Calibration
from xmlkit.blend.folder import write
from xmlkit.blend.fusion import fit, pairs_of
from xmlkit.blend.judging import Judge, difference
from xmlkit.blend.member import Candidates, Making, Member, kind, kinds
from xmlkit.blend.opening import CANDIDATES, source_of
from xmlkit.blend.towers import Towers
from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.data.corpus import Corpus, load_corpus, validation_rows
from xmlkit.errors import UserError
from xmlkit.inference.predict import Scoring
from xmlkit.metrics import METRICS
from xmlkit.model.folder import DESCRIPTION as RUN
from xmlkit.model.folder import read_config
from xmlkit.training.claim import new_folder

METRIC = "nDCG@5"


@dataclass(frozen=True)
class Part:
    """A member in the table of an ensemble."""

    name: str
    scores: dict[str, float]  # alone, in percent
    loss_without: tuple[float, float, float]  # points of the metric, and a 95% interval


@dataclass(frozen=True)
class Made:
    """An ensemble, and what it was judged on held-out documents."""

    folder: Path
    metric: str
    scores: dict[str, float]  # of the whole, in percent
    parts: list[Part]
    num_documents: int


def ensemble(
    members: Sequence[str],
    corpus: Corpus | None = None,
    out: str | Path | None = None,
    metric: str = METRIC,
) -> Made:
    """Blends members, each a run's folder or `KIND:WHAT`, and fills a new folder `out`, a run like any other.

    Weights are fitted on the documents that the runs among the members held out; `metric`, such as `P@5` or
    `PSP@5`, is what blends are compared by. Without a corpus that of the first run is read. Where the whole
    is no better than its best member, that one is kept alone. Raises UserError for members that can't be
    made, that hold out other documents, or where none are held out.
    """
    named = [_kind_of(given) for given in members]
    if len(named) < 2:
        raise UserError("an ensemble needs two members or more: runs, or KIND:WHAT")
    runs = [Path(what) for _, what in named if (Path(what) / RUN).is_file()]
    if corpus is None:
        if not runs:
            raise UserError("no member is a run, whose corpus could be read: name it with --data")
        corpus = load_corpus(source_of(runs[0]))
    config = read_config(runs[0]) if runs else Config()
    _check_metric(metric, config)
    held_out_N = validation_rows(corpus.train.texts, config.validation, config.validation_max)
    if not held_out_N.any():
        raise UserError(f"validation={config.validation:g} holds out no document: there is nothing to fit to")
    making = Making(corpus, held_out_N, Towers())
    with new_folder(out, f"{corpus.folder_name}-ensemble") as folder:
        made: list[Member] = []
        for given, (name, what) in zip(members, named, strict=True):
            say(f"member {len(made) + 1} of {len(members)}: {given}")
            made.append(kind(name).make(what, making))
        return _blended(folder, members, [name for name, _ in named], made, making, config, metric)


def _blended(
    folder: Path,
    names: Sequence[str],
    kinds_: Sequence[str],
    members: list[Member],
    making: Making,
    config: Config,
    metric: str,
) -> Made:
    corpus = making.corpus
    counts_L = np.bincount(corpus.train.labels.values, minlength=len(corpus.labels))
    propensity = (config.propensity_a, config.propensity_b)
    scoring = Scoring(counts_L, len(corpus.train), config.ks, *propensity)
    held_out = corpus.train.take(np.flatnonzero(making.held_out_N))
    judge = Judge(held_out.labels, scoring, metric)
    said = [member.candidates(held_out.texts, max(CANDIDATES, judge.depth)) for member in members]
    pairs = pairs_of(said, counts_L)
    shrink, z_V = judge.chosen(pairs)
    ids_NK, _ = pairs.ranked(z_V, judge.depth)
    alone = [_ranking(candidates, judge.depth) for candidates in said]
    losses = judge.losses(pairs, z_V, len(members), shrink)
    best = max(range(len(members)), key=lambda at: judge.terms(alone[at]).percent)
    gain, low, high = difference(judge.terms(ids_NK), judge.terms(alone[best]))
    if gain <= 0:
        say(f"the blend has no better {metric} than {names[best]} alone ({gain:+.2f}): that one is kept")
        members, kinds_, said = [members[best]], [kinds_[best]], [said[best]]
        names, alone, losses = [names[best]], [alone[best]], [(judge.terms(alone[best]).percent,) * 3]
        pairs = pairs_of(said, counts_L)
        shrink, z_V = None, judge.unseen_V(pairs, None)
        ids_NK, _ = pairs.ranked(z_V, judge.depth)
    else:
        sure = "" if low > 0 else ", which may be chance"
        say(f"{metric}: {gain:+.2f} ({low:+.2f} to {high:+.2f}) over {names[best]} alone{sure}")
    weights = fit(pairs, held_out.labels, shrink, judge.gain_L)
    calibration = Calibration.fitted(z_V, pairs.true_V(held_out.labels))
    scores = judge.scores(ids_NK)
    parts = [Part(*part) for part in zip(names, map(judge.scores, alone), losses, strict=True)]
    described = {
        "source": corpus.source,
        "corpus": corpus.digest,
        "training_documents": len(corpus.train),
        "held_out_documents": len(held_out),
        "metric": metric,
        "ks": list(config.ks),
        "propensity_a": config.propensity_a,
        "propensity_b": config.propensity_b,
        "shrink": shrink,
        "judged": scores,
        "members": [
            {"name": part.name, "kind": kind_, "alone": part.scores, "loss_without": list(part.loss_without)}
            for part, kind_ in zip(parts, kinds_, strict=True)
        ],
    }
    write(folder, described, corpus.labels, scoring, members, making.towers, weights, calibration)
    return Made(folder, metric, scores, parts, len(held_out))


def _ranking(said: Candidates, k: int) -> np.ndarray:
    """A member's own (N, k)."""
    order_NK = np.argsort(-np.where(said.ids_NK < 0, -np.inf, said.evidence_NK), 1, kind="stable")[:, :k]
    ids_Nk: np.ndarray = np.take_along_axis(said.ids_NK, order_NK, 1)
    return np.pad(ids_Nk, ((0, 0), (0, k - ids_Nk.shape[1])), constant_values=-1)


def _kind_of(given: str) -> tuple[str, str]:
    """The kind of a member, and what it is made of."""
    if (Path(given) / RUN).is_file():
        return "run", given
    name, _, what = given.partition(":")
    if name not in kinds():
        raise UserError(
            f"{given}: neither a run's folder nor KIND:WHAT; kinds are {', '.join(sorted(kinds()))}"
        )
    return name, what


def _check_metric(metric: str, config: Config) -> None:
    known = [f"{name}@{k}" for name in METRICS if name != "coverage" for k in config.ks]
    if metric not in known:
        raise UserError(f"--for {metric}: expected one of {', '.join(known)}")
