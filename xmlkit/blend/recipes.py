"""What the members of an ensemble that is made by one command are trained as, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xmlkit.config import Config, merge, resolve
from xmlkit.errors import UserError
from xmlkit.model.encoder import NONE


@dataclass(frozen=True)
class Recipe:
    """What a run among the members is trained as, whatever else is set."""

    fixed: dict[str, Any]
    plugins: tuple[str, ...] = ()
    unless_set: dict[str, Any] = field(default_factory=dict)

    def config(self, settings: Mapping[str, Any], source: str | None) -> Config:
        """Options of a plugin that another recipe brings are for that one alone."""
        plugins = list(dict.fromkeys([*settings.get("plugins", ()), *self.plugins]))
        brought = {plugin for recipe in RECIPES.values() for plugin in recipe.plugins}
        ours = {key: value for key, value in settings.items() if key not in brought.difference(plugins)}
        return resolve(merge(self.unless_set, ours, {**self.fixed, "plugins": plugins}), source)


FROZEN = {"epochs": 4.0, "dropout": 0.2}
RECIPES = {  # those that are quickest first
    "lexical": Recipe({"freeze": True}, ("lexical",), FROZEN),
    "bag": Recipe({"encoder": NONE}, ("lexical",)),
    "frozen": Recipe({"freeze": True}, (), FROZEN),
    "warm": Recipe({}),
}
ENCODED = ("lexical", "frozen", "warm")  # by whose vectors neighbours are looked for: the first that is there
MADE = ("neighbours", "names", "linear", "words")  # of what is there, without a training of their own
BY_NAMES = ("names", "words")  # of labels
AUTO = ("lexical", "neighbours", "linear", "words")


def names_of(given: str) -> list[str]:
    """The names in a list between commas. Raises UserError for one that is unknown or there twice."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    known = [*RECIPES, *MADE]
    for name in names:
        if name not in (*known, "auto"):
            raise UserError(f"--ensemble {name}: expected names of {', '.join(known)}, or auto")
    names = list(AUTO) if names == ["auto"] else names
    if len(names) < 2 or len(set(names)) < len(names) or "auto" in names:
        raise UserError(f"--ensemble {given}: name two or more, each once, or auto alone")
    if "neighbours" in names and not set(ENCODED).intersection(names):
        raise UserError("--ensemble neighbours: whose vectors? add one of " + ", ".join(ENCODED))
    return names
