"""`explain`: a text's best labels, each with its reasons."""

from __future__ import annotations

from dataclasses import dataclass

from xmlkit.explain.occlusion import Fall, falls
from xmlkit.explain.parts import Said, said
from xmlkit.inference.predict import Prediction, Predictor


@dataclass(frozen=True)
class Reasons:
    """Of one label."""

    label: str
    name: str
    score: float
    falls: tuple[Fall, ...]  # of the score, in the order of the text
    said: tuple[Said, ...]  # by the run, or by each run among an ensemble's members


def explain(model: Predictor, text: str, top_k: int = 5) -> list[Reasons]:
    """The best labels of a text, best first, and why. Raises UserError for what `predict` refuses."""
    best: list[Prediction] = model.predict([text], top_k)[0]
    if not best:
        return []
    lost = falls(model, text, [model.labels.rows[one.label] for one in best])
    parts = [said(name, opened, text, [one.label for one in best]) for name, opened in model.runs]
    return [
        Reasons(
            one.label,
            one.name,
            one.score,
            tuple(without),
            tuple(p[one.label] for p in parts if one.label in p),
        )
        for one, without in zip(best, lost, strict=True)
    ]
