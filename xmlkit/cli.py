"""The command line: parses, calls, prints."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from enum import StrEnum
from io import TextIOWrapper
from itertools import chain, islice, repeat, tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np
import typer
from rich.console import Console

import xmlkit
from xmlkit.config import check_recipe, merge, parse_assignments, read_config_file, resolve
from xmlkit.console import say, visible
from xmlkit.errors import UserError
from xmlkit.files import errors_named
from xmlkit.presets import num_members, preset_settings

if TYPE_CHECKING:
    from rich.table import Table

    from xmlkit.data.corpus import Corpus

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Looks at corpora.")
app.add_typer(data_app, name="data")
labels_app = typer.Typer(help="Adds labels to runs.")
app.add_typer(labels_app, name="labels")
plugin_app = typer.Typer(help="Begins plugins of your own.")
app.add_typer(plugin_app, name="plugin")
out = Console()

FoundT = TypeVar("FoundT")
MISTYPED: Any = typer.BadParameter.mro()[1]  # click's UsageError, which typer now carries within itself
EXAMPLES = 5
DEMO = "demo"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "ALLOC_FAILED",
    "Storage size calculation overflowed",
)
GOES_ON = "interrupted; the same command goes on"
DOUBT = (
    "Differences from base, with 95% intervals of a paired bootstrap over documents and seeds. `could show` "
    "is the smallest difference of P@5 that would have been told from 0. Each row is a test of its own: of "
    "twenty without any effect about one shows a difference."
)
ONE_SEED = (
    " With one seed the intervals leave out how much seeds differ: give --seeds 3 before you believe them."
)


class Layout(StrEnum):
    """Of predictions."""

    text = "text"
    jsonl = "jsonl"
    tsv = "tsv"


class Final(StrEnum):
    """What the last look is at."""

    test = "test"


class Hook(StrEnum):
    """Where a plugin may stand."""

    representation = "representation"
    shortlist = "shortlist"
    head = "head"
    loss = "loss"


class License(StrEnum):
    """What a new plugin may be published under; `none` leaves that open."""

    mit = "MIT"
    bsd = "BSD-3-Clause"
    apache = "Apache-2.0"
    none = "none"


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
        metavar="NAME", help="A local folder or hub name; default: `scratch`, small, from random weights."
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


@app.command()
def train(
    data: DataArgument = None,
    plugin: PluginOption = None,
    encoder: EncoderOption = None,
    recipe: RecipeOption = None,
    preset: PresetOption = None,
    member: MemberOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    out_: OutOption = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Starts from this run's weights; encoder, clusters and widths are then the run's.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Goes on with an interrupted run and its settings; DATA only where the corpus has moved.",
        ),
    ] = None,
    ensemble_: Annotated[
        str | None,
        typer.Option(
            "--ensemble",
            metavar="A,B",
            help="Trains these and blends them: `lexical`, `bag`, `frozen`, `warm`, `neighbours`, `names`, "
            "`linear`; or `auto`. The same command goes on with what was broken off.",
            show_default=False,
        ),
    ] = None,
    all_members: Annotated[
        bool,
        typer.Option(
            "--all-members",
            help="Trains all models of the preset, and adds up their scores, as LightXML does.",
        ),
    ] = False,
) -> None:
    """Trains a model, keeps the best weights and scores them on the corpus's test split.

    Examples: `xmlkit train`, `xmlkit train FOLDER --encoder bert-base-uncased --set epochs=5`
    """
    settings = _settings(plugin, encoder, recipe, preset, member, config, set_)
    if ensemble_ is not None or all_members:
        option = "--all-members" if all_members else "--ensemble"
        if resume or init_from or (all_members and ensemble_ is not None):
            raise UserError(f"{option} trains anew: leave out --resume, --init-from and the like")
        if not all_members and preset:
            raise UserError("--ensemble brings its own settings: leave out --preset, or take --all-members")
        if all_members and (preset is None or member is not None):
            raise UserError("--all-members trains those of a preset: name it with --preset, without --member")
        if ensemble_ is not None:
            return _train_ensemble(data, out_, [settings], ensemble_)
        numbers = range(num_members(preset or ""))
        each = [_settings(plugin, encoder, recipe, preset, n, config, set_) for n in numbers]
        return _train_ensemble(data, out_, each)
    if resume and (settings or out_ or init_from):
        raise UserError("--resume RUN takes its settings from the run: leave out all else but DATA")
    if init_from and preset:
        raise UserError(
            f"--init-from with --preset: give --config {init_from}/config.json instead of the preset"
        )
    if init_from:
        from xmlkit.training.init_from import shared_settings

        settings = merge(shared_settings(init_from), settings)
    checked = None if resume else resolve(settings, data or DEMO)  # typing errors before any work
    if not data and not resume:
        _say_demo()
    from xmlkit.data.corpus import load_corpus
    from xmlkit.display import example_table, metric_table
    from xmlkit.model.folder import run_source
    from xmlkit.training import train as training

    if resume:
        corpus = load_corpus(data or run_source(resume))
        trained = training.resume(resume, corpus)
    else:
        corpus = load_corpus(data or DEMO)
        _remark(corpus)
        trained = training.train(corpus, checked, out_, init_from)
    if trained.outcome == "interrupted":
        say(f"interrupted; go on with: xmlkit train --resume {trained.folder}")
        raise typer.Exit(130)
    if trained.metrics and corpus.test:
        print(f"{visible(corpus.name)}, test split, {len(corpus.test):,} documents")
        out.print(metric_table(trained.metrics))
        few = corpus.test.take(np.linspace(0, len(corpus.test) - 1, EXAMPLES, dtype=int))
        out.print(example_table(few, corpus.labels, trained.model.predict(few.texts)))
    say(f'run: {trained.folder}; next: echo "some text" | xmlkit predict {trained.folder}')


def _train_ensemble(
    data: str | None, out_: Path | None, settings: list[dict[str, Any]], given: str | None = None
) -> None:
    """Of these names with one document of settings, or of a model for each document."""
    from xmlkit.blend.training import names_of, train_ensemble, train_sum
    from xmlkit.data.corpus import load_corpus
    from xmlkit.display import ensemble_table, metric_table
    from xmlkit.model.folder import write_json

    names = None if given is None else names_of(given)
    if not data:
        _say_demo()
    corpus = load_corpus(data or DEMO)
    _remark(corpus)
    folder = out_ or Path("runs") / f"{corpus.folder_name}-ensemble"
    if names is None:
        made = _to_the_end(lambda: train_sum(corpus, settings, folder))
    else:
        made = _to_the_end(lambda: train_ensemble(corpus, settings[0], names, folder))
    _print_uncut(ensemble_table(made))
    if corpus.test:
        metrics = xmlkit.load(made.folder).evaluate(corpus.test)
        write_json(made.folder / "metrics.json", metrics)
        print(f"{visible(corpus.name)}, test split, {len(corpus.test):,} documents")
        out.print(metric_table(metrics))
    say(f'run: {made.folder}; next: echo "some text" | xmlkit predict {made.folder}')


@app.command()
def compare(
    data: DataArgument = None,
    plugin_sets: Annotated[
        str,
        typer.Option(
            metavar="SETS",
            help="Sets between semicolons, plugins between commas, options or settings in brackets.",
        ),
    ] = "base",
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Each set is trained with 0 to N-1.")] = 3,
    final: Annotated[
        Final | None,
        typer.Option(help="Scores the test split instead of the validation part: once, at the very end."),
    ] = None,
    encoder: EncoderOption = None,
    recipe: RecipeOption = None,
    preset: PresetOption = None,
    member: MemberOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder of the runs and tables; what it holds is not trained again. "
            "Default: `comparisons/NAME-OF-DATA`.",
        ),
    ] = None,
) -> None:
    """Trains sets of plugins from the same start and shows which differ from `base` by more than chance.

    Example: `xmlkit compare FOLDER --plugin-sets "base;se;loss-fix[mode=split];se,loss-fix[lr=2e-4]"`
    """
    settings = _settings(None, encoder, recipe, preset, member, config, set_)
    if "seed" not in parse_assignments(set_ or []):
        settings.pop("seed", None)  # a preset's or a run's: here --seeds decides
    if not data:
        _say_demo()
    from xmlkit.comparison.compare import compare as run_comparison
    from xmlkit.data.corpus import load_corpus
    from xmlkit.display import comparison_table

    corpus = load_corpus(data or DEMO)
    _remark(corpus)
    part: Literal["test", "validation"] = "test" if final else "validation"
    found = _to_the_end(lambda: run_comparison(corpus, plugin_sets, settings, seeds, part, out_))
    _print_uncut(comparison_table(found))
    say(DOUBT + (ONE_SEED if seeds == 1 else ""))


@app.command()
def ensemble(
    members: Annotated[
        list[str],
        typer.Argument(
            metavar="MEMBER ...",
            help="Runs' folders, or `neighbours:RUN`, `names:ENCODER`, `linear`, `scores:FILE`.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="The corpus; default: that of the first run.", show_default=False),
    ] = None,
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="METRIC",
            help="What blends are compared by, as `P@5` or `PSP@5`; default: nDCG@5.",
            show_default=False,
        ),
    ] = None,
    summed: Annotated[
        bool, typer.Option("--sum", help="Adds up scores label by label, as LightXML does, and fits nothing.")
    ] = False,
    out_: OutOption = None,
) -> None:
    """Blends several ways of knowing into one run, by weights fitted on documents that none has learnt from.

    Example: `xmlkit ensemble runs/mine neighbours:runs/mine linear --out runs/whole`
    """
    from xmlkit.blend.ensemble import ensemble as blend
    from xmlkit.data.corpus import load_corpus
    from xmlkit.display import ensemble_table

    made = blend(members, load_corpus(data) if data else None, out_, for_, summed)
    _print_uncut(ensemble_table(made))
    say(f'run: {made.folder}; next: echo "some text" | xmlkit predict {made.folder}')


@app.command()
def init_weights(
    data: DataArgument = None,
    plugin: PluginOption = None,
    encoder: EncoderOption = None,
    recipe: RecipeOption = None,
    preset: PresetOption = None,
    member: MemberOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    out_: OutOption = None,
) -> None:
    """Stores the weights that `train` with these arguments would begin with, for runs to share.

    Example: `xmlkit init-weights FOLDER --set seed=3 --out runs/start`, then
    `xmlkit train FOLDER --config runs/start/config.json --init-from runs/start --plugin A`
    """
    settings = resolve(_settings(plugin, encoder, recipe, preset, member, config, set_), data or DEMO)
    if not data:
        _say_demo()
    from xmlkit.data.corpus import load_corpus
    from xmlkit.training.train import store_start

    folder = store_start(load_corpus(data or DEMO), settings, out_)
    settings_file = folder / "config.json"
    say(f"start: {folder}; next: xmlkit train {data or DEMO} --config {settings_file} --init-from {folder}")


@app.command()
def presets() -> None:
    """Lists the presets: the data sets of the LightXML paper, its settings and its figures."""
    from xmlkit.display import preset_table

    out.print(preset_table())


@app.command()
def evaluate(
    run: RunArgument,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="A corpus folder (its test split is taken) or one file; default: the run's own corpus.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Scores a run on a test split: P, nDCG, RP, R, PSP, PSnDCG and coverage."""
    from xmlkit.blend.opening import Ensemble, load, source_of
    from xmlkit.data.corpus import load_split
    from xmlkit.display import metric_table, unknown_labels

    model = load(run)
    source = data or source_of(run)
    split = load_split(source, model.labels)
    if warning := unknown_labels(split, len(model.labels)):
        say(warning)
    print(visible(f"{run} on {source}, {len(split):,} documents"))
    if isinstance(model, Ensemble):
        metrics, before, after = model.evaluated(split)
        out.print(metric_table(metrics))
        print(f"expected calibration error of scores: {after:.2f}%; {before:.2f}% before calibration")
    else:
        out.print(metric_table(model.evaluate(split)))


