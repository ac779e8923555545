"""What figures of a training may also go to: each module in this folder is one, found by being here.

It is called as the library that it speaks to, and as the extra of xmlkit that brings it, and has a function
`begin` that makes its `Tracker` of a run. The library is imported there.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from xmlkit import UserError

Outcome = Literal["finished", "stopped early", "interrupted", "failed"]


@dataclass(frozen=True)
class Tracked:
    """All that a tracker is told of a run beside its figures."""

    folder: Path
    project: str
    settings: dict[str, Any]  # by the names that `--set` takes, and the corpus's name
    steps_done: int  # above 0 where it goes on
    id: str | None  # what `Tracker.id` was when it began; None where it begins

    @property
    def name(self) -> str:
        """That of its folder."""
        return self.folder.resolve().name


class Tracker(ABC):
    """A run, as a library keeps it."""

    id: str = ""  # by which the library finds it again, to go on with it

    @abstractmethod
    def take(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures of a step; there may be others of the same."""

    @abstractmethod
    def close(self, outcome: Outcome) -> None:
        """Nothing more comes; after "interrupted" and "failed" it may go on later."""


def trackers() -> list[str]:
    """The names of all."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def begun(name: str, run: Tracked) -> Tracker:
    """The tracker of this name. Raises UserError where its library is not installed."""
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"track: {name} needs {error.name}: pip install 'xmlkit-xmc[{name}]'") from None
    tracker: Tracker = import_module(f"{__name__}.{name}").begin(run)
    return tracker
