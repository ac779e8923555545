"""The page: one HTML file with its data, pictures, style and scripts, that asks nobody for anything.

All text comes through Jinja2's escaping, data as JSON in which `<`, `>`, `&` and `'` are spelt as escapes;
the page's scripts write text and never HTML. A content security policy lets no other script run, and nothing
be fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import vl_convert
from altair import SCHEMA_VERSION
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xmlkit.comparison.compare import SHOWN
from xmlkit.config import as_assigned
from xmlkit.console import visible
from xmlkit.files import replaced
from xmlkit.metrics import METRICS
from xmlkit.report import charts
from xmlkit.report.comparison import OfComparison
from xmlkit.report.run import OfRun
from xmlkit.report.suite import SHOWN as OF_SUITE
from xmlkit.report.suite import OfSuite
from xmlkit.report.tested import LONGEST

FILES = "files"
SCRIPTS = ("charts.js", "tables.js")
DRAWS = "window.vegaEmbed = vegaEmbed;"  # what the library leaves to the other scripts
TITLES = {
    "loss": "Losses of training steps",
    "validation/P": "P@k of held-out documents",
    "validation/PSP": "PSP@k of held-out documents",
    "shortlist": "Shortlists of held-out documents",
    "averaged_shortlist": "Shortlists of the averaged weights",
    "lr": "Learning rate",
    "documents_per_second": "Documents a second",
}
Source = OfRun | OfComparison | OfSuite
LAST = ("lr", "documents_per_second")
IN_PERCENT = ("validation/P", "validation/PSP", "shortlist", "averaged_shortlist")


def write(sources: Sequence[Source], out: Path) -> None:
    """Replaces `out` by the page."""
    page = render(sources)
    with replaced(out) as unfinished:
        unfinished.write_text(page, encoding="utf-8", errors="backslashreplace")


def render(sources: Sequence[Source]) -> str:
    """The page of runs, comparisons and benchmarks, in their order."""
    environment = _environment()
    scripts = [_library(), *(_file(environment, name) for name in SCRIPTS)]
    runs = [source for source in sources if isinstance(source, OfRun)]
    return environment.get_template("page.html").render(
        title=", ".join(source.title for source in sources),
        sources=sources,
        runs=runs,
        shown=list(dict.fromkeys(name for run in runs for name in _of_precision(run.metrics))),
        style=Markup(_file(environment, "page.css")),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        charts=charts,
        pictures=_pictures,
        titles=TITLES,
        percent=IN_PERCENT,
        kinds=METRICS,
        compared=SHOWN,
        drawn=OF_SUITE,
        longest=LONGEST,
    )


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("xmlkit.report", FILES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False,
        "allow_nan": False,
        "separators": (",", ":"),
    }
    found.filters |= {
        "visible": visible,
        "is_run": lambda source: isinstance(source, OfRun),
        "is_suite": lambda source: isinstance(source, OfSuite),
        "setting": lambda value: visible(as_assigned(value)),
        "figure": lambda figures, name: f"{figures[name]:.2f}" if name in figures else "",
        "ks": lambda figures: list(dict.fromkeys(name.split("@")[1] for name in figures if "@" in name)),
        "of_precision": _of_precision,
        "any_noisy": lambda pictures: any(map(charts.is_noisy, pictures)),
    }
    return found


def _of_precision(figures: Mapping[str, float]) -> list[str]:
    return [name for name in figures if name.split("@")[0] in ("P", "PSP")]


def _file(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@cache
def _library() -> str:
    """Vega, Vega-Lite and their embedding, which come with vl-convert."""
    version = ".".join(SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle(DRAWS, vl_version=version)
    assert "</script" not in bundle.lower(), "it would end there"
    return bundle


def _policy(scripts: Sequence[str]) -> str:
    """These scripts alone, whatever else a page might be made to say."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:"


def _pictures(run: OfRun) -> dict[str, dict[str, Any]]:
    """The curves that are worth a picture: losses and evaluations, then plugins', then speed."""
    known = run.told.curves.pictures
    first = [name for name in TITLES if name in known and name not in LAST]
    own = [name for name in known if name not in TITLES and not name.startswith("validation/")]
    named = [*first, *sorted(own), *(name for name in LAST if name in known)]
    return {name: run.told.curves.of(name) for name in named if run.told.curves.of(name)}
