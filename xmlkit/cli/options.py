"""What several commands take, and the settings that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xmlkit.config import check_recipe, merge, parse_assignments, read_config_file
from xmlkit.errors import UserError
from xmlkit.presets import preset_settings

DEMO = "demo"


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]
DataArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        help="A corpus folder, or `demo` (the default): Python's own docstrings.",
        show_default=False,
    ),
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option(metavar="A,B", help="Plugins, in the order in which they wrap.", show_default=False),
]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A local folder or hub name, or `auto`, a small one of sentences; "
        "default: `scratch`, small, from random weights.",
    ),
]
RecipeOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="`default`, or `lightxml` as the paper trains.")
]
PresetOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The settings of a data set of the LightXML paper (`xmlkit presets`)."),
]
MemberOption = Annotated[
    int | None, typer.Option(metavar="N", help="Which model of the preset's ensemble; default: 0.")
]
ConfigOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings in TOML or JSON; `--set` goes over them.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting (`epochs=3`) or a plugin's option (`se.reduction=2`); may be repeated.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="The run's new folder; default: `runs/NAME-OF-DATA`."),
]

FastOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="As `5ms`: the most that prediction may take a document; members worth the least a millisecond "
        "are left out.",
        show_default=False,
    ),
]


def settings_of(
    plugin: list[str] | None,
    encoder: str | None,
    recipe: str | None,
    preset: str | None,
    member: int | None,
    config: Path | None,
    assignments: list[str] | None,
) -> dict[str, Any]:
    """What the options say, the later over the earlier: preset or file, options of their own, `--set`."""
    if member is not None and preset is None:
        raise UserError(f"--member {member} belongs to a preset: name one with --preset")
    assigned = parse_assignments(assignments or [])
    if preset and (config or recipe or "recipe" in assigned):
        raise UserError(
            f"--preset {preset} brings its own recipe and settings: leave out --recipe and --config"
        )
    chosen = preset_settings(preset, member or 0) if preset else {}
    file = read_config_file(config) if config else {}
    check_recipe(file, recipe)
    given = {"encoder": encoder, "recipe": recipe, "plugins": _names(plugin or [])}
    given = {key: value for key, value in given.items() if value}
    return merge(chosen, file, given, assigned)


def _names(lists: list[str]) -> list[str]:
    return [name.strip() for names in lists for name in names.split(",") if name.strip()]
