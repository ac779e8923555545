"""How good a blend is on documents that its weights have not seen, and what each member is worth in it.

The held-out documents are halved; weights of either half rank the other, so that each is judged once.

N held-out documents, V pairs, S members, L labels.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from xmlkit.blend.aim import Aim, Mean, difference
from xmlkit.blend.forms import FORMS, RARE, Form
from xmlkit.blend.fusion import Pairs, Weights, pairs_of
from xmlkit.blend.member import NAMED, Candidates
from xmlkit.blend.reranking import Reranked
from xmlkit.data.ragged import Ragged
from xmlkit.labels.propensity import inverse_propensities
from xmlkit.measures.scoring import Scoring

TRIED, TRUE = 64, 3  # documents of a trial, and labels of each


@dataclass(frozen=True)
class Judge:
    """Held-out documents, and by what is judged."""

    truth: Ragged
    scoring: Scoring
    aim: Aim

    def scores(self, ids_NK: np.ndarray) -> dict[str, float]:
        """All metrics of a ranking, in percent."""
        return self.scoring.scores(ids_NK, self.truth)

    def terms(self, ids_NK: np.ndarray) -> Mean:
        """What counts, document by document."""
        return self.aim.of(self.scoring.terms(ids_NK, self.truth))

    def gain_L(self, rare: float) -> np.ndarray:
        """What a true label counts in fitting, one on average: in part its inverse propensity, else alike."""
        by, counts_L = self.scoring, self.scoring.counts_L
        gain_L = inverse_propensities(counts_L, by.num_documents, by.propensity_a, by.propensity_b)
        known = self.truth.values[self.truth.values < len(counts_L)]
        mean = gain_L[known].mean() if len(known) else 1.0
        return 1 - rare + rare * gain_L / mean

    def fit(self, pairs: Pairs, form: Form) -> Weights | Reranked:
        """By pairs' documents."""
        return form.fit(pairs, self.truth, self.gain_L(form.rare))

    @property
    def depth(self) -> int:
        """Ranks that are looked at."""
        return max(self.scoring.ks)

    def unseen_V(self, pairs: Pairs, form: Form) -> np.ndarray:
        """The logits of all pairs, each by what was fitted to the other half of the documents."""
        halves_N = np.random.default_rng(0).permutation(pairs.num_texts) % 2 == 0
        z_V = np.zeros(len(pairs.texts_V))
        for half_N in (halves_N, ~halves_N):
            fusion = self.fit(pairs.take(half_N), form)
            z_V[~half_N[pairs.texts_V]] = fusion.z_V(pairs.take(~half_N))
        return z_V

    def chosen(self, pairs: Pairs) -> tuple[Form, np.ndarray]:
        """The form that ranks best, the plainest of equal ones, and the logits with it.

        How much rare labels count is looked at for that form alone.
        """

        def best(tried: list[tuple[Form, np.ndarray]]) -> tuple[Form, np.ndarray]:
            return max(tried, key=lambda pair: self.terms(pairs.ranked(pair[1], self.depth)[0]).percent)

        first = best([(form, self.unseen_V(pairs, form)) for form in FORMS])
        others = [first[0]._replace(rare=rare) for rare in RARE[1:]]
        return best([first, *((form, self.unseen_V(pairs, form)) for form in others)])

    def losses(
        self, pairs: Pairs, z_V: np.ndarray, members: int, form: Form
    ) -> list[tuple[float, float, float]]:
        """Points that the metric loses where each member's word does not count, and a 95% interval."""
        whole = self.terms(pairs.ranked(z_V, self.depth)[0])
        found = []
        for member in range(members):
            rest = pairs.without(member)
            other = self.terms(rest.ranked(self.unseen_V(rest, form), self.depth)[0])
            found.append(difference(whole, other))
        return found


def price_of_fitting(documents: int, members: int) -> float:
    """Seconds to judge and fit a blend by so many held-out documents: by a trial with made-up members.

    Trees take most of their time whoever looks at them: from 64 to 2,000 documents of four made-up members it
    went as the 0.68th power of their number.
    """
    import sklearn.ensemble  # noqa: F401  # which is no part of a trial

    few = min(TRIED, documents)
    rng = np.random.default_rng(0)
    ids_NK = rng.permuted(np.tile(np.arange(2 * NAMED), (few, 1)), axis=1)
    truth = Ragged.of(np.sort(ids_NK[:, :TRUE]).tolist())
    said = []
    for _ in range(members):
        rng.permuted(ids_NK[:, TRUE:], axis=1, out=ids_NK[:, TRUE:])
        evidence_NK = rng.normal(size=(few, NAMED)).astype(np.float32)
        evidence_NK[:, :TRUE] += 2
        said.append(Candidates(ids_NK[:, :NAMED].copy(), evidence_NK, evidence_NK.min(1)))
    counts_L = np.ones(2 * NAMED, np.int64)
    judge = Judge(truth, Scoring(counts_L, few, (5,), 0.55, 1.5), Aim(("P@5",)))
    begun = time.perf_counter()
    pairs = pairs_of(said, counts_L)
    judge.chosen(pairs)
    chosen = time.perf_counter()
    judge.fit(pairs, FORMS[-1])  # which takes the longest; to see what a member is worth takes two of it
    taken = chosen - begun + (1 + 2 * members) * (time.perf_counter() - chosen)
    return taken * (documents / few) ** 0.68
