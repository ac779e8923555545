"""The plugins' events: they see a run, and change nothing of it but what they ask it for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xmlkit.hooks import Reading, Run
from xmlkit.training.report import Outcome


class Events:
    """Calls them with copies, and gives the generators their state back: a draw shifts no later number."""

    def __init__(self, hook: Any, device: torch.device):
        self._hook = hook
        self._devices = [device] if device.type == "cuda" else []

    @property
    def awaits_trained(self) -> bool:
        """Whether a plugin has anything to do once a run is trained."""
        return bool(self._hook.trained.get_hookimpls())

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

    def _call(self, name: str, **given: Any) -> None:
        event = getattr(self._hook, name)
        if event.get_hookimpls():
            copies = {key: dict(value) for key, value in given.items() if isinstance(value, dict)}
            with torch.random.fork_rng(self._devices, device_type="cuda"):
                event(**{**given, **copies})
