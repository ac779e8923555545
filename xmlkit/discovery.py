"""Which plugins are installed, and what is in one.

They are found by entry points in the group `xmlkit`, each of which names a module. One that is tried out may
be a file, which `add_plugin` makes known to this process.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from xmlkit.config import nearest
from xmlkit.distribution import DISTRIBUTION
from xmlkit.errors import UserError
from xmlkit.hooks import HOOKS_VERSION, OLDEST_HOOKS, PROJECT

BASE = "lightxml"  # the plugin that every model begins with
NO_PLUGINS = "base"  # what a comparison calls the model with that one alone
OF_A_FILE = "sha256:"  # begins the version of a plugin that no distribution brings


@dataclass(frozen=True)
class Implementation:
    """One function of a plugin that implements a hook, with the marks that `@hookimpl` gave it."""

    hook: str
    function: Callable[..., Any]
    wrapper: bool
    reordered: bool  # by tryfirst, trylast or the old hookwrapper


@dataclass(frozen=True)
class Plugin:
    """An imported plugin and where it came from."""

    name: str
    module: Any
    distribution: str
    version: str

    @property
    def options_class(self) -> type[BaseModel] | None:
        """Its pydantic model, where it has settings."""
        return getattr(self.module, "Options", None)

    @property
    def file(self) -> str:
        """Of its module."""
        return self.module.__file__ or ""

    @property
    def code(self) -> str:
        """A digest of its source: of its module, or of all modules of the package that this is in."""
        return self.version if self.version.startswith(OF_A_FILE) else _digest(self.module)

    @property
    def description(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.module) or "").partition("\n")[0]

    @property
    def hooks_version(self) -> int:
        """That of the hooks which it was written for."""
        return getattr(self.module, "hooks_version", 1)

    @property
    def compiles(self) -> bool:
        """Whether torch.compile can trace it; it is so unless the plugin says otherwise."""
        return getattr(self.module, "compiles", True)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a run that it is best used with: defaults while it is in use.

        Before version 2 of the hooks the name meant nothing, and may be there for the module's own use.
        """
        return getattr(self.module, "settings", {}) if self.hooks_version > 1 else {}

    @property
    def tiny_options(self) -> dict[str, Any]:
        """Its options in the models of `xmlkit.testing`, where its defaults are large."""
        return getattr(self.module, "tiny_options", {})

    @cached_property
    def implementations(self) -> dict[str, Implementation]:
        """By hook name."""
        found: dict[str, Implementation] = {}
        for name, member in vars(self.module).items():
            marks = getattr(member, f"{PROJECT}_impl", None)
            if isinstance(marks, dict):
                hook = marks["specname"] or name
                if hook in found and found[hook].function is not member:
                    raise UserError(
                        f"plugin {self.name!r} implements {hook!r} twice: leave one function of it"
                    )
                reordered = marks["tryfirst"] or marks["trylast"] or marks["hookwrapper"]
                found[hook] = Implementation(hook, member, marks["wrapper"], reordered)
        return found


@cache
def _digest(module: ModuleType) -> str:
    """Of a module's source, or its whole package's, as it is when somebody asks first."""
    file, package = Path(module.__file__ or ""), module.__package__ or ""
    files = [file]
    if package:
        files = sorted(file.parents[package.count(".")].rglob("*.py"))
    sources = [path.read_bytes() for path in files if path.is_file()]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:12]


_added: dict[str, Plugin] = {}


def add_plugin(name: str, file: str | Path) -> None:
    """Makes a file a plugin of this name, for this process and the runs that a comparison begins from it.

    That is for trying one out, in a notebook say: as long as it was not added, nothing else opens what was
    trained with it. Added once more, the file is read anew; its version is a digest of it. Raises UserError
    where there is no such file, where it fails (with its traceback as detail), and for an installed plugin's
    name.
    """
    path = Path(file).resolve()
    if name in {entry.name for entry in entry_points(group=PROJECT)}:
        raise UserError(f"a plugin {name!r} is installed: choose another name for {file}")
    if not path.is_file():
        raise UserError(f"{file}: no such file; name one that holds a plugin, as in shy.py")
    content = path.read_bytes()
    module = ModuleType(f"xmlkit_{name.replace('-', '_')}")
    module.__file__ = str(path)

    def run() -> ModuleType:
        sys.modules[module.__name__] = module
        exec(compile(content, str(path), "exec"), vars(module))  # no byte code of before is looked at
        return module

    version = OF_A_FILE + hashlib.sha256(content).hexdigest()[:12]
    plugin = Plugin(name, _import(name, path.name, run), path.name, version)
    _check(plugin)
    _added[name] = plugin


