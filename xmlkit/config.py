"""One flat set of settings for a run: defaults, a recipe, a file, `--set`; the later wins.

What plugins ask for comes behind the recipe: see `settled` in plugins.py.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from xmlkit.errors import UserError
from xmlkit.hub import AUTO, chosen_encoder

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DEEPEST = 1_000  # k of a metric, each of which takes memory for every document


class Config(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Every setting of a run. In a file, a table `[NAME]` holds the options of the plugin NAME."""

    encoder: str = Field(
        default="scratch",
        description="a folder or hub name; `auto`: a small one of sentences; `scratch`: a small one from "
        "random weights; `none`",
    )
    recipe: Literal["default", "lightxml"] = Field(
        default="default", description="a set of defaults: default or lightxml"
    )
    plugins: tuple[str, ...] = Field(default=(), description="in the order in which they wrap")
    options: dict[str, dict[str, Any]] = Field(default={}, description="each plugin's, by its name")

    max_len: int = Field(
        default=128, ge=3, description="tokens that the encoder reads, special ones included"
    )
    text_cap: int = Field(default=4096, ge=1, description="tokens of a text that are kept at all")
    validation: float = Field(
        default=0.05, ge=0, lt=1, description="share of the training documents held out"
    )
    validation_max: int = Field(default=4000, ge=0, description="most documents held out")

    layers: int = Field(default=5, ge=1, description="last layers whose first-token states are read")
    freeze: bool = Field(
        default=False,
        description="the encoder stays as it is: only what stands on its vectors learns, many times faster",
    )
    pooling: Literal["first", "mean"] = Field(
        default="mean", description="the last layer's token mean, or first-token states of the last layers"
    )
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="on the document vector; none: 0.5 for first, 0.1 for mean"
    )
    clustered: bool | None = Field(
        default=None,
        description="score only the labels of the likeliest clusters; none: above 50,000 labels",
    )
    cluster_size: int = Field(default=32, ge=1, description="most labels of a cluster")
    shortlist: int = Field(default=16, ge=1, description="likeliest clusters whose labels are scored")
    cluster_power: float = Field(
        default=0.5, ge=0, description="exponent of a cluster's probability in the scores of its labels"
    )
    cluster_width: int | None = Field(
        default=None,
        ge=1,
        description="width of the space in which clusters are scored; none: the document vector's",
    )
    label_width: int = Field(
        default=384, ge=1, description="width of a label's row, where there are clusters"
    )
    row_precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of labels' rows; bfloat16: half the memory"
    )
    row_state: Literal["full", "compact"] = Field(
        default="compact",
        description="of the rows' optimiser: one number a row, or full: AdamW's two an element",
    )
    start: Literal["warm", "prior", "random"] = Field(
        default="warm",
        description="warm: label rows as the encoder sees names and training documents; prior: at zero with "
        "log-odds biases; random: at random",
    )
    start_documents: int = Field(
        default=32,
        ge=1,
        description="with start=warm: training documents read for each label, at least",
    )
    name_documents: Literal["hard", "soft"] | None = Field(
        default=None,
        description="label names as training documents too; hard: of the label alone, soft: also of those "
        "that occur with it",
    )
    unlabelled: str | None = Field(
        default=None,
        description="a file of texts without labels, one a line, for losses that need none, as distil's",
    )
    reduction: Literal["sum", "mean"] = Field(
        default="sum", description="a document's loss over its labels: sum or mean"
    )

    epochs: int = Field(
        default=3, ge=0, description="passes over the training documents; 0: the start itself is the model"
    )
    max_steps: int | None = Field(default=None, ge=1, description="stop after this many optimiser steps")
    batch_size: int = Field(default=64, ge=1, description="documents of an optimiser step")
    micro_batch_size: int | None = Field(
        default=None, ge=1, description="most documents at once, more are accumulated; none: all of a step"
    )
    micro_batch_tokens: int | None = Field(
        default=None,
        ge=1,
        description="most tokens at once, padding included; none: 2,048 on the CPU, 32,768 on CUDA",
    )
    lr: float = Field(default=1e-4, gt=0, description="learning rate of the encoder and of projections")
    head_lr: float | None = Field(
        default=None, gt=0, description="learning rate of everything else; none: 8e-3, 3e-3 with start=warm"
    )
    schedule: Literal["linear", "constant"] = Field(
        default="linear", description="after the warm-up: linear decay, or constant"
    )
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps")
    weight_decay: float = Field(default=0.01, ge=0, description="of matrices; biases and norms have none")
    eps: float = Field(default=1e-8, gt=0, description="AdamW's")
    clip: float | None = Field(default=1.0, gt=0, description="largest gradient norm")
    swa_start: float | None = Field(
        default=None, ge=0, description="epoch from whose end on weights are averaged (SWA); none: never"
    )
    swa_every: int = Field(default=100, ge=1, description="steps between two weights that enter the average")

    eval_every: int | None = Field(
        default=None, ge=1, description="steps between two evaluations; none: an epoch"
    )
    dropout_off_after_eval: bool = Field(
        default=False, description="after an evaluation inside an epoch no dropout until the next epoch"
    )
    patience: int | None = Field(
        default=None, ge=1, description="stop after this many evaluations without a better P@5"
    )
    checkpoint_every: int | None = Field(
        default=None,
        ge=1,
        description="steps between two checkpoints, besides those at evaluations; none: every five minutes",
    )
    shard_encoder: bool = Field(
        default=False,
        description="under torchrun each process has a part of the encoder's weights, gradients and moments: "
        "for one that is too large for a device",
    )
    rank_timeout: float = Field(
        default=1800.0, gt=0, description="seconds that processes under torchrun wait for each other"
    )
    log_every: int = Field(default=20, ge=1, description="steps between two lines of the log")
    seed: int = Field(default=0, ge=0, description="of weights, clusters, order and dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="cpu, cuda, or auto: CUDA where there is one"
    )
    precision: Precision = Field(
        default="auto",
        description="float32, bfloat16 (autocast), or auto: the second on CUDA and with AMX or AVX512-BF16",
    )
    compile: bool = Field(
        default=False, description="torch.compile the encoder, which takes a minute and needs a C++ compiler"
    )
    deterministic: bool = Field(
        default=False,
        description="the same numbers on CUDA too, slower; on the CPU they are, for one number of threads",
    )

    ks: tuple[Annotated[int, Field(ge=1, le=DEEPEST)], ...] = Field(
        default=(1, 3, 5), min_length=1, description="the k of P@k and of the others, as in 1,3,5"
    )
    propensity_a: float = Field(default=0.55, gt=0, description="A of PSP and PSnDCG")
    propensity_b: float = Field(default=1.5, gt=0, description="B of PSP and PSnDCG")

    @property
    def rows_lr(self) -> float:
        """`head_lr` of settings that are resolved."""
        assert self.head_lr is not None
        return self.head_lr

    @property
    def tokens_at_once(self) -> int:
        """`micro_batch_tokens` of a run, which has decided where it was left open."""
        assert self.micro_batch_tokens is not None
        return self.micro_batch_tokens

    def as_document(self) -> dict[str, Any]:
        """As a config file holds it, the plugins' options as tables."""
        return self.model_dump(mode="json", exclude={"options"}) | self.options

    @property
    def changed(self) -> dict[str, Any]:
        """What differs from the defaults, as a config file holds it."""
        usual = Config().as_document()
        return {name: value for name, value in self.as_document().items() if usual.get(name) != value}

    def as_given(self) -> dict[str, Any]:
        """The same of what was set: all else is left to the recipe and the corpus."""
        return self.model_dump(mode="json", exclude={"options"}, exclude_unset=True) | self.options


RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    # LightXML (Jiang et al., AAAI 2021), paper and code: the losses' means over labels, one learning rate,
    # no schedule, weight averaging.
    "lightxml": {
        "plugins": (),
        "pooling": "first",
        "start": "random",
        "row_state": "full",
        "reduction": "mean",
        "cluster_power": 1.0,
        "batch_size": 16,
        "lr": 1e-4,
        "head_lr": 1e-4,
        "schedule": "constant",
        "warmup": 0.0,
        "eps": 1e-6,
        "clip": None,
        "swa_start": 1.0,
    },
}
# Random weights learn at rates that would spoil pretrained ones (benchmarks/NOTES.md).
DEFAULTS_OF_ENCODER: dict[str, dict[str, Any]] = {
    "scratch": {"lr": 2e-3, "head_lr": 3e-2},
    "none": {"max_len": 3, "start": "prior"},  # nothing is read, so that batches need not be split by length
}
DEMO: dict[str, Any] = {
    "plugins": ("lexical",),
    "options": {"lexical": {"buckets": 65_536}},
    "epochs": 4,
    "max_len": 64,
    "clustered": True,
}
# What a run that starts from another one's weights shares with it: what decides their names and shapes, and
# which documents they have not seen.
SHARED = (
    *("encoder", "layers", "pooling", "clustered", "cluster_size", "cluster_width", "label_width", "start"),
    *("validation", "validation_max"),
)
SETTINGS = [name for name in Config.model_fields if name != "options"]


