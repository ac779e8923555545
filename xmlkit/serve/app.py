"""The application: routes, and what stands before them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from fastapi import FastAPI

from xmlkit.distribution import DISTRIBUTION
from xmlkit.serve import annif, explaining, page, predicting
from xmlkit.serve.guard import HEALTH, Door, Guard
from xmlkit.serve.limits import Limits
from xmlkit.serve.refusals import answer_errors
from xmlkit.serve.served import Served
from xmlkit.serve.watch import Watch, Watched


def application(
    models: Mapping[str, Served], limits: Limits, token: str | None, door: Door, watch: Watch
) -> FastAPI:
    """Answers for these models; `/openapi.json` describes how."""
    app = FastAPI(title="xmlkit", version=version(DISTRIBUTION), docs_url=None, redoc_url=None)
    app.include_router(predicting.router(models, limits, watch))
    app.include_router(explaining.router(models, limits))
    app.include_router(annif.router(models, limits))
    app.include_router(page.router())
    answer_errors(app)
    app.add_middleware(Guard, limits=limits, token=token, door=door, open_to_all={HEALTH, *page.FILES})
    app.add_middleware(Watched, watch=watch)  # outermost
    return app
