"""What members cost a document at prediction, and which of them a budget of milliseconds allows.

Members that read texts with one encoder, or one run, pay for it once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from xmlkit.blend.member import NAMED, Member
from xmlkit.blend.towers import Towers
from xmlkit.errors import UserError

TRIES = 2  # of which the quicker one counts
Kept = frozenset[int]  # members by their numbers


@dataclass(frozen=True)
class Costs:
    """Milliseconds a document."""

    own: Sequence[float]  # each member's, of what it does with what was read
    needs: Sequence[Collection[str]]  # what each has read, by name
    readings: Mapping[str, float]
    blending: float = 0.0  # whoever is blended

    def of(self, kept: Collection[int]) -> float:
        """Of these members together."""
        needed = {name for one in kept for name in self.needs[one]}
        own = sum(self.own[one] for one in sorted(kept))
        return self.blending + own + sum(self.readings[name] for name in sorted(needed))

    def alone(self, one: int) -> float:
        """Of a member with all that it has read, without blending."""
        return self.of([one]) - self.blending


def affordable(costs: Costs, budget: float, worth: Callable[[Kept], float]) -> Kept:
    """The members to keep, so that they cost no more than the budget; the cheapest where none is as cheap.

    `worth` is what some are worth together. Dropped is, until the rest fits, whatever is worth least a
    millisecond: a member, or all that one reading is made for. What fits beside the rest in the end comes
    back where it adds something.
    """
    worth, everyone = cache(worth), frozenset(range(len(costs.own)))
    kept = everyone
    while costs.of(kept) > budget and len(kept) > 1:
        groups = {frozenset([one]) for one in kept}
        groups |= {frozenset(one for one in kept if name in costs.needs[one]) for name in costs.readings}
        groups -= {frozenset(), kept}

        ordered = sorted(groups, key=sorted)  # of equal ones the first, in every process
        losses = [worth(kept) - worth(kept - group) for group in ordered]
        savings = [costs.of(kept) - costs.of(kept - group) for group in ordered]
        rates = [loss / max(saved, 1e-9) for loss, saved in zip(losses, savings, strict=True)]
        kept -= ordered[rates.index(min(rates))]
    if costs.of(kept) > budget:
        singles = [frozenset([one]) for one in sorted(everyone)]
        fitting = [single for single in singles if costs.of(single) <= budget]
        if not fitting:
            return min(singles, key=costs.of)
        kept = max(fitting, key=worth)
    while more := [kept | {one} for one in sorted(everyone - kept) if costs.of(kept | {one}) <= budget]:
        best = max(more, key=worth)
        if worth(best) <= worth(kept):
            break
        kept = best
    return kept


def measured(members: Sequence[Member], towers: Towers, texts: Sequence[str]) -> Costs:
    """By having them name labels of these texts, all at once, as they do of many."""
    own, needs, readings = list[float](), list[tuple[str, ...]](), dict[str, float]()
    for member in members:
        number = member.tower_number
        if number is not None:
            member.candidates(texts, NAMED)  # has them read
        warm = _milliseconds(member, texts, lambda: None)
        own.append(warm)
        if number is None:
            needs.append(())
            continue
        tower, name = towers[number], f"tower {number}"
        encoder = tower.encoder_name
        needs.append((name,) if encoder is None else (name, encoder))
        if name not in readings:
            with_tower = _milliseconds(member, texts, tower.forget)
            readings[name] = max(with_tower - warm, 0.0)
        if encoder is not None and encoder not in readings:
            readings[encoder] = max(_milliseconds(member, texts, towers.forget) - warm - readings[name], 0.0)
    return Costs(own, needs, readings)


def _milliseconds(member: Member, texts: Sequence[str], before: Callable[[], None]) -> float:
    """Of a document, where `before` has been done each time."""
    tries = []
    for _ in range(TRIES):
        before()
        begun = time.perf_counter()
        member.candidates(texts, NAMED)
        tries.append(time.perf_counter() - begun)
    return 1000 * min(tries) / max(len(texts), 1)


def milliseconds_in(given: str) -> float:
    """Of `5ms` or `0.5ms`. Raises UserError for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?ms", given.strip())
    if not found or not float(found[1]):
        raise UserError(f"--fast {given}: expected milliseconds a document, such as 5ms or 0.5ms")
    return float(found[1])
