"""Plugins of a model: putting them in order, and refusing what cannot work.

The parts of LightXML are one of them; it is always active and always innermost.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import math
import re
import textwrap
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pluggy
from pydantic import BaseModel, ValidationError

from xmlkit.config import SETTINGS, Config, explain, merge, nearest, resolve
from xmlkit.console import say
from xmlkit.discovery import BASE, NO_PLUGINS, Implementation, Plugin, load_all
from xmlkit.doors import Head, LossCombiner, Part, Representation, Shortlister
from xmlkit.errors import Incompatible, UserError
from xmlkit.hooks import DOORS, PROJECT, BuildContext, Hooks, hookimpl

# What a plugin must not be called.
RESERVED = dict.fromkeys(SETTINGS, "the name of a setting") | {
    NO_PLUGINS: "the name of the model without plugins"
}
HOOKS = [name for name in vars(Hooks) if not name.startswith("_")]
PART_OF_DOOR: dict[str, type[Part]] = {
    part.door: part for part in (Representation, Shortlister, Head, LossCombiner)
}


@dataclass(frozen=True)
class Active:
    """The plugins of a model, in order, the base first, and their hooks."""

    plugins: tuple[Plugin, ...]
    options: dict[str, BaseModel]
    doors: Mapping[str, Callable[..., Any]]  # each makes its part

    @property
    def options_as_document(self) -> dict[str, dict[str, Any]]:
        """Every option of every plugin spelt out, so that a plugin's later defaults change no saved model."""
        return {name: options.model_dump(mode="json") for name, options in self.options.items()}

    @property
    def options_by_class(self) -> dict[type[BaseModel], BaseModel]:
        """What a BuildContext hands to the plugins."""
        return {type(options): options for options in self.options.values()}


def settled(given: Mapping[str, Any], source: str | None = None, tell: bool = True) -> tuple[Config, Active]:
    """The settings of a run on the corpus of this source, and its plugins.

    What is not given is as the plugins ask for, of which we `tell`, and else as ever. Raises UserError as
    `resolve` and `activate` do, and where plugins ask for what is no setting or for two values of one.
    """
    config = resolve(given, source)
    active = activate(config.plugins, config.options)
    asked: dict[str, tuple[Any, str]] = {}
    for plugin in active.plugins:
        for key, value in plugin.settings.items():
            if key not in SETTINGS:
                raise UserError(
                    f"plugin {plugin.name!r} asks for {key!r}, no setting{nearest(key, SETTINGS)}"
                )
            if key in given:
                continue
            other, by = asked.setdefault(key, (value, plugin.name))
            if other != value:
                raise UserError(
                    f"plugins {by!r} and {plugin.name!r} ask for {key}={other} and {key}={value}: choose "
                    f"with --set {key}=VALUE"
                )
    for key, (value, name) in asked.items() if tell else ():
        say(f"{name}: {key}={value}, unless --set says otherwise")
    document = merge({key: value for key, (value, _) in asked.items()}, given)
    return (resolve(document, source) if asked else config), active


def activate(names: Iterable[str], options: Mapping[str, Mapping[str, Any]]) -> Active:
    """Loads, checks and registers plugins in this order, each around those before it.

    Raises UserError for what `check` refuses and for options that a plugin does not have.
    """
    names = list(names)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"--plugin names {sorted(twice)[0]!r} twice")
    if BASE in names:
        raise UserError(f"{BASE!r} is the base of every model: leave it out of --plugin")
    for name in names:
        if name in RESERVED:
            raise UserError(f"plugin {name!r} has {RESERVED[name]}: its author must choose another")
    plugins = load_all([BASE, *names])
    _check_apart(plugins)
    check(plugins)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    for plugin in plugins:
        manager.register(plugin.module, plugin.name)
        manager.register(_Tagger(plugin.name, set(plugin.implementations)), f"{plugin.name}, checked")
    resolved = {p.name: _options(p, options.get(p.name, {})) for p in plugins}
    doors = {door: partial(_make, door, getattr(manager.hook, door)) for door in DOORS}
    options_set = {name: options for name, options in resolved.items() if options is not None}
    return Active(plugins, options_set, doors)


def _make(door: str, caller: Callable[..., Any], **given: Any) -> Any:
    """What stands at the door. pluggy says it in words alone where a generator has no yield, or a second."""
    try:
        return caller(**given)
    except RuntimeError as error:
        if found := re.match(r"wrap_controller at '.*?' \(?(.*?:\d+)\)? ", str(error)):
            raise UserError(
                f"{found[1]}: {door}: a wrapper has one `inner = yield` on every way through it"
            ) from None
        raise


