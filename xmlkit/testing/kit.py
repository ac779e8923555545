"""The conformance kit: all checks of a plugin, alone and beside each plugin that comes with xmlkit."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xmlkit.discovery import Plugin, load, shipped
from xmlkit.errors import Incompatible, UserError
from xmlkit.hooks import DOORS
from xmlkit.plugins import activate
from xmlkit.testing.checks import CHECKS, Broken, Case
from xmlkit.testing.tiny import aside


class ContractError(AssertionError):
    """A plugin does not hold to a contract; `check` is the name of the check that found it."""

    def __init__(self, check: str, contract: str, case: str, found: str):
        super().__init__(f"{check}: {contract}\n{case}: {found}")
        self.check = check


def check_plugin(
    name: str, options: Mapping[str, Any] | None = None, beside: Iterable[str] | None = None
) -> None:
    """Checks an installed plugin with its default options, or these, in tiny models, in a minute or two.

    Where its module has `tiny_options`, they come before its defaults. It is trained alone, with clusters and
    with every label scored, and together with each plugin that comes with xmlkit and stands at a hook
    point, or those of `beside`: with clusters behind it, and with every label scored before it, unless that
    is refused as Incompatible. Raises ContractError at the first contract that is broken; UserError where the
    plugin can't be loaded or has no such options.
    """
    plugin = load(name)
    if options:
        activate([name], {name: options})
    if beside is None:
        beside = [other for other in at_hook_points() if other != name]
    with aside() as scratch:
        reached: dict[tuple[str, ...], set[str]] = {}
        for number, (plugins, clustered) in enumerate(compositions(plugin, beside)):
            folder = scratch / str(number)
            folder.mkdir()
            so_far = reached.setdefault(tuple(sorted(plugins)), set())  # be it with clusters or without
            _check(Case(name, plugins, options or {}, clustered, folder, so_far))


def at_hook_points() -> list[str]:
    """Of the plugins that come with xmlkit those that a model is made of, and not what only looks on."""
    return [name for name in shipped() if not set(DOORS).isdisjoint(load(name).implementations)]


def _check(case: Case) -> None:
    for check, function in CHECKS.items():
        contract = " ".join((inspect.getdoc(function) or "").split())
        try:
            function(case)
        except Broken as broken:
            raise ContractError(check, contract, str(case), str(broken)) from None
        except Incompatible as error:
            if not case.alone:
                return
            raise ContractError(check, contract, str(case), str(error)) from None
        except UserError as error:  # a promise was broken, and the line says by whom
            raise ContractError(check, contract, str(case), str(error)) from None
        except Exception as error:  # in the plugin's code, or because of it
            found = f"{type(error).__name__}: {error}{_place(error, case.plugin)}"
            raise ContractError(check, contract, str(case), found) from error


def _place(error: Exception, plugin: Plugin) -> str:
    """Where in the plugin's module it happened, or what it called from there."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == plugin.file]
    return f" ({plugin.file}:{frames[-1].lineno})" if frames else ""


def compositions(plugin: Plugin, beside: Iterable[str]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """What is trained together, and whether with clusters: alone, and behind and before each other plugin.

    One that makes a part comes before its wrappers, then both ways.
    """
    yield (plugin.name,), True
    yield (plugin.name,), False
    makes = {found.hook for found in plugin.implementations.values() if not found.wrapper}.intersection(DOORS)
    for name in beside:
        others = load(name).implementations.values()
        makes_other = {found.hook for found in others if not found.wrapper}.intersection(DOORS)
        if makes.isdisjoint(makes_other):
            is_behind = makes.isdisjoint(found.hook for found in others)
            is_before = makes_other.isdisjoint(plugin.implementations)
            yield ((name, plugin.name) if is_behind else (plugin.name, name)), True
            yield ((plugin.name, name) if is_before else (name, plugin.name)), False
