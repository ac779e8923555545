"""`names:ENCODER`: labels whose names an encoder holds for alike to the text, without any training.

    e_l = <u, v_l> / temperature

with u the text's mean token state less the mean of training documents and v_l that of the label's name less
the mean of all names, both of length 1: what all have in common tells nothing apart (Mu and Viswanath, ICLR
2018).

N texts, B of them at once, L labels with names, H encoder width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmlkit.blend.member import Candidates, Making, Member, floor_N
from xmlkit.blend.towers import Tower, Towers, read_number, write_number
from xmlkit.data.corpus import Labels
from xmlkit.errors import UserError
from xmlkit.model.tensor_file import load_tensors, save_tensors

TEMPERATURE = 0.1
SAMPLE = 4096  # training documents whose mean is taken
AT_ONCE = 256


class Names(Member):
    """Cosines with label names."""

    def __init__(self, number: str, tower: Tower, centre_H: Tensor, names_LH: Tensor, rows_L: Tensor):
        self.tower_number, self.tower = number, tower
        self.centre_H, self.names_LH, self.rows_L = centre_H, names_LH, rows_L

    @classmethod
    def make(cls, what: str, making: Making) -> Self:
        """`what` is an encoder as `--encoder` takes one, or a run, whose vectors are then compared."""
        corpus = making.corpus
        rows_L = np.flatnonzero(corpus.labels.worded_L)
        if not len(rows_L):
            raise UserError(f"names:{what}: the labels of {corpus.name} have no names; leave it out")
        number, tower = making.tower(what)
        rows_N = np.flatnonzero(~making.held_out_N)
        some_N = rows_N[np.linspace(0, len(rows_N) - 1, min(SAMPLE, len(rows_N)), dtype=int)]
        centre_H = tower.train_ND(corpus, some_N).mean(0)
        names_LH = tower.many_ND([corpus.labels.text(int(row)) for row in rows_L], "reading names")
        names_LH = F.normalize(names_LH - names_LH.mean(0), dim=1, eps=1e-12)
        return cls(number, tower, centre_H, names_LH.half(), torch.from_numpy(rows_L))

    def candidates(self, texts: Sequence[str], top_k: int) -> Candidates:
        """The most alike."""
        count = min(top_k, len(self.rows_L))
        ids_NK = np.zeros((len(texts), count), np.int64)
        evidence_NK = np.zeros((len(texts), count), np.float32)
        x_NH, names_HL = self.tower.rank_ND(texts), self.names_LH.float().T
        for start in range(0, len(texts), AT_ONCE):
            u_BH = F.normalize(x_NH[start : start + AT_ONCE] - self.centre_H, dim=1, eps=1e-12)
            cos_BK, at_BK = (u_BH @ names_HL).topk(count, 1)
            ids_NK[start : start + AT_ONCE] = self.rows_L[at_BK].numpy()
            evidence_NK[start : start + AT_ONCE] = (cos_BK / TEMPERATURE).numpy()
        return Candidates(ids_NK, evidence_NK, floor_N(evidence_NK, len(self.rows_L), -1 / TEMPERATURE))

    def save(self, folder: Path) -> None:
        """The names' vectors, and whose they are."""
        write_number(folder, self.tower_number)
        tensors = {"centre_H": self.centre_H, "names_LH": self.names_LH, "rows_L": self.rows_L}
        save_tensors(folder / "names.safetensors", tensors, {})

    @classmethod
    def open(cls, folder: Path, labels: Labels, towers: Towers) -> Self:
        """What was saved."""
        number = read_number(folder)
        kept, _ = load_tensors(folder / "names.safetensors")
        rows_L = kept["rows_L"]
        if (
            kept["names_LH"].shape != (len(rows_L), kept["centre_H"].numel())
            or not ((rows_L >= 0) & (rows_L < len(labels))).all()
        ):
            raise ValueError("names.safetensors is not of these labels")
        return cls(number, towers[number], kept["centre_H"], kept["names_LH"], kept["rows_L"])
