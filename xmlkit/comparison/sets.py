"""`base;se;loss-fix[mode=split],se[reduction=4,lr=2e-4]`: what is compared, as one line of text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xmlkit.config import SETTINGS, Config, merge, parse_assignments, resolve
from xmlkit.discovery import NO_PLUGINS, load
from xmlkit.errors import UserError
from xmlkit.plugins import settled

# The same for all that is compared: which documents are scored and how, and what `--seeds` and the set say.
COMMON = ("plugins", "options", "seed", "validation", "validation_max", "propensity_a", "propensity_b")


@dataclass(frozen=True)
class PluginSet:
    """One row of a comparison."""

    name: str  # as it was written, without blanks
    settings: dict[str, Any]  # laid over what all rows share

    def config(self, shared: Mapping[str, Any], seed: int, source: str | None) -> Config:
        """The settings of one of its runs. Raises UserError for settings and options that there are not.

        What is the same for all sets is for no plugin to ask for.
        """
        given = merge(shared, self.settings, {"seed": seed})
        config = resolve(given, source)
        common = {name: getattr(config, name) for name in COMMON if name != "options"}
        config, active = settled(given | common, source, tell=seed == 0)
        return config.model_copy(update={"options": active.options_as_document})


def parse_sets(text: str, base: str = NO_PLUGINS) -> list[PluginSet]:
    """Sets between semicolons, plugins between commas, options or settings of a run in brackets.

    The set called `base`, which the others are compared with, comes first; that of no plugin, `base` itself,
    is added where it is missing. Raises UserError for what does not parse, a plugin that is not installed, a
    set that is there twice and another base that is not there.
    """
    base = _name_of(base)
    sets = [_parse_set(part) for part in _split(text, ";") if part.strip()]
    if base == NO_PLUGINS and all(found.name != NO_PLUGINS for found in sets):
        sets.insert(0, _parse_set(NO_PLUGINS))
    names = [found.name for found in sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"--plugin-sets: {twice[0]} is there twice")
    if base not in names:
        raise UserError(f"--base {base}: none of the sets, which are {'; '.join(names) or 'none'}")
    return sorted(sets, key=lambda found: found.name != base)


def _name_of(text: str) -> str:
    """Without white space at its ends and around separators; that within a value is part of it."""
    return re.sub(r"\s*([;,=\[\]])\s*", r"\1", text.strip())


def _parse_set(text: str) -> PluginSet:
    text = _name_of(text)
    names, assignments = [], []
    for item in _split(text, ","):
        name, bracket, rest = item.partition("[")
        if not name or (bracket and not rest.endswith("]")):
            raise UserError(
                f"--plugin-sets {text}: expected PLUGIN or PLUGIN[OPTION=VALUE,...] between commas"
            )
        names.append(name)
        kind = None if name == NO_PLUGINS else load(name).options_class
        for pair in _split(rest[:-1], ",") if bracket else []:
            key, equals, _ = pair.partition("=")
            if not equals or key in COMMON:
                reason = "the same for all sets" if key in COMMON else "no KEY=VALUE"
                raise UserError(f"--plugin-sets {text}: {pair or '[]'} is {reason}")
            is_option = kind is not None and (key in kind.model_fields or key not in SETTINGS)
            assignments.append(f"{name}.{pair}" if is_option else pair)
    if NO_PLUGINS in names and len(names) > 1:
        raise UserError(
            f"--plugin-sets {text}: {NO_PLUGINS} is the model without plugins; leave it out of the set"
        )
    plugins = [name for name in names if name != NO_PLUGINS]
    return PluginSet(text, {"plugins": plugins, **parse_assignments(assignments)})


def _split(text: str, mark: str) -> list[str]:
    """The parts between marks, without looking into brackets. Raises UserError where these don't match."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth < 0:
            break
        if letter == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise UserError(f"--plugin-sets {text}: the brackets don't match")
    return parts
