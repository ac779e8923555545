"""What several commands take, and the settings that it makes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer
from pydantic import ValidationError

from xmlkit.config import Precision, check_recipe, merge, nearest, parse_assignments, read_config_file
from xmlkit.data.dialect import MOST_BAD, Dialect
from xmlkit.errors import UserError
from xmlkit.hub import local
from xmlkit.presets import preset_settings

if TYPE_CHECKING:
    from xmlkit.data.formats import Format

DEMO = "demo"
PANEL = "How files of data are read"


def never_empty(given: str | None) -> str | None:
    """Or a variable of the shell that is not set would mean the default."""
    if given == "":
        raise typer.BadParameter("it is empty; is a variable of the shell not set?")
    return given


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.", show_default=False)]
RunOrHubArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The folder of a run, or `hub:user/name` of one on the Hugging Face hub.",
        callback=local,
        show_default=False,
    ),
]
DataArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]",
        help="A corpus folder, one file of documents, or `demo` (the default): Python's own docstrings.",
        callback=never_empty,
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
    typer.Option(
        "--out",
        metavar="DIR",
        help="The run's new folder; default: `runs/NAME-OF-DATA`, of an ensemble `NAME-ensemble` and of a "
        "student `NAME-student`; -2 behind it where a run has it already.",
    ),
]

PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        help="What encoders compute in: `auto` is `bfloat16` where this machine has it, else `float32`; "
        "default: as the run was trained.",
        show_default=False,
    ),
]
AimOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="METRIC,...",
        help="What blends are compared by, as `P@5`, of several the mean; default: nDCG@5,PSP@5.",
        show_default=False,
    ),
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


@dataclass(frozen=True)
class Chosen:
    """What makes the settings of a run, besides its plugins."""

    encoder: EncoderOption = None
    recipe: RecipeOption = None
    preset: PresetOption = None
    member: MemberOption = None
    config: ConfigOption = None
    set_: SetOption = None

    def settings(self, plugin: list[str] | None = None) -> dict[str, Any]:
        """What they say, the later over the earlier: preset or file, options of their own, `--set`."""
        if self.member is not None and self.preset is None:
            raise UserError(f"--member {self.member} belongs to a preset: name one with --preset")
        assigned = parse_assignments(self.set_ or [])
        if self.preset and (self.config or self.recipe or "recipe" in assigned):
            raise UserError(
                f"--preset {self.preset} brings its own recipe and settings: leave out --recipe and --config"
            )
        chosen = preset_settings(self.preset, self.member or 0) if self.preset else {}
        file = read_config_file(self.config) if self.config else {}
        check_recipe(file, self.recipe)
        given = {"encoder": self.encoder, "recipe": self.recipe, "plugins": names_in(plugin or [])}
        given = {key: value for key, value in given.items() if value}
        return merge(chosen, file, given, assigned)


@dataclass(frozen=True)
class Read:
    """How the files of a corpus are read, where they don't say so themselves."""

    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of text files; default: `utf-8`.", show_default=False, rich_help_panel=PANEL
        ),
    ] = None
    bad_lines: Annotated[
        Literal["error", "skip"] | None,
        typer.Option(
            help=f"`skip`: counts and names lines that can't be read, up to {MOST_BAD:.0%} of all; "
            "default: `error`.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None
    text_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Of a table: whose texts are put together.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None
    label_column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Of a table: where the labels are.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None
    label_separator: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Between the labels of a cell; default: white space.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None
    labels_by_name: Annotated[
        bool | None,
        typer.Option(
            "--labels-by-name",
            help="Documents call labels by the names of the vocabulary, not by its ids.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None
    language: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of labels' names, where there are several, as `en`.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None

    @property
    def words(self) -> list[str]:
        """The options as they are typed."""
        given = ((f"--{field.name.replace('_', '-')}", getattr(self, field.name)) for field in fields(self))
        return [
            name
            if value is True
            else f"{name} {shlex.quote(','.join(value) if isinstance(value, list) else value)}"
            for name, value in given
            if value is not None
        ]

    def check_data(self, data: object) -> None:
        """Raises UserError where they are given, and nothing is that they could be for."""
        if data is None and self.words:
            raise UserError(
                f"{self.words[0]}: a run remembers how its corpus was read; leave it out, or name DATA"
            )

    def dialect(self) -> Dialect:
        """What they say."""
        said = {
            "encoding": self.encoding,
            "bad_lines": self.bad_lines,
            "text_columns": tuple(names_in(self.text_column or [])) or None,
            "label_column": tuple(names_in(self.label_column or [])) or None,
            "label_separator": self.label_separator,
            "labels_by_name": self.labels_by_name,
            "language": self.language,
        }
        given = {key: value for key, value in said.items() if value is not None}
        try:
            return Dialect.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]).replace("_", "-")
            value = first["input"] or "''"
            raise UserError(f"--{name} {value}: {first['ctx']['error']}") from None


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of each parameter that is a group of them, `Chosen` or `Read`.

    A class's fields are spelt as parameters of a command are.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if hint in (Chosen, Read)}

    @wraps(command)
    def grouped(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        group = groups.get(parameter.name)
        found = [parameter] if group is None else [_parameter(field) for field in fields(group)]
        of = command if group is None else group
        kinds = get_type_hints(of, include_extras=True)
        parameters += [one.replace(kind=Parameter.KEYWORD_ONLY, annotation=kinds[one.name]) for one in found]
    grouped.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    grouped.__annotations__ = {one.name: one.annotation for one in parameters}
    return grouped


def _parameter(field: Field[Any]) -> Parameter:
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default)


def format_named(name: str, option: str = "--format") -> Format:
    """The format of this name; raises UserError where there is none."""
    from xmlkit.data.formats import formats

    known = {format.NAME: format for format in formats()}
    if name not in known:
        hint = nearest(name, known) or f"; there are {', '.join(known)}"
        raise UserError(f"{option} {name}: no such format{hint}")
    return known[name]


def names_in(lists: list[str]) -> list[str]:
    """Those between commas."""
    return [name.strip() for names in lists for name in names.split(",") if name.strip()]


def file_to_write(option: str, path: Path) -> Path:
    """What is put there in one piece, of a link what it leads to. Raises UserError where no file can be."""
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: no such folder; make it first")
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path} is there and no file that could be replaced; name another")
    return path.resolve() if path.is_symlink() else path
