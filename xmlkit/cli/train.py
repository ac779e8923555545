"""`xmlkit train`."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import xmlkit
from xmlkit.cli.options import (
    DEMO,
    AimOption,
    Chosen,
    DataArgument,
    FastOption,
    OutOption,
    PluginOption,
    Read,
    names_in,
    never_empty,
    spread,
)
from xmlkit.cli.ranked import check_options
from xmlkit.cli.saying import (
    GOES_ON,
    corpus_of,
    out,
    print_uncut,
    remark,
    say_demo,
    say_run,
    say_what_next,
    to_the_end,
)
from xmlkit.config import merge, resolve
from xmlkit.console import say, visible
from xmlkit.distribution import DISTRIBUTION
from xmlkit.errors import UserError
from xmlkit.presets import num_members

if TYPE_CHECKING:
    from xmlkit.data.corpus import Corpus
    from xmlkit.inference.unseen import Unseen

EXAMPLES = 5
TRACK = "track"  # the plugin


@spread
def train(
    data: DataArgument = None,
    plugin: PluginOption = None,
    *,
    chosen: Chosen,
    read: Read,
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
            "`linear`, `words`; or `auto`. The same command goes on with what was broken off.",
            show_default=False,
        ),
    ] = None,
    distil: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Learns the scores of this run or ensemble, too, and says how much is kept; the same "
            "command goes on with what was broken off.",
            show_default=False,
        ),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Texts without labels, one a line, to learn these scores from, too."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="As `30m`: chooses epochs, the encoder's window, or one that stays as it is, and members of "
            "--ensemble, after trials.",
            callback=never_empty,
            show_default=False,
        ),
    ] = None,
    for_: AimOption = None,
    fast: FastOption = None,
    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A,B",
            help="Sends the log's figures to `tensorboard`, `wandb`, `mlflow`, `trackio`, too.",
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
    settings, preset = chosen.settings(plugin), chosen.preset
    check_options(
        {"--distil": distil, "--ensemble": ensemble_, "--all-members": all_members, "--budget": budget}
    )
    if for_ is not None and ensemble_ is None:
        raise UserError("--for compares blends of --ensemble: name its members, or leave it out")
    if fast is not None and ensemble_ is None:
        raise UserError("--fast chooses among the members of --ensemble: name them, or leave it out")
    if unlabelled:
        settings = merge(settings, {"unlabelled": str(unlabelled)})
    if track:
        settings = _tracked(settings, track, data, of_ensemble=ensemble_ is not None)
    if distil:
        if budget or resume or init_from or ensemble_ is not None or all_members:
            raise UserError(
                "--distil trains one model anew: leave out --ensemble, --budget, --resume and the like"
            )
        return _train_student(data, read, out_, settings, distil)
    if ensemble_ is not None or all_members:
        option = "--all-members" if all_members else "--ensemble"
        if budget and all_members:
            raise UserError("--budget chooses settings, and a preset has its own: leave out --all-members")
        if resume or init_from or (all_members and ensemble_ is not None):
            raise UserError(f"{option} trains anew: leave out --resume, --init-from and the like")
        if not all_members and preset:
            raise UserError("--ensemble brings its own settings: leave out --preset, or take --all-members")
        if all_members and (preset is None or chosen.member is not None):
            raise UserError("--all-members trains those of a preset: name it with --preset, without --member")
        if ensemble_ is not None:
            return _train_ensemble(data, read, out_, [settings], ensemble_, for_, fast, budget)
        numbers = range(num_members(preset or ""))
        each = [replace(chosen, member=n).settings(plugin) for n in numbers]
        if any(one in each[:place] for place, one in enumerate(each)):
            raise UserError("--all-members: by what is given two of them are the same model: leave that out")
        if track:
            each = [_tracked(one, track, data) for one in each]
        return _train_ensemble(data, read, out_, each)
    if budget and (init_from or preset or resume):
        raise UserError("--budget chooses settings: leave out --init-from, --preset and --resume")
    if resume:
        read.check_data(data)
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
        say_demo()
        if checked and "plugins" not in settings:
            say(f"plugins: {', '.join(checked.plugins) or 'none'}, unless --plugin names others")
    import numpy as np

    from xmlkit.cli.display import example_table
    from xmlkit.data.corpus import load_corpus
    from xmlkit.model.folder import run_source
    from xmlkit.training import train as training
    from xmlkit.training.budget import Budget, plan_for

    given_time = Budget(budget) if budget else None
    if resume:
        corpus = load_corpus(data, read.dialect()) if data else load_corpus(*run_source(resume))
        trained = training.resume(resume, corpus)
    else:
        corpus = load_corpus(data or DEMO, read.dialect())
        remark(corpus)
        if given_time:
            settings = merge(settings, plan_for(corpus, settings, given_time).settings)
            checked = resolve(settings, corpus.source)
        trained = training.train(corpus, checked, out_, init_from)
    if trained.outcome == "interrupted":
        say(f"interrupted; go on with: xmlkit train --resume {trained.folder}")
        raise typer.Exit(130)
    if given_time:
        given_time.say_taken()
    if trained.metrics and corpus.test:
        _print_metrics(corpus, trained.metrics, trained.unseen)
        few = corpus.test.take(np.linspace(0, len(corpus.test) - 1, EXAMPLES, dtype=int))
        out.print(example_table(few, corpus.labels, trained.model.predict(few.texts)))
    say_run(trained.folder)
    if corpus.source == DEMO:
        say_what_next(trained.folder)


def _tracked(
    settings: dict[str, Any], track: list[str], data: str | None, of_ensemble: bool = False
) -> dict[str, Any]:
    """The settings with the plugin that sends figures there.

    Raises UserError, before any work, where there is no such place, or its library is missing.
    """
    from xmlkit.plugins import activate

    options = {TRACK: {"to": names_in(track)}}
    activate([TRACK], options)
    for name in options[TRACK]["to"]:
        if find_spec(name) is None:
            raise UserError(f"--track {name}: pip install '{DISTRIBUTION}[{name}]'")
    usual = () if of_ensemble else resolve(settings, data or DEMO).plugins
    plugins = settings.get("plugins", usual)
    return merge(settings, options, {"plugins": [*(name for name in plugins if name != TRACK), TRACK]})


def _train_student(
    data: str | None, read: Read, out_: Path | None, settings: dict[str, Any], teacher: Path
) -> None:
    from xmlkit.blend.distil import distil
    from xmlkit.cli.display import kept_table

    corpus = corpus_of(data, read)
    folder = out_ or Path("runs") / f"{corpus.folder_name}-student"
    trained, kept = to_the_end(lambda: distil(corpus, settings, teacher, folder))
    if trained.metrics:
        _print_metrics(corpus, trained.metrics, trained.unseen)
    print_uncut(kept_table(kept))
    say_run(trained.folder)


def _print_metrics(corpus: Corpus, metrics: dict[str, float], unseen: Unseen | None = None) -> None:
    from xmlkit.cli.display import metric_table, unseen_in_words

    assert corpus.test is not None
    print(f"{visible(corpus.name)}, test split, {len(corpus.test):,} documents")
    out.print(metric_table(metrics))
    if unseen:
        print(unseen_in_words(unseen))
        out.print(metric_table(unseen.metrics))


def _train_ensemble(
    data: str | None,
    read: Read,
    out_: Path | None,
    settings: list[dict[str, Any]],
    given: str | None = None,
    metric: str | None = None,
    fast: str | None = None,
    budget: str | None = None,
) -> None:
    """Of these names with one document of settings, or of a model for each document."""
    from xmlkit.blend.costs import milliseconds_in
    from xmlkit.blend.recipes import names_of
    from xmlkit.blend.training import train_ensemble, train_sum
    from xmlkit.cli.display import ensemble_table
    from xmlkit.model.folder import is_ensemble, write_json
    from xmlkit.training.budget import Budget
    from xmlkit.training.train import METRICS

    names = None if given is None else names_of(given)
    most = None if fast is None else milliseconds_in(fast)
    given_time = Budget(budget) if budget else None
    corpus = corpus_of(data, read)
    folder = out_ or Path("runs") / f"{corpus.folder_name}-ensemble"

    def work() -> Path | None:
        if names is None:
            made = train_sum(corpus, settings, folder)
        else:
            made = train_ensemble(corpus, settings[0], names, folder, metric, most, given_time)
        if made is None:
            return None
        print_uncut(ensemble_table(made))
        if corpus.test:
            metrics = xmlkit.load(made.folder).evaluate(corpus.test)
            write_json(made.folder / METRICS, metrics)
            _print_metrics(corpus, metrics)
        if given_time:
            given_time.say_taken()
        return made.folder

    def left() -> str:
        return f"what is left is: xmlkit evaluate {folder}" if is_ensemble(folder) else GOES_ON

    say_run(to_the_end(work, left))