@app.command()
def predict(
    run: RunArgument,
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE]",
            help="Texts, one a line, `.gz` or not; `-`: standard input, answered in batches of thousands.",
        ),
    ] = "-",
    top_k: Annotated[int, typer.Option(min=1, help="Labels a text, at most.")] = 5,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Smallest score of a label.")] = 0.0,
    format_: Annotated[
        Layout, typer.Option("--format", help="`tsv` has a line a label: text's number, label, name, score.")
    ] = Layout.text,
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Writes `jsonl` or `tsv` there; texts that it answers already are passed over, so that the "
            "same command goes on with what was broken off.",
        ),
    ] = None,
) -> None:
    """Labels texts."""
    if out_ and format_ == Layout.text:
        raise UserError(f"--out {out_}: add --format jsonl or --format tsv")
    from xmlkit.data.lines import read_lines, read_stream
    from xmlkit.display import LAYOUTS
    from xmlkit.inference.answers import answered, answered_texts, only_writer
    from xmlkit.inference.predict import TEXTS_AT_ONCE

    model = xmlkit.load(run)
    lines = read_stream(sys.stdin.buffer, "standard input") if file == "-" else read_lines(_texts(file, run))
    layout = LAYOUTS[format_]
    with ExitStack() as stack:
        answers, done = sys.stdout, 0
        if out_:
            stack.enter_context(errors_named(out_))
            stack.enter_context(only_writer(out_))
            done = answered(out_, format_.value)
            answers = stack.enter_context(out_.open("a", encoding="utf-8"))
        if done:
            say(f"{out_} has {done:,} texts already")
        old = answered_texts(out_) if out_ and done and format_ == Layout.jsonl else ()
        checked = _checked(lines, islice(old, done), out_)
        # A score's last digits depend on its company: texts are read in the groups that they were read in.
        begin = done - done % TEXTS_AT_ONCE
        texts, again = tee(islice(checked, begin, None))
        spelt_out = format_ == Layout.jsonl and not answers.encoding.lower().startswith("utf")
        for number, (text, found) in enumerate(zip(again, model.stream(texts, top_k, threshold)), begin + 1):
            if number > done and (block := layout(text, found, number)):
                print(json.dumps(json.loads(block)) if spelt_out else block, file=answers)


