"""What an ensemble's members add to the whole.

N texts, U labels, S members, V pairs of a text and a label, X numbers of a label.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmlkit.blend.member import NAMED, Candidates
from xmlkit.blend.opening import Ensemble
from xmlkit.explain.occlusion import Numbers


def numbers_of(model: Ensemble, text: str, rows: Sequence[int], top_k: int) -> Numbers:
    """Of variants of a text, for each of these labels: the score, what each member adds, and any rest.

    Who looks whole texts up knows nothing of a variant: what it says of the text stays.
    """
    whole, depth = model.whole, max(top_k, NAMED)
    kept = [member.candidates([text], depth) if member.looks_texts_up else None for member in whole.members]

    def numbers(texts: Sequence[str]) -> np.ndarray:
        said = [
            member.candidates(texts, depth) if always is None else _repeated(always, len(texts))
            for member, always in zip(whole.members, kept, strict=True)
        ]
        pairs, z_V = whole.fusion.read(said, whole.seen_L)
        numbers_VX = np.column_stack([whole.calibration(z_V), whole.fusion.adds_VF(pairs)])
        keys_V = pairs.texts_V * len(model.labels) + pairs.labels_V
        wanted_NU = np.arange(len(texts))[:, None] * len(model.labels) + np.asarray(rows)
        at_NU = np.searchsorted(keys_V, wanted_NU).clip(max=max(len(keys_V) - 1, 0))
        named_NU = keys_V[at_NU] == wanted_NU if len(keys_V) else np.zeros(wanted_NU.shape, bool)
        numbers_NUX = np.zeros((*wanted_NU.shape, numbers_VX.shape[1]))
        numbers_NUX[named_NU] = numbers_VX[at_NU[named_NU]]
        return numbers_NUX

    return numbers


def _repeated(said: Candidates, count: int) -> Candidates:
    ids, evidence, floors = said.ids_NK, said.evidence_NK, said.floor_N
    return Candidates(ids.repeat(count, 0), evidence.repeat(count, 0), floors.repeat(count, 0))
