"""Making an ensemble: members, weights fitted on what none of them has learnt from, one folder.

N held-out documents, K labels of each, V pairs of a document and a label.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xmlkit.blend.aim import Mean, aim_for, difference
from xmlkit.blend.calibration import Calibration
from xmlkit.blend.costs import Costs, affordable, measured
from xmlkit.blend.folder import write
from xmlkit.blend.forms import Form
from xmlkit.blend.fusion import Fusion, Pairs, Weights, pairs_of
from xmlkit.blend.held_out import held_out_by
from xmlkit.blend.judging import Judge
from xmlkit.blend.member import NAMED, Making, Member, check_needs, checked, kind, kinds
from xmlkit.blend.opening import source_of
from xmlkit.blend.reranking import Reranked
from xmlkit.blend.sums import Sum, sum_of
from xmlkit.blend.towers import Towers
from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.data.corpus import Corpus, load_corpus
from xmlkit.errors import UserError
from xmlkit.intervals import FEWEST
from xmlkit.measures.scoring import Scoring
from xmlkit.model.folder import DESCRIPTION as RUN
from xmlkit.model.folder import check_no_ensemble, read_config
from xmlkit.training.claim import new_folder

TIMED = 256  # held-out documents, at most, by which is seen how long members take


@dataclass(frozen=True)
class Part:
    """A member in the table of an ensemble."""

    name: str
    scores: dict[str, float]  # alone, in percent
    loss_without: tuple[float, float, float]  # points of the metric, and a 95% interval
    milliseconds: float = field(compare=False)  # a document, with all that it shares with others


@dataclass(frozen=True)
class Spared:
    """What was left out to be fast enough."""

    members: list[str]
    milliseconds: float = field(compare=False)  # a document, of the whole with them
    loss: tuple[float, float, float]  # points of the metric, and a 95% interval


@dataclass(frozen=True)
class Made:
    """An ensemble, and what it was judged on held-out documents."""

    folder: Path
    metric: str
    scores: dict[str, float]  # of the whole, in percent
    parts: list[Part]
    num_documents: int
    milliseconds: float = field(compare=False)  # a document
    spared: Spared | None = None


def ensemble(
    members: Sequence[str],
    corpus: Corpus | None = None,
    out: str | Path | None = None,
    metric: str | None = None,
    summed: bool = False,
    fast: float | None = None,
    config: Config | None = None,
) -> Made:
    """Blends members, each a run's folder or `KIND:WHAT`, and fills a new folder `out`, a run like any other.

    Weights are fitted on the documents that all runs among the members held out; `metric`, such as `P@5` or
    `P@1,PSP@1`, is what blends are compared by, of several their mean, None: nDCG@5,PSP@5; it chooses, too,
    how much rare labels count in fitting. Without a corpus that of the first run is read. Where the whole is
    no better than its best member, that one is kept alone. `summed`: scores are added up label by label
    instead, and all members kept. `fast`: the whole takes at most so many milliseconds a document, for which
    members are left out that are worth the least a millisecond. `config`: what is held out and how it is
    scored where no member is a run, None: as by default. Raises UserError for members that can't be made,
    that hold out other documents, or where none are held out.
    """
    if fast is not None and summed:
        raise UserError("--fast chooses by weights, of which a sum has none: leave out --sum")
    named = [_kind_of(given) for given in members]
    if len(named) < 2:
        raise UserError("an ensemble needs two members or more: runs, or KIND:WHAT")
    for name, _ in named:
        check_needs(name)
    runs = [Path(what) for _, what in named if what and (Path(what) / RUN).is_file()]
    if corpus is None:
        if not runs:
            raise UserError("no member is a run, whose corpus could be read: name it with --data")
        corpus = load_corpus(*source_of(runs[0]))
    configs = [read_config(run) for run in runs] or [config or Config()]
    config, aim = configs[0], aim_for(configs[0], metric)
    validation = [(config.validation, config.validation_max) for config in configs]
    held_out_N = held_out_by(corpus, validation)
    making = Making(corpus, held_out_N, Towers())
    with new_folder(out, f"{corpus.folder_name}-ensemble") as folder:
        candidates = []
        for number, (given, (name, what)) in enumerate(zip(members, named, strict=True), 1):
            say(f"member {number} of {len(members)}: {given}")
            if summed and kind(name).of_score is None:
                raise UserError(f"--sum: {given} has no scores to be added up; leave it or --sum out")
            candidates.append(Candidate(given, name, kind(name).make(what, making)))
        counts_L = np.bincount(corpus.train.labels.values, minlength=len(corpus.labels))
        seen = corpus.train.labels.take(np.flatnonzero(~held_out_N))
        seen_L = np.bincount(seen.values, minlength=len(corpus.labels))
        propensity = (config.propensity_a, config.propensity_b)
        scoring = Scoring(counts_L, len(corpus.train), config.ks, *propensity)
        held_out = corpus.train.take(np.flatnonzero(held_out_N))
        for tower in making.towers.all():
            tower.recall(corpus, np.flatnonzero(held_out_N))
        judge = Judge(held_out.labels, scoring, aim)
        heard = [Heard(some, judge, held_out.texts, len(corpus.labels)) for some in candidates]
        blend, spared = (_summed if summed else _fitted)(heard, judge, seen_L), None
        costs = _costs(blend, heard, held_out.texts, making.towers, seen_L)
        if fast is not None:
            blend, spared = _spared(blend, heard, costs, fast, judge, seen_L)
        ours = [heard.index(one) for one in blend.heard]
        times = costs.of(ours), [costs.alone(one) for one in ours]
        return _written(folder, blend, judge, making, seen_L, times, spared, validation)


@dataclass(frozen=True)
class Candidate:
    """A member that may be kept."""

    name: str
    kind: str
    member: Member


class Heard:
    """One, with what it says of the held-out documents."""

    def __init__(self, candidate: Candidate, judge: Judge, texts: Sequence[str], num_labels: int):
        said = candidate.member.candidates(texts, max(NAMED, judge.depth))
        self.said = checked(said, candidate.name, len(texts), num_labels)
        self.candidate, self.ids_NK = candidate, said.ranked(judge.depth)
        self.terms = judge.terms(self.ids_NK)


@dataclass(frozen=True)
class Blend:
    """Members, how their words are weighed, and logits of held-out pairs by weights that didn't see them."""

    heard: list[Heard]
    fusion: Fusion
    form: Form
    pairs: Pairs
    z_V: np.ndarray
    losses: list[tuple[float, float, float]]

    def terms(self, judge: Judge) -> Mean:
        """Of the whole."""
        return judge.terms(self.pairs.ranked(self.z_V, judge.depth)[0])