def _checked(
    lines: Iterable[tuple[int, str]], answered: Iterable[str | None], out: Path | None
) -> Iterator[str]:
    """The texts; those that were answered already must be the same, where it is known what they were."""
    for old, (number, text) in zip(chain(answered, repeat(None)), lines):
        if old not in (None, text):
            raise UserError(f"--out {out}: its line {number} answers another text; name another file")
        yield text


@app.command()
def plugins(
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Shows what stands at each hook point with these settings, too.")
    ] = False,
    plugin: PluginOption = None,
    encoder: EncoderOption = None,
    recipe: RecipeOption = None,
    preset: PresetOption = None,
    member: MemberOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
) -> None:
    """Lists the installed plugins, their hook points and their options.

    Example: `xmlkit plugins --verbose --plugin se,loss-fix`
    """
    settings = _settings(plugin, encoder, recipe, preset, member, config, set_)
    if settings and not verbose:
        raise UserError("these settings say what stands at each hook point: add --verbose to see it")
    checked = resolve(settings)
    from xmlkit.display import chain_table, plugin_list

    plugin_lines, failures = plugin_list()
    print(plugin_lines)
    for failure in failures:
        _say_error(failure)
    if verbose:
        out.print(chain_table(checked))


@plugin_app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What --plugin will call it, as in my-idea.")],
    hook: Annotated[
        list[Hook] | None, typer.Option(help="Where it stands; may be repeated. Default: representation.")
    ] = None,
    license_: Annotated[
        License, typer.Option("--license", help="What it may be published under.")
    ] = License.mit,
) -> None:
    """Writes a plugin that works, its tests and what pip needs, into the new folder `xmlkit-NAME`.

    Example: `xmlkit plugin new my-idea --hook head --hook loss`
    """
    from xmlkit.scaffold.new import new_plugin

    folder = new_plugin(name, hook or [Hook.representation], None if license_ == License.none else license_)
    say(f'plugin: {folder}; next: cd {folder} && pip install -e ".[test]" && pytest')


