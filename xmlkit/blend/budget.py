"""What of an ensemble fits into a budget of time.

Each member has a price, a run the least that it can be had for, and so has blending them. As many are kept as
fit, the cheapest; what is then left is divided among the runs to be trained, the quickest first, so that what
one does not need is there for the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from xmlkit.blend.costs import TRIES
from xmlkit.blend.ensemble import TIMED
from xmlkit.blend.judging import price_of_fitting
from xmlkit.blend.kinds.linear import price_of_linear
from xmlkit.blend.kinds.names import SAMPLE
from xmlkit.blend.kinds.words import price_of_words
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
BLENDING = "blending"  # the price of what is done with members, whatever they are made of


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
    runs = [name for name in kept if name in RECIPES]
    seconds = prices.least(kept)
    plans = prices.divided(runs, left - sum(each for name, each in seconds.items() if name not in runs))
    seconds |= {name: prices.paid(name, plan, runs) for name, plan in plans.items()}
    words = {name: f"{name} {prices.states.get(name) or plan.words}" for name, plan in plans.items()}
    ordered = [*kept, BLENDING]
    whole = ", ".join(f"{words.get(name, name)} ({in_words(seconds[name])})" for name in ordered)
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
        frozen = RECIPES["frozen"].config(settings, corpus.source).as_given()
        held_out_N = held_out(corpus, RECIPES["frozen"].config(settings, corpus.source))
        self._apart = int(held_out_N.sum())
        self._asked = self._apart + (len(corpus.test) if corpus.test else 0)
        self._timed = (1 + TRIES) * min(TIMED, self._apart)
        encoded = next((plans[0] for name, plans in self.plans.items() if name in ENCODED), None)
        if "names" in names:
            self._reader = encoded or Trials(corpus, frozen, frozen).rest(1.0)
        self._linear = price_of_linear(corpus, held_out_N, self._asked) if "linear" in names else 0.0
        self._words = price_of_words(corpus, held_out_N, self._asked) if "words" in names else 0.0
        self._fitting = price_of_fitting(self._apart, len(names)) if self._apart else 0.0

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
        trials, left = Trials(self.corpus, config.as_given(), config.as_given()), 0.0
        self.states[name] = "is there"
        if not is_trained(folder):
            self.states[name] = "goes on"
            taken = steps_of(folder / LOG) / max(1, count_steps(trials.num_documents, trials.config))
            left = max(0.0, 1 - taken)
        yield trials.rest(left)

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
        least |= {name: self._made(name, runs) for name in names if name not in runs}
        return least | {BLENDING: self._blending(names, runs)}

    def paid(self, name: str, plan: Plan, runs: Sequence[str]) -> float:
        """Of a run's plan beside these: what a frozen encoder reads the first of them pays for all."""
        return plan.seconds - (plan.shared if name in self._frozen(runs)[1:] else 0.0)

    def _frozen(self, runs: Sequence[str]) -> list[str]:
        return [run for run in runs if self.plans[run][0].config.freeze]

    def _made(self, name: str, runs: Sequence[str]) -> float:
        if name == "linear":
            return self._linear
        if name == "words":
            return self._words
        if name == "neighbours":
            by = next((run for run in ENCODED if run in runs), None)
            if by is None:
                return math.inf
            plan = self.plans[by][0]
            return len(self.corpus.train) * plan.pace.again(plan.config)
        assert name == "names"
        pace = self._reader.pace
        documents = 0 if self._frozen(runs) else min(SAMPLE, len(self.corpus.train)) + self._asked
        return pace.read * (documents + len(self.corpus.labels) * NAME / float(pace.lengths_N.mean()))

    def _blending(self, names: Sequence[str], runs: Sequence[str]) -> float:
        """Runs are asked about held-out documents, and about some again to see how long that takes, which one
        that stays as it is reads for all; weights are fitted."""
        seconds = self._fitting
        for run in runs:
            plan = self.plans[run][0]
            seconds += (self._apart + self._timed) * plan.pace.again(plan.config)
        readers = [self.plans[run][0] for run in self._frozen(runs)]
        if "names" in names:
            readers.append(self._reader)
        return seconds + sum(self._timed * plan.pace.read for plan in readers[:1])

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