def _alone(one: Heard, seen_L: np.ndarray) -> Blend:
    pairs, fusion = pairs_of([one.said], seen_L), Weights.of_one()
    return Blend([one], fusion, Form(), pairs, fusion.z_V(pairs), [(one.terms.percent,) * 3])


def _fitted(heard: list[Heard], judge: Judge, seen_L: np.ndarray) -> Blend:
    if len(heard) == 1:
        return _alone(heard[0], seen_L)
    pairs = pairs_of([one.said for one in heard], seen_L)
    form, z_V = judge.chosen(pairs)
    whole = judge.terms(pairs.ranked(z_V, judge.depth)[0])
    best = max(heard, key=lambda one: one.terms.percent)
    gain, low, high = difference(whole, best.terms)
    aim, name = judge.aim, best.candidate.name
    if gain <= 0:
        alone = ", ".join(f"{one.candidate.name} {one.terms.percent:.2f}" for one in heard)
        say(f"the blend has no better {aim} than {name} alone ({gain:+.2f}): that one is kept")
        say(f"alone they have {alone}")
        return _alone(best, seen_L)
    sure = "" if low > 0 and pairs.num_texts >= FEWEST else ", which may be chance"
    say(f"{aim}: {gain:+.2f} ({low:+.2f} to {high:+.2f}) over {name} alone{sure}")
    losses = judge.losses(pairs, z_V, len(heard), form)
    return Blend(heard, judge.fit(pairs, form), form, pairs, z_V, losses)


def _costs(
    blend: Blend, heard: list[Heard], texts: Sequence[str], towers: Towers, seen_L: np.ndarray
) -> Costs:
    some = [texts[row] for row in np.linspace(0, len(texts) - 1, min(TIMED, len(texts)), dtype=int)]
    costs, begun = measured([one.candidate.member for one in heard], towers, some), time.perf_counter()
    pairs, z_V = blend.fusion.read([one.said for one in blend.heard], seen_L)
    pairs.ranked(z_V, NAMED)
    return replace(costs, blending=1000 * (time.perf_counter() - begun) / len(texts))


