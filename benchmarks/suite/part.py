"""What a part of the suite is: a command that writes one JSON file, and which of its figures count."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from xmlkit.data.corpus import DEMO

OUT, CORPUS, ENCODER = "{out}", "{corpus}", "{encoder}"  # what stands for them in a part's command
NOISE = 0.05  # of a figure: by less no machine is the same on two days
LEFT_OUT = 77  # what a command ends with that lacks something; the last line it says is the reason


@dataclass(frozen=True)
class Given:
    """What the parts may use."""

    corpora: tuple[str, ...] = (DEMO,)  # or folders, or files
    encoder: str | None = None


@dataclass(frozen=True)
class Figure:
    """A number of a part's result, and which way it should go."""

    value: float
    better: Literal["less", "more"]
    room: float = 0.0  # what it may differ by all the same: of shares that are nearly 0, and of percents
    noise: float = NOISE  # likewise, as a share of it


@dataclass(frozen=True)
class Part:
    """One thing that is measured."""

    name: str
    group: str  # that `--only` names
    minutes: float  # that it takes on two cores
    words: tuple[str, ...]  # of the command, behind the Python interpreter
    figures: Callable[[Any], Mapping[str, Figure]]
    repeats: int = 1  # where one run says too little
    on_cuda: bool = False  # alone: elsewhere it takes days
    goes_on: bool = False  # from where it was broken off, so that any time is worth something

    @property
    def of_a_corpus(self) -> bool:
        """Whether it is run once for each corpus."""
        return CORPUS in self.words

    def lacks(self, given: Given) -> str | None:
        """Why it can't be run with what is given."""
        if ENCODER in self.words and not given.encoder:
            return "needs a pretrained encoder: --encoder FOLDER"
        if self.on_cuda and not torch.cuda.is_available():
            return "needs a CUDA device"
        return None

    def command(self, out: Path, given: Given, corpus: str | None) -> list[str]:
        """To be run, with its places filled."""
        filled = {OUT: str(out), CORPUS: str(corpus), ENCODER: str(given.encoder)}
        return [sys.executable, *(filled.get(word, word) for word in self.words)]
