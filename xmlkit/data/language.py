"""Which of several languages labels' names are read in."""

from __future__ import annotations

from collections.abc import Iterable

from xmlkit.errors import UserError


def choose_language(there: Iterable[str], chosen: str | None, where: str) -> str:
    """The one that is chosen, or the only one. Raises UserError for one that is not there, or several."""
    known = sorted(there)
    if chosen is None and len(known) == 1:
        return known[0]
    found = [language for language in known if chosen is not None and language.lower() == chosen.lower()]
    if found:
        return found[0]
    listed = ", ".join(known)
    if chosen is None:
        raise UserError(f"{where}: names in {len(known)} languages; choose one with --language: {listed}")
    raise UserError(f"{where}: --language {chosen}: no names in it; there are {listed}")
