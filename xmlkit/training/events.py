"""The plugins' events: they see a run, and change nothing of it but what they ask it for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import signature
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from xmlkit.discovery import Plugin
from xmlkit.errors import UserError
from xmlkit.hooks import DOORS, Reading, Run
from xmlkit.plugins import HOOKS
from xmlkit.training.report import Outcome


class Events:
    """Calls each with copies of its own, and gives the generators their state back: a draw shifts no later
    number."""

    def __init__(self, plugins: Sequence[Plugin], device: torch.device):
        # The outermost first, each with its function and what that takes.
        self._heard = {
            event: [
                (plugin, found.function, _asked(found.function))
                for plugin in reversed(plugins)
                if (found := plugin.implementations.get(event))
            ]
            for event in HOOKS
            if event not in DOORS
        }
        self._devices = [device] if device.type == "cuda" else []

    @property
    def awaits_trained(self) -> bool:
        """Whether a plugin has anything to do once a run is trained."""
        return bool(self._heard["trained"])

    def run_started(self, run: Run) -> None:
        """Before the first step, or the next one."""
        self._call("run_started", run=run)

    def step_ended(self, run: Run, step: int, report: dict[str, Tensor]) -> None:
        """After each step."""
        self._call("step_ended", run=run, step=step, report=report)

    def logged(self, run: Run, step: int, figures: dict[str, float]) -> None:
        """After each line of the log that has figures."""
        self._call("logged", run=run, step=step, figures=figures)

    def evaluated(self, run: Run, metrics: dict[str, float]) -> None:
        """After each evaluation."""
        self._call("evaluated", run=run, metrics=metrics)

    def trained(self, run: Run, read: Reading) -> None:
        """After the training, with the best weights."""
        self._call("trained", run=run, read=read)

    def run_ended(self, run: Run, outcome: Outcome) -> None:
        """At the end."""
        self._call("run_ended", run=run, outcome=outcome)

    def run_failed(self, run: Run) -> None:
        """The same at an error, which stays the one that is told: whatever fails here, all others hear of it.

        The generators are left alone, which a device that has failed can't be asked for.
        """
        given = {"run": run, "outcome": "failed"}
        for _, function, asked in self._heard["run_ended"]:
            with suppress(Exception):
                function(*(given[key] for key in asked))

    def _call(self, name: str, run: Run, **given: Any) -> None:
        heard = self._heard[name]
        if not heard:
            return
        with torch.random.fork_rng(self._devices, device_type="cuda"):
            for plugin, function, asked in heard:
                function(*(run if key == "run" else _copied(given[key]) for key in asked))
                _check(run, plugin, name)


def _asked(function: Callable[..., None]) -> list[str]:
    """The arguments that it takes; one with a default is its own."""
    return [key for key, own in signature(function).parameters.items() if own.default is own.empty]


def _copied(value: Any) -> Any:
    """What a dict holds, tensors as well; other things are no copies."""
    if not isinstance(value, dict):
        return value
    return {key: one.clone() if isinstance(one, Tensor) else one for key, one in value.items()}


def _check(run: Run, plugin: Plugin, name: str) -> None:
    factor = run.rate_factor
    if isinstance(factor, bool) or not isinstance(factor, Real) or not 0 <= factor < math.inf:
        raise UserError(
            f"plugin {plugin.name!r}, {name}: it has set run.rate_factor to {factor!r}; expected a number, "
            "at least 0"
        )
    run.rate_factor = float(factor)
