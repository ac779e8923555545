"""The server's own JSON: why a text gets its labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StrictInt

from xmlkit.blend.member import parted
from xmlkit.explain.explain import Reasons
from xmlkit.explain.occlusion import Fall
from xmlkit.explain.parts import Neighbour, Said
from xmlkit.serve.asking import ask_why
from xmlkit.serve.limits import Limits
from xmlkit.serve.predicting import WHOLE, Asked, Many, Suggestion, allowed, chosen
from xmlkit.serve.refusals import Refused, described
from xmlkit.serve.served import Served
from xmlkit.serve.text import Text

USUAL = 5  # labels
WORDS, DOCUMENTS, LABELS = 64, 16, 32  # of a label, of a label, of a document: the first ones are told


class WhyQuestion(Asked):
    """What is asked about a text."""

    text: Text
    model: Text | None = Field(None, description="One of /models; the first, where none is named.")
    top_k: Annotated[StrictInt, Field(ge=1, le=Limits.reasons), WHOLE] | None = Field(
        None, description=f"Labels, at most: {USUAL}, or as many as `labels`."
    )
    labels: Many | None = Field(None, min_length=1, description="Ids of labels: only these are explained.")


class Loss(BaseModel):
    """What is lost without some characters of the text, which are counted as Unicode's code points."""

    text: str
    begin: int
    end: int = Field(description="Behind the last one.")
    fall: float = Field(description="Below 0 where it rises.")


class Addition(BaseModel):
    """What a word, or words beside each other, add to a logit, wherever they stand in the text."""

    text: str
    adds: float


class Vote(BaseModel):
    """A training document that votes for a label."""

    place: int = Field(description="Among the documents that the model keeps.")
    likeness: float = Field(description="Cosine of both documents' vectors.")
    share: float = Field(description="Of the vote, 0 to 1.")
    labels: list[str] = Field(description=f"Names of the labels that it has, {LABELS} at most.")


class Part(BaseModel):
    """What the run, or a member of the ensemble, says for a label."""

    member: str = Field(description="Its name; empty where the model is a run.")
    adds: float | None = Field(
        description="Of a member: to the whole's logit; where scores are summed, to their mean."
    )
    falls: list[Loss] = Field(description="Of `adds`, in the order of the text.")
    silent: str | None = Field(description="Why the member can't be explained.")
    logit: float | None = Field(description="Of the label in a run, votes included.")
    by_words: float | None = Field(description="Of the logit: what all words add that a bag counts.")
    by_votes: float = Field(description="Of the logit.")
    words: list[Addition] = Field(description=f"The strongest first, {WORDS} at most.")
    documents: list[Vote] = Field(description=f"The likest first, {DOCUMENTS} at most.")


class Why(BaseModel):
    """Reasons."""

    falls: list[Loss] = Field(description="Of the score, in the order of the text.")
    parts: list[Part] = Field(description="The run, or each member of the ensemble.")
    rest: float | None = Field(
        description="Of a fitted ensemble's logit: how frequent the label is, and what all have."
    )


class Explained(Suggestion):
    """A label of a text, and why."""

    why: Why


class Explanation(BaseModel):
    """The labels of a text, best first."""

    model: str
    labels: list[Explained]
    unknown: list[str] = Field(description="Of the labels in the question: those that the model lacks.")


def router(models: Mapping[str, Served], limits: Limits) -> APIRouter:
    """`/explain`."""
    routes = APIRouter()

    @routes.post("/explain", responses=described(400, 401, 404, 408, 413, 422, 500, 503))
    async def explain(question: WhyQuestion, request: Request) -> Explanation:
        """The best labels of a text, and which words and training documents speak for each."""
        served = chosen(models, question.model)
        labels = served.model.labels
        allowed_L = allowed(labels, question.labels, [])
        named = list(dict.fromkeys(question.labels or ()))
        top_k = question.top_k or len(named) or USUAL
        if top_k > limits.reasons:
            raise Refused(422, f"{top_k:,} labels; at most {limits.reasons:,} are explained at once")
        most = min(limits.explained, limits.length)
        if len(question.text) > most:
            raise Refused(
                422, f"{len(question.text):,} characters; a text that is explained may have {most:,}"
            )
        found = await ask_why(served, question.text, top_k, allowed_L, request)
        unknown = [label for label in named if label not in labels.rows]
        return Explanation(model=served.id, labels=list(map(_explained, found)), unknown=unknown)

    return routes


def _explained(one: Reasons) -> Explained:
    why = Why(falls=_losses(one.falls), parts=list(map(_part, one.said)), rest=one.rest)
    return Explained(label=one.label, name=one.name, score=one.score, why=why)


def _losses(falls: Iterable[Fall]) -> list[Loss]:
    return [Loss(text=fall.text, begin=fall.begin, end=fall.end, fall=fall.fall) for fall in falls]


def _part(said: Said) -> Part:
    return Part(
        member=without_folders(said.member),
        adds=said.adds,
        falls=_losses(said.falls),
        silent=said.silent,
        logit=said.logit,
        by_words=said.by_words,
        by_votes=said.by_votes,
        words=[Addition(text=word.text, adds=word.adds) for word in said.words[:WORDS]],
        documents=list(map(_vote, said.documents[:DOCUMENTS])),
    )


def _vote(near: Neighbour) -> Vote:
    return Vote(place=near.place, likeness=near.likeness, share=near.share, labels=list(near.labels[:LABELS]))


def without_folders(member: str) -> str:
    """A member's name, as `neighbours:runs/mine`, without what it tells of the machine that made it."""
    kind, what = parted(member)
    return kind + what.replace("\\", "/").rstrip("/").rpartition("/")[2]
