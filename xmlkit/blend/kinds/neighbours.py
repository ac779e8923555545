"""`neighbours:RUN`: the labels of the training documents that are nearest in the vectors of a run or encoder.

With u the document's vector, centred and of length 1, and u_n those of the K nearest training documents,

    p_n = softmax over n of <u, u_n> / temperature     e_l = log(eps + sum of p_n over the n with label l)

as in kNN-LM (Khandelwal et al., ICLR 2020, equation 2). How much that counts is for the ensemble to fit.

N texts, B of them at once, D document width, M training documents, K nearest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmlkit.blend.member import Candidates, Making, Member
from xmlkit.blend.towers import Tower, Towers, read_number, write_number
from xmlkit.data.corpus import Labels
from xmlkit.data.ragged import Ragged
from xmlkit.model.tensor_file import load_tensors, save_tensors
from xmlkit.passing import RaggedLabels, Voters
from xmlkit.search import nearest_vectors

NEAREST, TEMPERATURE, EPS = 50, 0.1, 0.003
ITSELF = 0.999  # cosine above which a text's vector is its own, for all that was rounded on the way
AT_ONCE = 256


class Neighbours(Member):
    """Votes of the nearest training documents."""

    def __init__(self, number: str, tower: Tower, centre_D: Tensor, bank_MD: Tensor, labels: Ragged):
        self.tower_number, self.tower = number, tower
        self.centre_D, self.bank_MD, self.labels = centre_D, bank_MD, labels

    @classmethod
    def make(cls, what: str, making: Making) -> Self:
        """`what` is a run or an encoder; all training documents are kept but those that are held out."""
        number, tower = making.tower(what)
        rows_M = np.flatnonzero(~making.held_out_N)
        x_MD = tower.train_ND(making.corpus, rows_M)
        centre_D = x_MD.mean(0)
        x_MD.sub_(centre_D)
        bank_MD = x_MD.div_(x_MD.norm(dim=1, keepdim=True).clamp_(min=1e-12)).half()
        return cls(number, tower, centre_D, bank_MD, making.corpus.train.labels.take(rows_M))

    def candidates(self, texts: Sequence[str], top_k: int) -> Candidates:
        """Those with most votes; without a vote there is no candidate."""
        return self._voted(texts, top_k, False)

    def candidates_of_seen(self, texts: Sequence[str], top_k: int) -> Candidates:
        """The same without the vote of each text itself; of equal texts the others vote."""
        return self._voted(texts, top_k, True)

    def voters(self, text: str) -> Voters:
        """The nearest documents."""
        [[cos_1K, at_1K]] = self._nearest([text], False)
        near = self.labels.take(at_1K[0].numpy())
        sizes = int(near.values.max(initial=-1)) + 1, int(near.lengths.max(initial=0))
        labels = RaggedLabels(torch.from_numpy(near.values).long(), torch.from_numpy(near.offsets), *sizes)
        share_K = (cos_1K[0] / TEMPERATURE).softmax(0)
        return Voters(at_1K[0], len(self.bank_MD), cos_1K[0], share_K, labels)

    def _nearest(self, texts: Sequence[str], seen: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Cosines and places of those that vote, the nearest first, for AT_ONCE texts each."""
        x_ND = self.tower.rank_ND(texts)
        for start in range(0, len(texts), AT_ONCE):
            u_BD = F.normalize(x_ND[start : start + AT_ONCE] - self.centre_D, dim=1, eps=1e-12)
            cos_BK, at_BK = nearest_vectors(u_BD, self.bank_MD, NEAREST + seen)
            yield without_itself(cos_BK) if seen else cos_BK, at_BK

    def _voted(self, texts: Sequence[str], top_k: int, seen: bool) -> Candidates:
        ids_NK = np.full((len(texts), top_k), -1, np.int64)
        evidence_NK = np.full((len(texts), top_k), np.log(EPS), np.float32)
        for start, (cos_BK, at_BK) in zip(range(0, len(texts), AT_ONCE), self._nearest(texts, seen)):
            share_BK = (cos_BK / TEMPERATURE).softmax(1).nan_to_num().numpy()  # a single one has nobody left
            for row, (share_K, at_K) in enumerate(zip(share_BK, at_BK.numpy()), start):
                at_K, share_K = at_K[share_K > 0], share_K[share_K > 0]
                near = self.labels.take(at_K)
                ids, place = np.unique(near.values, return_inverse=True)
                votes = np.bincount(place, np.repeat(share_K, near.lengths), len(ids))
                best = np.argsort(-votes, kind="stable")[:top_k]
                ids_NK[row, : len(best)] = ids[best]
                evidence_NK[row, : len(best)] = np.log(votes[best] + EPS)
        return Candidates(ids_NK, evidence_NK, np.full(len(texts), np.log(EPS), np.float32))

    def save(self, folder: Path) -> None:
        """Vectors and labels of the training documents, and which run it is."""
        write_number(folder, self.tower_number)
        values, offsets = map(torch.from_numpy, (self.labels.values, self.labels.offsets))
        bank = {"centre_D": self.centre_D, "bank_MD": self.bank_MD, "values": values, "offsets": offsets}
        save_tensors(folder / "bank.safetensors", bank, {})

    @classmethod
    def open(cls, folder: Path, labels: Labels, towers: Towers) -> Self:
        """What was saved."""
        number = read_number(folder)
        bank, _ = load_tensors(folder / "bank.safetensors")
        kept = Ragged(bank["values"].numpy(), bank["offsets"].numpy())
        steps, values = np.diff(kept.offsets), kept.values
        whole = len(kept) == len(bank["bank_MD"]) and kept.offsets[0] == 0 and kept.offsets[-1] == len(values)
        if not whole or (steps < 0).any() or not ((values >= 0) & (values < len(labels))).all():
            raise ValueError("bank.safetensors is not of these labels")
        return cls(number, towers[number], bank["centre_D"], bank["bank_MD"], kept)


def without_itself(cos_BK: Tensor) -> Tensor:
    """Of one neighbour more than vote, the nearest first: -inf for the text itself, else for the last one."""
    places_K, first_B1 = torch.arange(cos_BK.shape[1]), (cos_BK[:, :1] > ITSELF).long()
    votes_BK = (places_K >= first_B1) & (places_K < first_B1 + NEAREST)
    return cos_BK.masked_fill(~votes_BK, -torch.inf)
