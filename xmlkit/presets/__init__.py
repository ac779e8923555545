"""The data sets of the LightXML paper as settings: one file each, beside the figures that it published."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from pydantic import BaseModel

from xmlkit.config import nearest
from xmlkit.errors import UserError


class Preset(BaseModel, extra="forbid"):
    """What LightXML trained on one data set: an ensemble of models that share most settings."""

    dataset: str
    published: tuple[float, float, float]  # P@1, P@3, P@5 of the ensemble, in percent
    settings: dict[str, Any]
    members: list[dict[str, Any]]  # each one's own settings

    def member(self, number: int) -> dict[str, Any]:
        """The settings of one model."""
        return self.settings | self.members[number]


def presets() -> dict[str, Preset]:
    """All presets by name."""
    files = (file for file in resources.files(__name__).iterdir() if file.name.endswith(".toml"))
    return {
        file.name.removesuffix(".toml"): Preset(**tomllib.loads(file.read_text(encoding="utf-8")))
        for file in sorted(files, key=lambda file: file.name)
    }


def preset_settings(name: str, member: int) -> dict[str, Any]:
    """The settings of one model of a preset. Raises UserError where there is no such preset or member."""
    if not 0 <= member < (count := num_members(name)):
        raise UserError(f"--member {member}: the preset {name} has members 0 to {count - 1}")
    return presets()[name].member(member)


def num_members(name: str) -> int:
    """How many models a preset has. Raises UserError where there is no such preset."""
    known = presets()
    if name not in known:
        raise UserError(f"--preset {name}: there is none{nearest(name, known)} ({', '.join(known)})")
    return len(known[name].members)
