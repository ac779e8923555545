"""The conformance kit: all checks of a plugin, alone and beside each plugin that comes with xmlkit."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from xmlkit.discovery import BASE, Plugin, installed, load
from xmlkit.hooks import DOORS
from xmlkit.testing.checks import CHECKS, Broken, Case
from xmlkit.testing.tiny import aside


class ContractError(AssertionError):
    """A plugin does not hold to a contract; `check` is the name of the check that found it."""

    def __init__(self, check: str, contract: str, case: str, found: str):
        super().__init__(f"{check}: {contract}\n{case}: {found}")
        self.check = check


def check_plugin(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Checks an installed plugin with its default options, or these, in tiny models: half a minute.

    It is trained alone, and together with each plugin that comes with xmlkit in both orders, with and without
    clusters. Raises ContractError at the first contract that is broken, UserError where it can't be loaded.
    """
    plugin = load(name)
    with aside() as scratch:
        for number, plugins in enumerate(compositions(plugin)):
            for clustered in (True, False):
                folder = scratch / f"{number}-{clustered}"
                folder.mkdir()
                _check(Case(name, plugins, options or {}, clustered, folder))


def _check(case: Case) -> None:
    for check, function in CHECKS.items():
        contract = " ".join((inspect.getdoc(function) or "").split())
        try:
            function(case)
        except Broken as broken:
            raise ContractError(check, contract, str(case), str(broken)) from None
        except Exception as error:  # in the plugin's code, or because of it
            found = f"{type(error).__name__}: {error}"
            raise ContractError(check, contract, str(case), found) from error


def compositions(plugin: Plugin) -> Iterator[tuple[str, ...]]:
    """Alone, then behind and before each other plugin; one that makes a part comes before its wrappers."""
    yield (plugin.name,)
    makes = {found.hook for found in plugin.implementations.values() if not found.wrapper}.intersection(DOORS)
    for name, entry in installed().items():
        if entry.dist and entry.dist.name == "xmlkit" and name not in (BASE, plugin.name):
            if makes.isdisjoint(load(name).implementations):
                yield name, plugin.name
            yield plugin.name, name
