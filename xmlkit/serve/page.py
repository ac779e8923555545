"""The page: a person asks the models and sees why, with files that need nothing from elsewhere."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter, Response

FILES = MappingProxyType(
    {
        "/": ("index.html", "text/html"),
        "/page.css": ("page.css", "text/css"),
        "/page.js": ("page.js", "text/javascript"),
        "/icon.svg": ("icon.svg", "image/svg+xml"),
    }
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def router() -> APIRouter:
    """Its files, which hold no secrets."""
    routes = APIRouter(include_in_schema=False)
    for path, (name, kind) in FILES.items():
        content = files("xmlkit.serve").joinpath("files", name).read_bytes()
        answer = partial(_answer, content, kind)
        routes.add_api_route(path, answer, response_class=Response, methods=["GET", "HEAD"])
    return routes


async def _answer(content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind, headers=HEADERS)
