"""What of an ensemble fits into a budget of time.

Each member has a price, a run the least that it can be had for. As many are kept as fit, the cheapest; what
is then left is divided among the runs to be trained, the quickest first, so that what one does not need is
there for the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from xmlkit.blend.kinds.linear import price_of_linear
from xmlkit.blend.kinds.names import SAMPLE
from xmlkit.blend.recipes import ENCODED, RECIPES
from xmlkit.config import Config, merge
from xmlkit.console import in_words
from xmlkit.data.corpus import Corpus
from xmlkit.errors import UserError
from xmlkit.training.assemble import held_out
from xmlkit.training.budget import NAME, Budget, Plan, Trials
from xmlkit.training.claim import LOG, is_free
from xmlkit.training.once import is_trained, read_record
from xmlkit.training.report import steps_of
from xmlkit.training.trainer import count_steps

PLANNED = ("epochs", "max_len")  # settings that a budget decides


def choose(
    corpus: Corpus, settings: Mapping[str, Any], names: Sequence[str], out: Path, budget: Budget
) -> tuple[list[str], dict[str, Config]]:
    """The names of members that fit, and what those that are runs are trained with; says so.

    `settings` are left as they are, and so are those of runs that are there or were broken off. Raises
    UserError where no two members fit.
    """
    prices = _Prices(corpus, settings, names, out)
    if sum(prices.least(names).values()) > budget.left:
        prices.look_further()
    left = budget.left
    kept = most_that_fit(names, lambda some: sum(prices.least(some).values()), left)
    if kept is None:
        each = ", ".join(f"{name} about {in_words(least)}" for name, least in prices.least(names).items())
        raise UserError(
            f"--budget {budget.given}: no two members fit into the {in_words(max(left, 0.0))} that "
            f"trials left of it to plan for (at the least: {each}); give it more time, or a smaller encoder"
        )
    runs, made = [name for name in kept if name in RECIPES], [name for name in kept if name not in RECIPES]
    seconds = {name: least for name, least in prices.least(kept).items() if name in made}
    plans = prices.divided(runs, left - sum(seconds.values()))
    seconds |= {name: prices.paid(name, plan, runs) for name, plan in plans.items()}
    ordered = [(name, seconds[name]) for name in kept]
    words = {name: f"{name} {prices.states.get(name) or plan.words}" for name, plan in plans.items()}
    whole = ", ".join(f"{words.get(name, name)} ({in_words(each)})" for name, each in ordered)
    if missing := [name for name in names if name not in kept]:
        whole += f", without {' and '.join(missing)}, for which there is no time"
    budget.say_plan(whole, sum(seconds.values()))
    return kept, {name: prices.config(name, plan) for name, plan in plans.items()}


def most_that_fit(
    names: Sequence[str], price: Callable[[Sequence[str]], float], seconds: float
) -> list[str] | None:
    """As many of these as fit into the time, and of equally many the cheapest; None where no two do."""
    for count in range(len(names), 1, -1):
        cheapest = min(combinations(names, count), key=price)
        if price(cheapest) <= seconds:
            return list(cheapest)
    return None


class _Prices:
    """What the members of one ensemble cost in seconds, by trials of each."""

    def __init__(self, corpus: Corpus, settings: Mapping[str, Any], names: Sequence[str], out: Path):
        self.corpus, self.states = corpus, dict[str, str]()
        self._settings = dict.fromkeys(names, settings)  # of a run that is there with what was planned for it
        self._further = {
            name: self._plans(settings, name, out.with_name(f"{out.name}-{name}"))
            for name in RECIPES
            if name in names
        }
        self.plans = {name: [next(plans)] for name, plans in self._further.items()}
        frozen = RECIPES["frozen"].config(settings, corpus.source)
        held_out_N = held_out(corpus, frozen)
        self._asked = int(held_out_N.sum()) + (len(corpus.test) if corpus.test else 0)
        self._reader = next((plans[0] for name, plans in self.plans.items() if name in ENCODED), None)
        if "names" in names and self._reader is None:
            self._reader = next(Trials(corpus, frozen.as_given(), frozen.as_given()).learning())
        self._linear = price_of_linear(corpus, held_out_N, self._asked) if "linear" in names else 0.0

    def _plans(self, settings: Mapping[str, Any], name: str, folder: Path) -> Iterator[Plan]:
        """Of a run, the best one first; where it has begun there is one alone."""
        recipe, record = RECIPES[name], read_record(folder)
        if is_free(folder) or not record:
            config = recipe.config(settings, self.corpus.source)
            yield from Trials(self.corpus, config.as_given(), {*settings, *recipe.fixed}).learning()
            return
        planned = {key: record["settings"].get(key) for key in PLANNED if key not in settings}
        self._settings[name] = merge(settings, planned)
        config = recipe.config(self._settings[name], self.corpus.source)
        plan = next(Trials(self.corpus, config.as_given(), config.as_given()).learning())
        if is_trained(folder):
            self.states[name] = "is there"
            tested = plan.pace.read * (len(self.corpus.test) if self.corpus.test else 0)
            yield replace(plan, seconds=tested, shared=tested if plan.config.freeze else 0.0)
            return
        self.states[name] = "goes on"
        steps = max(1, count_steps(len(self.corpus.train), plan.config))
        left = max(0.0, 1 - steps_of(folder / LOG) / steps)
        yield replace(plan, seconds=left * plan.seconds, shared=left * plan.shared)

    def config(self, name: str, plan: Plan) -> Config:
        """What a run is trained with, as it would be without a budget but for what was planned."""
        return RECIPES[name].config(merge(self._settings[name], plan.settings), self.corpus.source)

    def look_further(self) -> None:
        """Beside the first plan of each run at all others."""
        for name, plans in self._further.items():
            self.plans[name] += plans

    def least(self, names: Sequence[str]) -> dict[str, float]:
        """What each of these costs beside the others; without end what can't be made of them."""
        runs = [name for name in RECIPES if name in names]
        least = {name: min(self.paid(name, plan, runs) for plan in self.plans[name]) for name in runs}
        return least | {name: self._made(name, runs) for name in names if name not in runs}

    def paid(self, name: str, plan: Plan, runs: Sequence[str]) -> float:
        """Of a run's plan beside these: what a frozen encoder reads the first of them pays for all."""
        frozen = [run for run in runs if self.plans[run][0].config.freeze]
        return plan.seconds - (plan.shared if name in frozen[1:] else 0.0)

    def _made(self, name: str, runs: Sequence[str]) -> float:
        if name == "linear":
            return self._linear
        if name == "neighbours":
            by = next((run for run in ENCODED if run in runs), None)
            if by is None:
                return math.inf
            plan = self.plans[by][0]
            return len(self.corpus.train) * plan.pace.again(plan.config)
        assert name == "names" and self._reader is not None
        pace = self._reader.pace
        is_read = any(run in ENCODED and self.plans[run][0].config.freeze for run in runs)
        documents = 0 if is_read else min(SAMPLE, len(self.corpus.train)) + self._asked
        return pace.read * (documents + len(self.corpus.labels) * NAME / float(pace.lengths_N.mean()))

    def divided(self, runs: Sequence[str], seconds: float) -> dict[str, Plan]:
        """A plan for each of these runs, which together fit into the time if their least does.

        A run has an equal share of what is left, or as much more as it needs at the least.
        """
        order, chosen = [name for name in RECIPES if name in runs], dict[str, Plan]()
        least = self.least(order)
        window: int | None = None  # of the first frozen run: others of it read nothing
        for place, name in enumerate(order):
            later = order[place + 1 :]
            share = min(seconds / (1 + len(later)), seconds - sum(least[run] for run in later))
            plans = [plan for plan in self.plans[name] if plan.config.max_len == window or not plan.shared]
            plans = (window and plans) or self.plans[name]
            fitting = [plan for plan in plans if self.paid(name, plan, order) <= max(share, least[name])]
            plan = fitting[0] if fitting else min(plans, key=lambda plan: self.paid(name, plan, order))
            if plan.config.freeze and window is None:
                window = plan.config.max_len
            chosen[name], seconds = plan, seconds - self.paid(name, plan, order)
        return chosen
