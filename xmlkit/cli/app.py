"""The commands, and what stands before them."""

from __future__ import annotations

from typing import Annotated

import typer

import xmlkit
from xmlkit.cli.compare import compare
from xmlkit.cli.data import convert, describe, formats, sample, split
from xmlkit.cli.ensemble import ensemble
from xmlkit.cli.evaluate import evaluate
from xmlkit.cli.explain import explain
from xmlkit.cli.init_weights import init_weights
from xmlkit.cli.labels import add
from xmlkit.cli.plugins import new, plugins
from xmlkit.cli.predict import predict
from xmlkit.cli.presets import presets
from xmlkit.cli.push import push
from xmlkit.cli.ranked import check_command
from xmlkit.cli.report import report
from xmlkit.cli.serve import serve
from xmlkit.cli.settings import settings
from xmlkit.cli.threshold import threshold
from xmlkit.cli.train import train

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
for command in (
    *(train, compare, ensemble, init_weights, presets),
    *(evaluate, threshold, predict, explain, report, serve, push, plugins, settings),
):
    app.command()(command)
for group, does, inside in (
    ("data", "Looks at corpora, and makes others of them.", (describe, formats, convert, split, sample)),
    ("labels", "Adds labels to runs.", (add,)),
    ("plugin", "Begins plugins of your own.", (new,)),
):
    inner = typer.Typer(help=does)
    for one in inside:
        inner.command()(one)
    app.add_typer(inner, name=group)


def _version(wanted: bool) -> None:
    if wanted:
        print(xmlkit.__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Prints the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Extreme multi-label text classification: give a text the few right labels out of very many."""
    check_command(context.invoked_subcommand)
    if context.invoked_subcommand is None:
        print(context.get_help())
