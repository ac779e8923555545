"""Errors as clients see them: problem JSON (RFC 9457), one shape for all."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from xmlkit.console import visible

PROBLEM = "application/problem+json"
LONGEST = 500  # characters of a detail: it may repeat what a client sent


class Problem(BaseModel):
    """What is wrong, and what to do."""

    title: str
    status: int
    detail: str


class Refused(HTTPException):
    """A request that is not answered. `retry`: seconds after which it may be."""

    def __init__(self, status: int, detail: str, retry: int | None = None):
        super().__init__(status, detail, {"Retry-After": str(retry)} if retry is not None else None)


def problem(status: int, detail: str, headers: Any = None) -> Response:
    """An answer that says so. Nothing in it is a line's end, a control character or half a surrogate pair."""
    detail = visible(detail.replace("\n", " "))[:LONGEST].encode(errors="backslashreplace").decode()
    title = HTTPStatus(status).phrase
    found = Problem(title=title, status=status, detail=detail)
    return Response(found.model_dump_json(), status, dict(headers or {}), PROBLEM)


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI description: these, and any other that is the client's to mend."""
    content = {PROBLEM: {"schema": Problem.model_json_schema()}}
    names = {str(status): HTTPStatus(status).phrase for status in statuses}
    return {
        status: {"description": name, "content": content}
        for status, name in (names | {"4XX": "A request that can't be answered"}).items()
    }


def answer_errors(app: FastAPI) -> None:
    """Makes all that is raised a problem; `/v1` says 400, as Annif does, where the rest says 422."""

    async def of_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, error.detail, error.headers)

    async def of_body(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
        message = first["msg"].removeprefix("Value error, ")
        detail = f"{where}: {message}" if where else message
        if first["type"] == "json_invalid":
            detail = f"the body is no JSON: {first['ctx']['error']}, at character {first['loc'][-1]}"
        elif isinstance(first["input"], bytes):
            detail = "the body is read as JSON where it says that it is: Content-Type: application/json"
        return problem(400 if request.scope["path"].startswith("/v1/") else 422, detail)

    async def of_ours(request: Request, error: Exception) -> Response:
        return problem(500, "an error of the server, which its log tells")

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_body)
    app.add_exception_handler(Exception, of_ours)
