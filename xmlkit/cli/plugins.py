"""`xmlkit plugins`, and `xmlkit plugin new`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from xmlkit.cli.options import (
    Chosen,
    PluginOption,
    spread,
)
from xmlkit.cli.saying import out, say_error
from xmlkit.config import resolve
from xmlkit.console import say
from xmlkit.errors import UserError


class Hook(StrEnum):
    """Where a plugin may stand: typer takes no list of a Literal."""

    representation = "representation"
    shortlist = "shortlist"
    head = "head"
    loss = "loss"


License = Literal["MIT", "BSD-3-Clause", "Apache-2.0", "none"]


@spread
def plugins(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Shows what stands at each hook point with these settings, too.")
    ] = False,
    plugin: PluginOption = None,
    *,
    chosen: Chosen,
) -> None:
    """Lists the installed plugins, their hook points and their options.

    Example: `xmlkit plugins --verbose --plugin se,loss-fix`
    """
    settings = chosen.settings(plugin)
    if settings and not verbose:
        raise UserError("these settings say what stands at each hook point: add --verbose to see it")
    checked = resolve(settings)
    from xmlkit.cli.display import chain_table, plugin_list

    plugin_lines, failures = plugin_list()
    print(plugin_lines)
    for failure in failures:
        say_error(failure)
    if verbose:
        out.print(chain_table(checked))


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What --plugin will call it, as in my-idea.")],
    hook: Annotated[
        list[Hook] | None, typer.Option(help="Where it stands; may be repeated. Default: representation.")
    ] = None,
    license_: Annotated[
        License, typer.Option("--license", help="What it may be published under; `none` leaves that open.")
    ] = "MIT",
) -> None:
    """Writes a plugin that works, its tests and what pip needs, into the new folder `xmlkit-NAME`.

    Example: `xmlkit plugin new my-idea --hook head --hook loss`
    """
    from xmlkit.scaffold.new import new_plugin

    folder = new_plugin(name, hook or [Hook.representation], None if license_ == "none" else license_)
    say(f'plugin: {folder}; next: cd {folder} && pip install -e ".[test]" && pytest')