@data_app.command()
def describe(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A corpus folder, or `demo`.", show_default=False)
    ],
) -> None:
    """Counts documents and labels, and shows how the labels are spread."""
    from xmlkit.data.corpus import load_corpus
    from xmlkit.data.describe import describe as describe_corpus
    from xmlkit.data.describe import render

    corpus = load_corpus(path)
    out.print(render(describe_corpus(corpus)))
    _remark(corpus)


@labels_app.command()
def add(
    run: RunArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The new labels: `<id> TAB name` a line, `.gz` or not.", show_default=False
        ),
    ],
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The new run's folder; default: `RUN-more-labels`."),
    ] = None,
) -> None:
    """Makes a run that knows more labels, of one that scores labels by their names (`--plugin label-text`).

    Example: `xmlkit labels add runs/mine NEW.tsv`
    """
    from xmlkit.training.new_labels import add_labels

    folder = add_labels(run, file, out_)
    say(f'run: {folder}; next: echo "some text" | xmlkit predict {folder}')


def _settings(
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


def _to_the_end(work: Callable[[], FoundT | None]) -> FoundT:
    """What it finds; where it was broken off, by which None tells of Ctrl-C, the same command goes on."""
    try:
        found = work()
    except (SystemExit, KeyboardInterrupt):  # SIGTERM, SIGHUP; Ctrl-C where it is heard at once
        say(GOES_ON)
        raise
    if found is None:
        say(GOES_ON)
        raise typer.Exit(130)
    return found


def _print_uncut(table: Table) -> None:
    """As wide as it needs to be: a narrow terminal breaks its lines, but no figure is cut."""
    Console(width=Console(width=1000).measure(table).maximum).print(table)


def _say_demo() -> None:
    say("data: demo, the docstrings of Python's standard library; name a folder to use your own")


def _remark(corpus: Corpus) -> None:
    from xmlkit.data.remarks import remarks

    for remark in remarks(corpus):
        say(remark)


def _texts(file: str, run: Path) -> Path:
    path = Path(file)
    if not path.is_file():
        raise UserError(f'{file}: no such file; for a text: echo "{file}" | xmlkit predict {run}')
    if path.name.removesuffix(".gz").endswith((".jsonl", ".tsv")):
        raise UserError(
            f"{file} is a corpus file; predict reads one text a line (evaluate scores such a file)"
        )
    return path


def _names(lists: list[str]) -> list[str]:
    return [name.strip() for names in lists for name in names.split(",") if name.strip()]


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
    if context.invoked_subcommand is None:
        print(context.get_help())


def _say_error(error: UserError) -> None:
    if error.detail:
        say(error.detail)
    say(f"error: {error}", style="red")


def _end(number: int, frame: Any) -> None:
    sys.exit(128 + number)  # as a shell has it


def main() -> None:
    """The entry point: a user's mistake is one line on the error stream."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # of a terminal that knows no more than ASCII
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False))
    except MISTYPED as error:
        say(f"error: {error.format_message().rstrip('.')}; see --help", style="red")
        sys.exit(2)
    except typer.Abort:  # Ctrl-C, as older typers tell it
        sys.exit(130)
    except UserError as error:
        _say_error(error)
        sys.exit(1)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a disk that is full, a folder that is not ours
        room = "; once there is room, go on (train --resume RUN, or the same command)"
        advice = room if error.errno in NO_ROOM else ""
        say(f"error: {error.filename or 'input or output'}: {error.strerror or error}{advice}", style="red")
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:  # numpy's, and torch's, which has no one kind for it
        what = str(error).partition("\n")[0]
        if isinstance(error, RuntimeError) and not any(words in what for words in OUT_OF_MEMORY):
            raise
        say(f"error: out of memory: {what} (smaller batches or narrower tables need less)", style="red")
        sys.exit(1)
