"""The conformance kit: all checks of a plugin, alone and beside each plugin that comes with xmlkit."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from xmlkit.discovery import BASE, Plugin, installed, load
from xmlkit.errors import UserError
from xmlkit.hooks import DOORS
from xmlkit.plugins import activate
from xmlkit.testing.checks import CHECKS, Broken, Case
from xmlkit.testing.tiny import aside


class ContractError(AssertionError):
    """A plugin does not hold to a contract; `check` is the name of the check that found it."""

    def __init__(self, check: str, contract: str, case: str, found: str):
        super().__init__(f"{check}: {contract}\n{case}: {found}")
        self.check = check


def check_plugin(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Checks an installed plugin with its default options, or these, in tiny models, in under a minute.

    Where its module has `tiny_options`, they come before its defaults. It is trained alone, and together with
    each plugin that comes with xmlkit in both orders, with and without clusters. Raises ContractError at the
    first contract that is broken; UserError where the plugin can't be loaded or has no such options.
    """
    plugin = load(name)
    if options:
        activate([name], {name: options})
    with aside() as scratch:
        for number, plugins in enumerate(compositions(plugin)):
            reached: set[str] = set()
            for clustered in (True, False):
                folder = scratch / f"{number}-{clustered}"
                folder.mkdir()
                _check(Case(name, plugins, options or {}, clustered, folder, reached))


def _check(case: Case) -> None:
    for check, function in CHECKS.items():
        contract = " ".join((inspect.getdoc(function) or "").split())
        try:
            function(case)
        except Broken as broken:
            raise ContractError(check, contract, str(case), str(broken)) from None
        except UserError as error:  # a promise was broken, and the line says by whom
            raise ContractError(check, contract, str(case), str(error)) from None
        except Exception as error:  # in the plugin's code, or because of it
            found = f"{type(error).__name__}: {error}{_place(error, case.plugin)}"
            raise ContractError(check, contract, str(case), found) from error


def _place(error: Exception, plugin: Plugin) -> str:
    """Where in the plugin's module it happened, or what it called from there."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == plugin.file]
    return f" ({plugin.file}:{frames[-1].lineno})" if frames else ""


def compositions(plugin: Plugin) -> Iterator[tuple[str, ...]]:
    """Alone, then behind and before each other plugin; one that makes a part comes before its wrappers."""
    yield (plugin.name,)
    makes = {found.hook for found in plugin.implementations.values() if not found.wrapper}.intersection(DOORS)
    for name, entry in installed().items():
        if entry.dist and entry.dist.name == "xmlkit" and name not in (BASE, plugin.name):
            if makes.isdisjoint(load(name).implementations):
                yield name, plugin.name
            yield plugin.name, name
