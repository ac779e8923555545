"""Weights & Biases, where `wandb login` or `WANDB_MODE=offline` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import Outcome, Tracked, Tracker

# What it would take along by itself: what is printed, the machine and its load, packages, sources.
NOTHING_ELSE = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "save_code": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "host": "",
    "program": "xmlkit train",
}
ONLINE = ("online", "run", "shared")


class OfRun(Tracker):
    """Figures of steps that it has already it leaves out: those that are done again are the same."""

    def __init__(self, run: Any):
        self._run, self.id = run, run.id

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        """It is sent with the next step's, or at the end."""
        self._run.log(dict(figures), step=step)

    def close(self, outcome: Outcome) -> None:
        """Waits until all is sent."""
        self._run.finish(exit_code=int(outcome == "failed"))


def begin(run: Tracked) -> OfRun:
    """It asks for no key on the terminal: a training may have nobody to answer."""
    import wandb

    if wandb.setup().settings.mode in ONLINE and not wandb.login(prompt=False):
        raise RuntimeError("no key; first `wandb login`, or WANDB_MODE=offline")
    settings = wandb.Settings(quiet=True, reinit="create_new", **NOTHING_ELSE)
    how = {"id": run.id, "resume": "allow", "settings": settings}
    return OfRun(wandb.init(project=run.project, name=run.name, config=run.settings, **how))