def resolve(given: Mapping[str, Any], source: str | None = None) -> Config:
    """The settings of a run on the corpus of this source (`demo` has defaults of its own).

    Raises UserError for an unknown setting or a value out of bounds, in one line.
    """
    try:
        _check_size(given)
    except RecursionError:
        raise UserError("settings are nested too deeply: a plugin's options are one table") from None
    settings = {key: value for key, value in given.items() if key in SETTINGS}
    if settings.get("encoder", "") is None:  # `--set encoder=none`
        settings["encoder"] = "none"
    if settings.get("encoder") == AUTO:
        settings["encoder"] = chosen_encoder(AUTO)
    corpus_defaults = DEMO if source == "demo" else {}
    recipe = RECIPES.get(str(settings.get("recipe", "default")), {})
    plugins = settings.get("plugins", recipe.get("plugins", corpus_defaults.get("plugins", ())))
    if not isinstance(plugins, list | tuple) or not all(isinstance(name, str) for name in plugins):
        raise UserError(f"plugins={plugins!r}: expected a list of names")
    defaults_of_plugins = corpus_defaults.get("options", {})
    options = {name: dict(defaults_of_plugins[name]) for name in plugins if name in defaults_of_plugins}
    for key, value in given.items():
        if key in settings:
            continue
        if key not in plugins:
            raise UserError(_unknown(key, isinstance(value, Mapping), plugins))
        if not isinstance(value, Mapping):
            raise UserError(f"{key} is a plugin: set its options one by one, as in --set {key}.OPTION=VALUE")
        options[key] = {**options.get(key, {}), **value}
    defaults = DEFAULTS_OF_ENCODER.get(str(settings.get("encoder", "scratch")), {})
    layers = [defaults, corpus_defaults, recipe, settings, {"options": options}]
    merged = {key: value for layer in layers for key, value in layer.items()}
    try:
        config = Config(**merged)
    except ValidationError as error:
        raise UserError(explain(error)) from None
    left_open = {
        "dropout": 0.5 if config.pooling == "first" else 0.1,
        "head_lr": 3e-3 if config.start == "warm" else 8e-3,
        "micro_batch_size": config.batch_size,
    }
    decided = {name: value for name, value in left_open.items() if getattr(config, name) is None}
    # What a recipe has, and what was left open, was not given: see `as_given`.
    return Config.model_construct(set(settings), **{**dict(config), **decided})


def _check_size(given: Mapping[str, Any], prefix: str = "") -> None:
    """Raises UserError for whole numbers that no library takes."""
    for key, value in given.items():
        if isinstance(value, Mapping):
            _check_size(value, f"{key}.")
        for number in value if isinstance(value, list | tuple) else [value]:
            if isinstance(number, int) and abs(number) >= 2**63:
                raise UserError(f"{prefix}{key}: a number of more than 64 bits; choose a smaller one")


def explain(error: ValidationError, prefix: str = "") -> str:
    """The first thing that pydantic found wrong, as one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(
        [*([prefix] if prefix else []), *(part for part in first["loc"] if isinstance(part, str))]
    )
    message = first["ctx"]["error"] if first["type"] == "value_error" else first["msg"]
    if not first["loc"]:  # of several options together
        return f"{where}: {message} (--set {where}.OPTION=VALUE, or the config file)"
    return f"{where}={first['input']!r}: {message} (--set {where}=VALUE, or the config file)"


def nearest(name: str, names: Iterable[str]) -> str:
    """A clause that proposes the name that was probably meant, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else ""


def _unknown(key: str, is_table: bool, plugins: Iterable[str]) -> str:
    if is_table:
        active = ", ".join(plugins) or "none"
        hint = nearest(key, plugins) or f": add --plugin {key}"
        return f"options are set for {key!r}, which is not in use (plugins: {active}){hint}"
    return f"unknown setting {key!r}{nearest(key, SETTINGS) or '; xmlkit settings lists them'}"


def read_config_file(path: Path) -> dict[str, Any]:
    """Settings from a TOML or JSON file; a run's `config.json` is one.

    Raises UserError where the file is missing or does not parse.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"--config {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # both parsers' and the decoder's errors are ValueErrors
        raise UserError(f"--config {path}: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"--config {path}: expected settings by name, found a {type(document).__name__}")
    return document


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """`epochs=3`, `se.reduction=2`, `encoder=folder` as a document; values are JSON, else plain text."""
    document: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set {assignment}: expected KEY=VALUE, as in --set epochs=3")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None if text in ("none", "None") else _list_of_numbers(text) or text
        plugin, dot, option = key.partition(".")
        if dot:
            tables.setdefault(plugin, {})[option] = value
        else:
            document[key] = value
    return document | tables


def as_assigned(value: Any) -> str:
    """A value as `--set` takes it."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _list_of_numbers(text: str) -> list[Any] | None:
    try:
        return json.loads(f"[{text}]")  # `ks=1,3`
    except (ValueError, RecursionError):
        return None


def check_recipe(file: Mapping[str, Any], recipe: str | None) -> None:
    """Refuses another recipe beside a file that spells one out: the file's settings would undo it."""
    if recipe and file.get("recipe", recipe) != recipe:
        raise UserError(
            f"--recipe {recipe}: the config file holds the settings of the recipe {file['recipe']!r}; "
            "leave out one of the two"
        )


def merge(*documents: Mapping[str, Any]) -> dict[str, Any]:
    """Documents laid over each other, the later wins; a plugin's options one by one."""
    merged: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            old = merged.get(key)
            if isinstance(old, Mapping) and isinstance(value, Mapping):
                value = {**old, **value}
            merged[key] = value
    return merged
