"""`explain`: a text's best labels, each with its reasons."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from xmlkit.blend.kinds.run import OfRun
from xmlkit.blend.opening import Ensemble
from xmlkit.explain.ensembles import numbers_of
from xmlkit.explain.occlusion import Fall, Occluded, occluded, scores_of
from xmlkit.explain.parts import Said, neighbours, said
from xmlkit.inference.predict import Prediction, Predictor, RunPredictor


@dataclass(frozen=True)
class Reasons:
    """Of one label."""

    label: str
    name: str
    score: float
    falls: tuple[Fall, ...]  # of the score, in the order of the text
    said: tuple[Said, ...]  # by the run, or by each member of an ensemble
    rest: float | None = None  # of a fitted ensemble's logit: how frequent the label is, and what all have


def explain(
    model: Predictor, text: str, top_k: int = 5, allowed_L: np.ndarray | None = None
) -> list[Reasons]:
    """The best labels of a text, best first, and why. Raises UserError for what `predict` refuses."""
    steps = explaining(model, text, top_k, allowed_L)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[Reasons] = end.value
            return found


def explaining(
    model: Predictor, text: str, top_k: int = 5, allowed_L: np.ndarray | None = None
) -> Generator[None, None, list[Reasons]]:
    """The same in steps of a few texts that are read, between which the model may do something else."""
    best: list[Prediction] = model.predict([text], top_k, allowed=allowed_L)[0]
    yield
    if not best:
        return []
    rows = [model.labels.rows[one.label] for one in best]
    if isinstance(model, Ensemble):
        lost = yield from occluded(text, numbers_of(model, text, rows, top_k))
        parts = yield from _members(model, text, best, lost)
        behind = lost.numbers_UX[:, 1 + len(model.members) :].tolist()  # the score and members
        rests: list[float | None] = [rest[0] if rest else None for rest in behind]
    else:
        assert isinstance(model, RunPredictor)
        lost = yield from occluded(text, scores_of(model, rows))
        parts, rests = [said("", model.opened, text, [one.label for one in best])], [None] * len(best)
    return [
        Reasons(
            one.label,
            one.name,
            one.score,
            lost.falls(number),
            tuple(part[one.label] for part in parts if one.label in part),
            rest,
        )
        for number, (one, rest) in enumerate(zip(best, rests, strict=True))
    ]


def _members(
    model: Ensemble, text: str, best: list[Prediction], lost: Occluded
) -> Generator[None, None, list[dict[str, Said]]]:
    """What each says for each of these labels, with its weight in the whole."""
    parts, labels = [], [one.label for one in best]
    for place, (name, member) in enumerate(model.members, 1):
        if isinstance(member, OfRun):
            of_member = said(name, member.tower.opened, text, labels)
        else:
            near = neighbours(member.voters(text), model.labels)
            of_member = {
                label: Said(
                    name, documents=tuple(one for one, has in near if model.labels.rows[label] in has)
                )
                for label in labels
            }
        yield
        silent = "it looks whole texts up: no word can be left out" if member.looks_texts_up else None
        parts.append(
            {
                label: replace(
                    of_member.get(label, Said(name)),
                    adds=float(lost.numbers_UX[number, place]),
                    falls=() if silent else lost.falls(number, place),
                    silent=silent,
                )
                for number, label in enumerate(labels)
            }
        )
    return parts