def version_here(name: str, entry: EntryPoint) -> str | None:
    """Of the plugin that is found by this name: its distribution's, or the digest of a file."""
    if name in _added:
        return _added[name].version
    return entry.dist.version if entry.dist else None


def added() -> dict[str, str]:
    """Files of plugins that were added, by name."""
    return {name: plugin.file for name, plugin in _added.items()}


def installed() -> dict[str, EntryPoint]:
    """The entry points of all plugins by name, of those that were added, too; without importing any."""
    found = [EntryPoint(name, plugin.module.__name__, PROJECT) for name, plugin in _added.items()]
    found += entry_points(group=PROJECT)
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def shipped() -> list[str]:
    """Names of the plugins that come with xmlkit, in order, without the base."""
    ours = [entry for entry in installed().values() if entry.dist and entry.dist.name == DISTRIBUTION]
    return [entry.name for entry in ours if entry.name != BASE]


def load(name: str) -> Plugin:
    """Imports an installed plugin, or gives one that was added.

    Raises UserError where there is none of that name or more than one, where it fails (with its traceback as
    detail), and where it was written for other hooks.
    """
    return load_all([name])[0]


def load_all(names: Iterable[str]) -> tuple[Plugin, ...]:
    """The same of several, for which what is installed is looked through once."""
    entries = entry_points(group=PROJECT)
    return tuple(_added[name] if name in _added else _loaded(name, entries) for name in names)


def _loaded(name: str, entries: EntryPoints) -> Plugin:
    named = [entry for entry in entries if entry.name == name]
    if not named:
        known = list(installed())
        others = ", ".join(other for other in known if other != BASE) or "none besides the base"
        raise UserError(f"no plugin {name!r} is installed{nearest(name, known)} (installed: {others})")
    origins = [_origin(entry) for entry in named]
    if len(origins) > 1:
        raise UserError(
            f"{len(origins)} plugins are called {name!r}, of {' and '.join(map(' '.join, origins))}: "
            f"pip uninstall all but one of them"
        )
    module = _import(name, named[0].value, named[0].load)
    plugin = Plugin(name, module, *origins[0])
    _check(plugin)
    return plugin


def _check(plugin: Plugin) -> None:
    if plugin.hooks_version not in range(OLDEST_HOOKS, HOOKS_VERSION + 1):
        raise UserError(
            f"plugin {plugin.name!r} was written for version {plugin.hooks_version!r} of the hooks, and this "
            f"xmlkit has version {HOOKS_VERSION}: install another version of {plugin.distribution} (here: "
            f"{plugin.version}) or of {DISTRIBUTION}"
        )
    kind = plugin.options_class
    if kind is not None and not (inspect.isclass(kind) and issubclass(kind, BaseModel)):
        raise UserError(f"plugin {plugin.name!r}: its Options is no pydantic model: derive it from BaseModel")


def _origin(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")


def _import(name: str, value: str, load: Callable[[], Any]) -> Any:
    """What `load` gives. Raises UserError where it fails, or that is no module."""
    try:
        module = load()
    except (Exception, SystemExit) as error:
        detail = "".join(traceback.format_exception(type(error), error, _below_the_import(error)))
        raise UserError(
            f"plugin {name!r} ({value}) fails on import: {type(error).__name__}: {error}", detail
        ) from error
    if not inspect.ismodule(module):
        raise UserError(f"plugin {name!r} ({value}) is not a module: its entry point must name one")
    return module


def _below_the_import(error: BaseException) -> Any:
    """The error's traceback without this file's and importlib's frames: it begins in the plugin."""
    frames = error.__traceback__
    machinery = (__file__, importlib.__file__, "<frozen importlib", inspect.getfile(EntryPoint))
    while frames and frames.tb_frame.f_code.co_filename.startswith(machinery):
        frames = frames.tb_next
    return frames
