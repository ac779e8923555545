"""The server's own JSON: models and what they suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from xmlkit.data.corpus import Labels
from xmlkit.data.lines import is_unicode
from xmlkit.serve.asking import ask
from xmlkit.serve.limits import Limits
from xmlkit.serve.refusals import Refused, described
from xmlkit.serve.served import Served
from xmlkit.serve.text import Text
from xmlkit.serve.watch import Watch
from xmlkit.serve.wish import Wish


def _several(texts: Any) -> Any:
    return [texts] if isinstance(texts, str) else texts


def _with_one_mistake(texts: Any) -> Any:
    """Else each of a million that are wrong would be described."""
    for place, text in enumerate(texts if isinstance(texts, list) else []):
        if not isinstance(text, str) or not is_unicode(text):
            raise ValueError(f"number {place} is no text")
    return texts


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)  # behind the bounds, or the description lacks them
Many = Annotated[list[Text], BeforeValidator(_with_one_mistake)]
MOST_KEYS = 32  # of which each that is not known is described


class Asked(BaseModel):
    """What comes as JSON."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _has_few_keys(cls, given: Any) -> Any:
        if isinstance(given, dict) and len(given) > MOST_KEYS:
            raise ValueError(f"more than {MOST_KEYS} keys")
        return given


class Question(Asked):
    """What is asked about texts."""

    texts: Annotated[Many, BeforeValidator(_several, json_schema_input_type=Text | Many)] = Field(
        description="One text, or several."
    )
    model: Text | None = Field(None, description="One of /models; the first, where none is named.")
    top_k: Annotated[StrictInt, Field(ge=1, le=Limits.top_k), WHOLE] = Field(
        5, description="Labels of a text, at most."
    )
    threshold: float = Field(0.0, ge=0, le=1, description="Smallest score of a label.")
    labels: Many | None = Field(None, min_length=1, description="Ids of labels: only these may be suggested.")
    without: Many = Field([], description="Ids of labels that may not be suggested.")


class Suggestion(BaseModel):
    """A label of a text."""

    label: str
    name: str
    score: float = Field(ge=0, le=1)


class Suggestions(BaseModel):
    """The labels of a text, best first."""

    labels: list[Suggestion]


class Answer(BaseModel):
    """What a model suggests for each text, in their order."""

    model: str
    results: list[Suggestions]
    unknown: list[str] = Field(description="Of the labels in the question: those that the model lacks.")


class ModelInfo(BaseModel):
    """What may be asked."""

    id: str
    labels: int
    parameters: int


class ModelList(BaseModel):
    """The first is asked where none is named."""

    models: list[ModelInfo]


class Health(BaseModel):
    """That the server answers."""

    status: str


def router(models: Mapping[str, Served], limits: Limits, watch: Watch) -> APIRouter:
    """`/predict`, `/models`, `/healthz` and `/metrics`."""
    routes = APIRouter()

    @routes.post("/predict", responses=described(400, 401, 404, 408, 413, 422, 500, 503))
    async def predict(question: Question) -> Answer:
        """The best labels of each text."""
        served = chosen(models, question.model)
        labels = served.model.labels
        allowed_L = allowed(labels, question.labels, question.without)
        wish = Wish(question.top_k, question.threshold, allowed_L)
        found = await ask(served, question.texts, wish, limits, malformed=422)
        results = [
            Suggestions(labels=[Suggestion(label=p.label, name=p.name, score=p.score) for p in predictions])
            for predictions in found
        ]
        named = dict.fromkeys([*(question.labels or ()), *question.without])
        unknown = [label for label in named if label not in labels.rows]
        return Answer(model=served.id, results=results, unknown=unknown)

    @routes.get("/models", responses=described(401, 503))
    async def list_models() -> ModelList:
        """The models that can be asked."""
        return ModelList(
            models=[
                ModelInfo(id=one.id, labels=len(one.model.labels), parameters=one.model.num_parameters)
                for one in models.values()
            ]
        )

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", responses=described(503))
    async def healthz() -> Health:
        """503 as soon as the server stops."""
        return Health(status="ok")

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={**described(401, 503), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(watch.figures(), media_type=CONTENT_TYPE_LATEST)

    return routes


def chosen(models: Mapping[str, Served], id: str | None) -> Served:
    """The model that is asked. Raises Refused where there is none of this name."""
    served = models.get(next(iter(models)) if id is None else id)
    if served is None:
        raise Refused(404, f"no model {id!r}; /models lists those that there are")
    return served


def allowed(labels: Labels, only: Sequence[str] | None, without: Sequence[str]) -> np.ndarray | None:
    """Bool (L,): labels that may be suggested; None: all. Raises Refused where none is left."""
    if only is None and not without:
        return None
    allowed_L = np.full(len(labels), only is None)
    allowed_L[[labels.rows[label] for label in only or () if label in labels.rows]] = True
    allowed_L[[labels.rows[label] for label in without if label in labels.rows]] = False
    if not allowed_L.any():
        raise Refused(404, "no label of the model is left to be suggested: check labels and without")
    return allowed_L