def check(plugins: Iterable[Plugin]) -> None:
    """Refuses, with a UserError, what pluggy would accept and then silently do wrong."""
    maker = dict.fromkeys(DOORS, BASE)
    wrappers: dict[str, list[str]] = {door: [] for door in DOORS}
    for plugin in plugins:
        if not isinstance(plugin.settings, Mapping):
            raise UserError(f"plugin {plugin.name!r}: its `settings` are no dict of settings by name")
        _check_marks(plugin)
        for found in plugin.implementations.values():
            name = found.hook
            _check_function(plugin, found)
            if name not in DOORS or plugin.name == BASE:
                continue
            if found.wrapper:
                wrappers[name].append(plugin.name)
            elif maker[name] != BASE:
                raise Incompatible(
                    f"plugins {maker[name]!r} and {plugin.name!r} both make the {name}: use one of them, "
                    "or have one wrap the other"
                )
            elif wrappers[name]:
                raise Incompatible(
                    f"plugin {plugin.name!r} makes the {name} anew and would drop what {wrappers[name][0]!r} "
                    f"wrapped: name {plugin.name!r} first in --plugin"
                )
            else:
                maker[name] = plugin.name


def _check_apart(plugins: Iterable[Plugin]) -> None:
    """No two of them are one module, or have one class of options, which settings are found by."""
    modules: dict[int, str] = {}
    classes: dict[type[BaseModel], str] = {}
    for plugin in plugins:
        if (other := modules.setdefault(id(plugin.module), plugin.name)) != plugin.name:
            raise UserError(f"plugins {other!r} and {plugin.name!r} are one module: use one of them")
        kind = plugin.options_class
        if kind and (other := classes.setdefault(kind, plugin.name)) != plugin.name:
            raise UserError(
                f"plugins {other!r} and {plugin.name!r} have one class Options, and so one set of settings: "
                "derive a class of its own for each"
            )


def _check_marks(plugin: Plugin) -> None:
    """Each function that is meant for a hook is marked, and there is that hook."""
    implementations = plugin.implementations
    if not implementations:
        raise UserError(f"plugin {plugin.name!r} implements no hook: mark its functions with @hookimpl")
    for name in implementations.keys() - set(HOOKS):
        raise UserError(
            f"plugin {plugin.name!r} implements {name!r}, which is no hook{nearest(name, HOOKS)} "
            f"({', '.join(HOOKS)})"
        )
    for name in HOOKS:
        if name not in implementations and inspect.isfunction(vars(plugin.module).get(name)):
            raise UserError(
                f"plugin {plugin.name!r}, {name}: a function with a hook's name that is none: mark it with "
                "@hookimpl, or rename it"
            )


def _check_function(plugin: Plugin, found: Implementation) -> None:
    """It can be called as the hook is."""
    where = f"plugin {plugin.name!r}, {found.hook}"
    if found.reordered:
        raise UserError(
            f"{where}: the order is that of --plugin; drop tryfirst and trylast, and use wrapper=True for "
            "hookwrapper"
        )
    if found.wrapper != inspect.isgeneratorfunction(found.function):
        missing = "`inner = yield` in it" if found.wrapper else "@hookimpl(wrapper=True) over its yield"
        raise UserError(f"{where}: {missing} is missing")
    if any(p.kind is p.KEYWORD_ONLY for p in inspect.signature(found.function).parameters.values()):
        raise UserError(f"{where}: arguments are handed to it in their order: leave out the *")
    if found.wrapper and found.hook not in DOORS:
        raise UserError(f"{where}: an event has nothing to wrap: leave out wrapper=True and the yield")
    names = [name for name in inspect.signature(getattr(Hooks, found.hook)).parameters if name != "self"]
    for name, parameter in inspect.signature(found.function).parameters.items():
        if name not in names and parameter.default is parameter.empty:
            known = ", ".join(names)
            raise UserError(
                f"{where}: the hook has no argument {name!r}{nearest(name, names)} (it has: {known})"
            )
    if found.hook in DOORS and not found.wrapper and not _returns(found.function):
        raise UserError(f"{where}: it returns nothing: return a part, or None to leave it to the base")


def _returns(function: Callable[..., Any]) -> bool:
    """Whether it says what it returns, as a lambda does; where there is no source to read, it may."""
    if function.__name__ == "<lambda>":
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return True
    return any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(tree))


