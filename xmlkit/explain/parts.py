"""What the parts of a model say for a label, as far as they can.

A label's logit is a sum: what words add to it, votes of training documents, and the rest, its bias and what
the encoder makes of the text among it.

P spans of a text, U labels, D document width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xmlkit.data.corpus import Labels
from xmlkit.data.ragged import Ragged
from xmlkit.data.tokens import encodings
from xmlkit.explain.occlusion import Fall
from xmlkit.explain.words import widened, words
from xmlkit.model.folder import Opened
from xmlkit.model.inputs import Reader
from xmlkit.passing import Contributions, Voters


@dataclass(frozen=True)
class Added:
    """What a word, or words beside each other, add to a label's logit, wherever they stand in the text."""

    text: str
    adds: float


@dataclass(frozen=True)
class Neighbour:
    """A training document that votes for a label."""

    place: int  # among those that the model keeps
    likeness: float  # cosine of both documents' vectors
    share: float  # of the vote
    labels: tuple[str, ...]  # names of all that it has


@dataclass(frozen=True)
class Said:
    """What a run's parts, or a member of an ensemble, say for one label."""

    member: str  # its name; empty where the model is a run
    logit: float | None = None  # of the label in a run, votes included; None where it is no candidate there
    by_words: float | None = None  # of the logit: the sum of `words`; None where no part can tell
    by_votes: float = 0.0  # of the logit
    words: tuple[Added, ...] = ()  # all, the strongest first, be they for it or against it
    documents: tuple[Neighbour, ...] = ()  # the likest first
    adds: float | None = None  # of a member: to the whole's logit, or, where scores are summed, to their mean
    falls: tuple[Fall, ...] = ()  # of `adds`, in the order of the text
    silent: str | None = None  # why it can't be explained


@torch.no_grad()
def said(name: str, opened: Opened, text: str, labels: Sequence[str]) -> dict[str, Said]:
    """For each of these labels, by ids, that the run knows; of a shortlist those that it holds."""
    model, rows = opened.model, opened.labels.rows
    read = encodings([text], opened.tokenizer, opened.config.text_cap, offsets=True)
    tokens = Ragged.of(read["input_ids"], np.int32)
    reader = Reader(tokens, model.encoder.template, opened.config.max_len)
    documents = reader.documents(np.zeros(1, np.int64)).to(model.device)
    with model.encoder.rounded(documents):
        states = model.encoder(documents)
    vectors = model.vectors(documents)
    asks = not model.shortlister.every_label or model.shortlister.adds_votes
    short = model.shortlister(vectors, documents, None) if asks else None
    held = None
    votes: dict[int, float] = {}
    if short is not None:
        ids = short.ids_BC[0][short.mask_BC[0]].tolist()
        votes = {} if short.votes_BC is None else dict(zip(ids, short.votes_BC[0][short.mask_BC[0]].tolist()))
        held = None if model.shortlister.every_label else set(ids)
    known = [label for label in labels if label in rows and (held is None or rows[label] in held)]
    if not known:
        return {}
    rank_1D = vectors.rank_BD if short is None else short.rank_BD
    ids_U = torch.tensor([rows[label] for label in known], device=model.device)
    model.head.take_batch(None)
    z_U = model.head.scores_BC(rank_1D, ids_U[None])[0].tolist()

    contributions = None
    if torch.equal(rank_1D, vectors.rank_BD):  # else a shortlist has changed what words are a sum in
        directions_UD = model.head.directions_UD(rank_1D, _label_vectors(model.head, ids_U))
        if directions_UD is not None:
            contributions = model.representation.contributions(states, directions_UD)
    adds = _by_words(text, read["offset_mapping"][0], contributions, len(known))
    voters = neighbours(model.shortlister.voters(vectors, documents), opened.labels)
    found = {}
    for number, label in enumerate(known):
        row = rows[label]
        of_votes = votes.get(row, 0.0)
        by_words = None if contributions is None else float(contributions.adds_PU[:, number].sum())
        near = tuple(neighbour for neighbour, has in voters if row in has)
        found[label] = Said(name, z_U[number] + of_votes, by_words, of_votes, adds[number], near)
    return found


def _label_vectors(head: torch.nn.Module, ids_U: torch.Tensor) -> torch.Tensor:
    """Of labels in any order; the head is asked for unique ones, ascending."""
    unique, slots = torch.unique(ids_U, return_inverse=True)
    vectors: torch.Tensor = head.label_vectors_UE(unique)  # type: ignore[operator]
    return vectors[slots]


def _by_words(
    text: str, offsets: Sequence[tuple[int, int]], found: Contributions | None, count: int
) -> list[tuple[Added, ...]]:
    """Of each label: spans of tokens as whole words, those that are spelt alike as one."""
    if found is None:
        return [()] * count
    places = words(text)
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(count))
    shown: dict[str, str] = {}
    wide: dict[tuple[int, int], str] = {}
    for (first, behind), adds_U in zip(found.spans_P2.tolist(), found.adds_PU.double().cpu().numpy()):
        if (first, behind) not in wide:
            begin, end = widened(places, offsets[first][0], offsets[behind - 1][1])
            wide[first, behind] = " ".join(text[begin:end].split())
        spelt = wide[first, behind]
        shown.setdefault(spelt.casefold(), spelt)
        sums[spelt.casefold()] += adds_U
    return [
        tuple(
            Added(shown[key], float(adds_U[number]))
            for key, adds_U in sorted(sums.items(), key=lambda one: -abs(one[1][number]))
        )
        for number in range(count)
    ]


def neighbours(voters: Voters | None, labels: Labels) -> list[tuple[Neighbour, set[int]]]:
    """Documents that vote, and the rows of their labels."""
    if voters is None:
        return []
    found, offsets = [], voters.labels.offsets.tolist()
    values = voters.labels.values_V.tolist()
    columns = (voters.places_N.tolist(), voters.likeness_N.tolist(), voters.share_N.tolist())
    for number, (place, likeness, share) in enumerate(zip(*columns)):
        has = values[offsets[number] : offsets[number + 1]]
        names = tuple(labels.name(row) for row in has)
        found.append((Neighbour(place, likeness, share, names), set(has)))
    return found
