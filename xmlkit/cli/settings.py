"""`xmlkit settings`."""

from __future__ import annotations

from typing import Annotated

import typer

from xmlkit.cli.options import (
    ConfigOption,
    EncoderOption,
    MemberOption,
    PluginOption,
    PresetOption,
    RecipeOption,
    SetOption,
    settings_of,
)
from xmlkit.cli.saying import print_uncut


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
            metavar="DATA", help="As they are for this corpus: a folder, or `demo`.", show_default=False
        ),
    ] = None,
    plugin: PluginOption = None,
    encoder: EncoderOption = None,
    recipe: RecipeOption = None,
    preset: PresetOption = None,
    member: MemberOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Lists what `--set` takes, with the values that these options give: what `train` would use.

    Example: `xmlkit settings --data FOLDER --encoder auto --plugin lexical`, `xmlkit settings epochs`
    """
    from xmlkit.cli.display import settings_table
    from xmlkit.data.corpus import load_corpus
    from xmlkit.plugins import settled
    from xmlkit.training.checked import check

    given = settings_of(plugin, encoder, recipe, preset, member, config, set_)
    if data is None:
        chosen, active = settled(given)
    else:
        checked = check(load_corpus(data), given, None)
        chosen, active = checked.config, checked.active
    print_uncut(settings_table(chosen, active, name))