def _options(plugin: Plugin, given: Mapping[str, Any]) -> BaseModel | None:
    kind = plugin.options_class
    if kind is None:
        if given:
            raise UserError(f"plugin {plugin.name!r} has no options; {next(iter(given))!r} was set")
        return None
    unknown = [option for option in given if option not in kind.model_fields]
    if unknown:
        names = ", ".join(kind.model_fields)
        raise UserError(
            f"plugin {plugin.name!r} has no option {unknown[0]!r}{nearest(unknown[0], kind.model_fields)} "
            f"(it has: {names})"
        )
    try:
        return kind(**given)
    except ValidationError as error:
        raise UserError(explain(error, plugin.name)) from None


class _Tagger:
    """Stands around one plugin: writes its name on what it made, and looks at what that is.

    The name is the middle of the part's keys in the weights file, which is why nesting plays no role there.
    """

    def __init__(self, plugin: str, doors: set[str]):
        self.plugin, self.doors = plugin, doors

    def _around(self, door: str, build: BuildContext) -> Generator[None, Any, Any]:
        part = yield
        # The base's is the innermost: another's part is on its way out there, or its own, where all declined.
        if door in self.doors and (self.plugin != BASE or type(part).__module__.startswith("xmlkit.")):
            self._look_at(door, part, build.parts.get(door))
            build.parts[door] = part
        return part

    def _look_at(self, door: str, part: Any, inner: Part | None) -> None:
        kind = PART_OF_DOOR[door]
        where = f"plugin {self.plugin!r}, {door}"
        if not isinstance(part, kind):
            got = type(part).__name__ + (" (is a `return` missing?)" if part is None else "")
            got += f", which is for {part.door}" if isinstance(part, Part) else ""
            raise UserError(f"{where}: expected a {kind.__name__}, got {got}")
        if part is inner:
            return
        if inner and inner.owner != BASE and all(module is not inner for module in part.modules()):
            raise UserError(
                f"{where}: {type(part).__name__} drops what {inner.owner!r} made: hand `inner` to "
                "super().__init__, or make the part with a plain @hookimpl"
            )
        if part.inner is None:
            made = type(part)
            missing = [name for name in kind.of_a_maker if getattr(made, name) is getattr(kind, name)]
            if missing:
                raise UserError(
                    f"{where}: {made.__name__} wraps nothing and lacks {', '.join(missing)}: hand `inner` to "
                    "super().__init__, or define them"
                )
        if not part.plugin:
            part.plugin = self.plugin
            own: Any = part
            while isinstance(own, Part) and not own.owner:
                own.owner = self.plugin
                _check_counted(where, own)
                _check_in_checkpoints(where, own)
                _check_rates(where, own)
                own = own.inner

    @hookimpl(wrapper=True)
    def representation(self, build):
        return (yield from self._around("representation", build))

    @hookimpl(wrapper=True)
    def shortlist(self, build):
        return (yield from self._around("shortlist", build))

    @hookimpl(wrapper=True)
    def head(self, build):
        return (yield from self._around("head", build))

    @hookimpl(wrapper=True)
    def loss(self, build):
        return (yield from self._around("loss", build))


def _check_counted(where: str, part: Part) -> None:
    """Refuses a name in `counted` or `sized` that is almost a buffer's; some may be for other settings."""
    buffers, told = [name for name, _ in part.named_buffers()], (*part.counted, *part.sized)
    others = [name for name in buffers if name not in told]
    for name in told:
        if name not in buffers and (meant := difflib.get_close_matches(name, others, n=1, cutoff=0.8)):
            raise UserError(
                f"{where}: {type(part).__name__} has no buffer {name!r}, which it names as counted or sized: "
                f"did you mean {meant[0]!r}?"
            )


def _check_in_checkpoints(where: str, part: Part) -> None:
    """What a checkpoint is to hold besides the weights is a buffer, and none of these."""
    buffers, saved = dict(part.named_buffers(recurse=False)), part.state_dict()
    for name in part.in_checkpoints:
        if name not in buffers or name in saved:
            raise UserError(
                f"{where}: {type(part).__name__} names {name!r} in in_checkpoints, which is no buffer of its "
                "with persistent=False: those that persist are in checkpoints anyway"
            )


def _check_rates(where: str, part: Part) -> None:
    for module in part.modules():
        for name in ("learning_rate", "weight_decay"):
            value = getattr(module, name, None)
            if value is not None and not (isinstance(value, int | float) and 0 <= value < math.inf):
                raise UserError(
                    f"{where}: {type(module).__name__}.{name} is {value!r}: give it a number from 0 up"
                )
