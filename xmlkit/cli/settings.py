"""`xmlkit settings`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmlkit.cli.options import (
    Chosen,
    PluginOption,
    Read,
    never_empty,
    spread,
)
from xmlkit.cli.saying import print_uncut
from xmlkit.errors import UserError


@spread
def settings(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One of them, as `epochs` or `lexical.width`.", show_default=False
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="As they are for this corpus: a folder, a file or `demo`.",
            callback=never_empty,
            show_default=False,
        ),
    ] = None,
    plugin: PluginOption = None,
    *,
    chosen: Chosen,
    read: Read,
) -> None:
    """Lists what `--set` takes, with the values that these options give: what `train` would use.

    Example: `xmlkit settings --data FOLDER --encoder auto --plugin lexical`, `xmlkit settings epochs`
    """
    from xmlkit.cli.display import settings_table
    from xmlkit.data.corpus import load_corpus
    from xmlkit.plugins import settled
    from xmlkit.training.checked import check

    given = chosen.settings(plugin)
    if data is None and read.words:
        raise UserError(f"{read.words[0]}: no corpus is read; leave it out, or name --data")
    if data is None:
        config, active = settled(given)
    else:
        checked = check(load_corpus(data, read.dialect()), given, None)
        config, active = checked.config, checked.active
    print_uncut(settings_table(config, active, name))
