"""What Annif's REST API says, for its `http` backend and all who speak it (https://annif.org, API v1).

A model is a project. Only subjects of the vocabulary are suggested: Annif ends at the first that it does not
know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from xmlkit.serve.asking import ask
from xmlkit.serve.limits import Limits
from xmlkit.serve.refusals import Refused, described
from xmlkit.serve.served import Served
from xmlkit.serve.text import Text
from xmlkit.serve.wish import Wish

BACKEND = "xmlkit"
DOCUMENTS = 32  # of a batch, as there


class Choice(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(allow_inf_nan=False)

    limit: int = Field(10, ge=0, le=2**31 - 1, description="Suggestions of a text, at most.")
    threshold: float = Field(0.0, ge=0, le=1, description="Smallest score of a suggestion.")


class TextForm(Choice):
    """A text; other fields, as `metadata_title`, are passed over."""

    text: Text


FORM = "application/x-www-form-urlencoded"
FIELDS = 1_000  # of a form, at most


class Document(BaseModel):
    """A text of several."""

    text: Text
    document_id: Text | None = None
    metadata: Any = Field(None, description="Is passed over.")


class Documents(BaseModel):
    """A batch."""

    documents: list[Document] = Field(max_length=DOCUMENTS)


class Subject(BaseModel):
    """A label as Annif calls it."""

    uri: str
    label: str
    notation: str | None
    score: float


class Subjects(BaseModel):
    """The subjects of a text, best first."""

    results: list[Subject]


class DocumentSubjects(Subjects):
    """The same with the document's own id."""

    document_id: str | None


class Backend(BaseModel):
    """What answers."""

    backend_id: str


class Vocab(BaseModel):
    """The subjects that may be suggested."""

    vocab_id: str
    languages: list[str]
    size: int
    loaded: bool


class Project(BaseModel):
    """A model."""

    project_id: str
    name: str
    language: str
    backend: Backend
    vocab: Vocab
    vocab_language: str
    is_trained: bool
    modification_time: datetime


class Projects(BaseModel):
    """All models."""

    projects: list[Project]


def router(models: Mapping[str, Served], limits: Limits) -> APIRouter:
    """`/v1/projects` and what is below it."""
    routes = APIRouter(prefix="/v1/projects")
    languages = sorted({"", *(one.vocabulary.language for one in models.values())})
    language = {"type": "string", "enum": languages, "description": "Of the labels: that of the vocabulary."}
    text_form = TextForm.model_json_schema()
    text_form["properties"]["language"] = language

    def served(project_id: str) -> Served:
        if project_id not in models:
            raise Refused(404, f"no project {project_id!r}; /v1/projects lists those that there are")
        return models[project_id]

    async def suggested(
        project: Served, texts: Sequence[str], choice: Choice, language: object
    ) -> list[list[Subject]]:
        if language not in (None, "", project.vocabulary.language):
            raise Refused(400, f"language {language!r}: labels are in {project.vocabulary.language!r}")
        wish = Wish(min(choice.limit, limits.top_k), choice.threshold, project.listed_L)
        found = await ask(project, texts, wish, limits, malformed=400)
        listed = project.vocabulary.labels
        return [
            [
                Subject(
                    uri=one.label,
                    label=listed[one.label].name or one.name,
                    notation=listed[one.label].notation,
                    score=one.score,
                )
                for one in predictions
            ]
            for predictions in found
        ]

    @routes.get("", responses=described(401, 503))
    async def list_projects() -> Projects:
        """All models."""
        return Projects(projects=[_project(one) for one in models.values()])

    @routes.get("/{project_id}", responses=described(401, 404, 503))
    async def show_project(project_id: str) -> Project:
        """A model."""
        return _project(served(project_id))

    @routes.post(
        "/{project_id}/suggest",
        responses=described(400, 401, 404, 408, 413, 415, 500, 503),
        openapi_extra={"requestBody": {"required": True, "content": {FORM: {"schema": text_form}}}},
    )
    async def suggest(project_id: str, request: Request) -> Subjects:
        """Subjects of a text."""
        project = served(project_id)
        given = await _fields(request)
        try:
            form = TextForm.model_validate(given)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from None
        [found] = await suggested(project, [form.text], form, given.get("language"))
        return Subjects(results=found)

    @routes.post(
        "/{project_id}/suggest-batch",
        responses=described(400, 401, 404, 408, 413, 500, 503),
        openapi_extra={"parameters": [{"name": "language", "in": "query", "schema": language}]},
    )
    async def suggest_batch(
        project_id: str, batch: Documents, choice: Annotated[Choice, Query()], request: Request
    ) -> list[DocumentSubjects]:
        """Subjects of up to 32 texts."""
        texts = [document.text for document in batch.documents]
        found = await suggested(served(project_id), texts, choice, request.query_params.get("language"))
        return [
            DocumentSubjects(results=results, document_id=document.document_id)
            for results, document in zip(found, batch.documents, strict=True)
        ]

    return routes


async def _fields(request: Request) -> dict[str, str]:
    """Of a form. Starlette's own parser takes bytes that are not spelt out for Latin-1."""
    if request.headers.get("content-type", FORM).partition(";")[0].strip().lower() != FORM:
        raise Refused(415, f"a text is read from a form: Content-Type: {FORM}, and text=... as its body")
    try:
        form = (await request.body()).decode()
        return dict(parse_qsl(form, keep_blank_values=True, errors="strict", max_num_fields=FIELDS))
    except ClientDisconnect:
        raise Refused(400, "the request ended before its form did") from None
    except ValueError:
        raise Refused(400, f"no form in UTF-8 of {FIELDS:,} fields at most") from None


def _project(served: Served) -> Project:
    vocabulary = served.vocabulary
    return Project(
        project_id=served.id,
        name=served.id,
        language=vocabulary.language,
        backend=Backend(backend_id=BACKEND),
        vocab=Vocab(
            vocab_id=vocabulary.id,
            languages=[vocabulary.language],
            size=len(vocabulary.labels),
            loaded=True,
        ),
        vocab_language=vocabulary.language,
        is_trained=True,
        modification_time=served.modified,
    )
