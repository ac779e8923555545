"""Training what an ensemble is to be made of, once: what is there already is not trained again.

The whole lies in OUT, its trained members beside it in OUT-NAME, each a run of its own that can be used, and
resumed, before the next has begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xmlkit.blend.aim import aim_for
from xmlkit.blend.budget import choose
from xmlkit.blend.ensemble import Made, ensemble
from xmlkit.blend.held_out import held_out_by
from xmlkit.blend.kinds.linear import load_omikuji
from xmlkit.blend.recipes import AUTO, BY_NAMES, ENCODED, RECIPES
from xmlkit.config import Config, resolve
from xmlkit.console import say
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.hub import chosen_encoder
from xmlkit.model.encoder import NONE, SCRATCH
from xmlkit.training.budget import Budget
from xmlkit.training.claim import is_free
from xmlkit.training.once import check_same, is_trained, train_once


def train_ensemble(
    corpus: Corpus,
    settings: Mapping[str, Any],
    names: Sequence[str],
    out: Path,
    metric: str | None = None,
    fast: float | None = None,
    budget: Budget | None = None,
) -> Made | None:
    """Trains the members and blends them into `out`; None after Ctrl-C, whereupon the same call goes on.

    `settings` are a document as a config file holds it, for the runs among the members; `metric` and `fast`
    are those of `ensemble`. A budget leaves out members that don't fit, and chooses settings of the others.
    Raises UserError for settings that make none, and for members that are there with other settings.
    """
    _check_free(out)
    encoder = chosen_encoder(settings.get("encoder") or SCRATCH)
    settings = {**settings, "encoder": encoder}
    config = RECIPES["warm"].config(settings, corpus.source)
    aim_for(config, metric)  # before the work
    if {*ENCODED, "names"}.intersection(names) and encoder in (SCRATCH, NONE):
        raise UserError("--ensemble needs a pretrained encoder: name it with --encoder")
    if not corpus.labels.worded_L.any():
        names = [name for name in names if name not in BY_NAMES] if tuple(names) == AUTO else names
        if name := next((name for name in BY_NAMES if name in names), None):
            raise UserError(f"--ensemble {name}: the labels of {corpus.name} have no names; leave it out")
    if "linear" in names:
        load_omikuji()  # before the work
    if budget:
        names, chosen = choose(corpus, settings, names, out, budget)
    else:
        recipes = {name: recipe for name, recipe in RECIPES.items() if name in names}
        chosen = {name: recipe.config(settings, corpus.source) for name, recipe in recipes.items()}
    runs = _all_trained(corpus, chosen, out) if chosen else {}
    if runs is None:
        return None
    members = [str(run) for run in runs.values()]
    if "neighbours" in names:
        members.append(f"neighbours:{next(runs[name] for name in ENCODED if name in runs)}")
    if "names" in names:
        members.append(f"names:{encoder}")
    members += [name for name in ("linear", "words") if name in names]
    return ensemble(members, corpus, out, metric, fast=fast, config=config)


def train_sum(corpus: Corpus, settings: Sequence[Mapping[str, Any]], out: Path) -> Made | None:
    """The same for models of these settings, whose scores are added up label by label."""
    chosen = {str(number): resolve(one, corpus.source) for number, one in enumerate(settings)}
    runs = _all_trained(corpus, chosen, out)
    return None if runs is None else ensemble([str(run) for run in runs.values()], corpus, out, summed=True)


def _all_trained(corpus: Corpus, chosen: Mapping[str, Config], out: Path) -> dict[str, Path] | None:
    """Where each run is; None after Ctrl-C."""
    _check_free(out)
    configs = list(chosen.values())
    held_out_by(corpus, [(config.validation, config.validation_max) for config in configs])
    folders = {name: out.with_name(f"{out.name}-{name}") for name in chosen}
    for name, config in chosen.items():
        check_same(folders[name], corpus, config, "this ensemble")
    for name, config in chosen.items():
        state = "is there" if is_trained(folders[name]) else "is trained"
        say(f"{name}: {folders[name]} {state}", style="bold")
        trained = train_once(replace(corpus, test=None), config, folders[name])
        if trained.outcome == "interrupted" or trained.stop_asked:
            return None
    return folders


def _check_free(out: Path) -> None:
    if not is_free(out):
        raise UserError(f"--out {out}: is there already; name another folder or remove it")