def _spared(
    blend: Blend, heard: list[Heard], costs: Costs, budget: float, judge: Judge, seen_L: np.ndarray
) -> tuple[Blend, Spared | None]:
    """The same within a budget of milliseconds a document, and what that has left out."""
    slow = costs.of([heard.index(one) for one in blend.heard])
    if slow <= budget:
        return blend, None

    def worth(kept: AbstractSet[int]) -> float:
        some = [heard[one] for one in sorted(kept)]
        best = max(one.terms.percent for one in some)
        if len(some) == 1:
            return best
        pairs = pairs_of([one.said for one in some], seen_L)
        z_V = judge.unseen_V(pairs, blend.form)
        return max(best, judge.terms(pairs.ranked(z_V, judge.depth)[0]).percent)

    kept = affordable(costs, budget, worth)
    faster = _fitted([heard[one] for one in sorted(kept)], judge, seen_L)
    names = [one.candidate.name for number, one in enumerate(heard) if number not in kept]
    spared = Spared(names, slow, difference(blend.terms(judge), faster.terms(judge)))
    if (least := costs.of(kept)) > budget:
        (one,) = faster.heard
        say(
            f"--fast {budget:g}ms: even the cheapest member, {one.candidate.name}, takes {least:.3g} ms a "
            "document: that one is kept"
        )
    return faster, spared


def _summed(heard: list[Heard], judge: Judge, seen_L: np.ndarray) -> Blend:
    def read(some: list[Heard]) -> tuple[Sum, Pairs, np.ndarray, Mean]:
        fusion = sum_of([one.candidate.member for one in some])
        pairs, z_V = fusion.read([one.said for one in some], seen_L)
        return fusion, pairs, z_V, judge.terms(pairs.ranked(z_V, judge.depth)[0])

    fusion, pairs, z_V, whole = read(heard)
    others = [[other for other in heard if other is not one] for one in heard]
    return Blend(heard, fusion, Form(), pairs, z_V, [difference(whole, read(some)[-1]) for some in others])


def _written(
    folder: Path,
    blend: Blend,
    judge: Judge,
    making: Making,
    seen_L: np.ndarray,
    times: tuple[float, list[float]],
    spared: Spared | None,
    validation: list[tuple[float, int]],
) -> Made:
    """`times` are milliseconds a document, of the whole and of each member."""
    corpus, scoring = making.corpus, judge.scoring
    scores = judge.scores(blend.pairs.ranked(blend.z_V, judge.depth)[0])
    parts = [
        Part(one.candidate.name, judge.scores(one.ids_NK), loss, milliseconds)
        for one, loss, milliseconds in zip(blend.heard, blend.losses, times[1], strict=True)
    ]
    described = {
        "source": corpus.source,
        "dialect": corpus.dialect.model_dump(),
        "corpus": corpus.digest,
        "training_documents": len(corpus.train),
        "held_out_documents": len(judge.truth),
        "validation": validation,
        "fusion": "sum" if isinstance(blend.fusion, Sum) else "fitted",
        "metric": str(judge.aim),
        "ks": list(scoring.ks),
        "propensity_a": scoring.propensity_a,
        "propensity_b": scoring.propensity_b,
        "shrink": blend.form.shrink,
        "trees": isinstance(blend.fusion, Reranked),
        "rare": blend.form.rare,
        "judged": scores,
        "members": [
            {
                "name": part.name,
                "kind": one.candidate.kind,
                "alone": part.scores,
                "loss_without": list(part.loss_without),
            }
            for one, part in zip(blend.heard, parts, strict=True)
        ],
    }
    calibration = Calibration.fitted(blend.z_V, blend.pairs.true_V(judge.truth))
    members = [one.candidate.member for one in blend.heard]
    labels = corpus.labels
    write(folder, described, labels, scoring, seen_L, members, making.towers, blend.fusion, calibration)
    return Made(folder, str(judge.aim), scores, parts, len(judge.truth), times[0], spared)


def _kind_of(given: str) -> tuple[str, str]:
    """The kind of a member, and what it is made of."""
    if (Path(given) / RUN).is_file():
        return "run", given
    check_no_ensemble(Path(given))
    name, _, what = given.partition(":")
    if name not in kinds():
        raise UserError(
            f"{given}: neither a run's folder nor KIND:WHAT; kinds are {', '.join(sorted(kinds()))}"
        )
    return name, what
