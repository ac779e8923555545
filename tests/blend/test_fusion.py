"""How much members' words count: pairs by a slow reference, weights by Newton's method and by promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import expit

from xmlkit.blend.fusion import Pairs, Weights, fit, pairs_of
from xmlkit.blend.member import Candidates
from xmlkit.data.ragged import Ragged

NUMBERS = st.floats(-9, 9, width=32)


@st.composite
def members(draw):
    """What up to three members say of up to four texts, some places empty, and the labels' counts."""
    num_texts, num_labels = draw(st.integers(0, 4)), draw(st.integers(1, 6))
    said = []
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.integers(0, num_labels))
        rows = []
        for _ in range(num_texts):
            named = draw(st.permutations(range(num_labels)))[:width]
            rows.append([label if draw(st.booleans()) else -1 for label in named])
        ids_NK = np.array(rows, np.int64).reshape(num_texts, width)
        evidence = draw(st.lists(NUMBERS, min_size=ids_NK.size, max_size=ids_NK.size))
        floor = draw(st.lists(NUMBERS, min_size=num_texts, max_size=num_texts))
        said.append(
            Candidates(
                ids_NK, np.array(evidence, np.float32).reshape(ids_NK.shape), np.array(floor, np.float32)
            )
        )
    counts = draw(st.lists(st.integers(0, 50), min_size=num_labels, max_size=num_labels))
    return said, np.array(counts)


@st.composite
def judged(draw):
    """Pairs with few different logits, and their documents' true labels, some of them unknown."""
    said, counts_L = draw(members())
    pairs = pairs_of(said, counts_L)
    z = draw(st.lists(st.integers(-1, 1), min_size=len(pairs.texts_V), max_size=len(pairs.texts_V)))
    true = st.lists(st.integers(0, len(counts_L) + 1), unique=True).map(sorted)
    rows = draw(st.lists(true, min_size=pairs.num_texts, max_size=pairs.num_texts))
    return pairs, np.array(z, float), rows


def pairs_by_hand(said, counts_L):
    """(text, label) to its numbers."""
    found = {}
    for member, candidates in enumerate(said):
        for text, ids in enumerate(candidates.ids_NK.tolist()):
            for place, label in enumerate(ids):
                if label >= 0:
                    numbers = found.setdefault(
                        (text, label), [0.0] * len(said) + [np.log(1 + counts_L[label]), 1.0]
                    )
                    above = candidates.evidence_NK[text, place] - candidates.floor_N[text]
                    numbers[member] = max(above, 0.0)
    return found


# ------------------------------------------------------------------------------------------ pairs


@given(members())
def test_pairs_are_the_union_of_what_members_name(given_):
    said, counts_L = given_
    pairs, expected = pairs_of(said, counts_L), pairs_by_hand(said, counts_L)
    assert list(zip(pairs.texts_V.tolist(), pairs.labels_V.tolist())) == sorted(expected)
    assert pairs.num_texts == len(said[0].ids_NK)
    assert pairs.numbers_VF.shape == (len(expected), len(said) + 2)
    for numbers, key in zip(pairs.numbers_VF, sorted(expected), strict=True):
        np.testing.assert_allclose(numbers, expected[key], rtol=1e-6)


@given(judged(), st.integers(1, 7))
def test_ranked_is_sorting_by_hand(given_, k):
    """Of two equal ones that first which is less below a floor, then the smaller label; a text without a pair
    has no label."""
    pairs, z_V, _ = given_
    below_V = np.zeros(len(z_V)) if pairs.below_V is None else pairs.below_V
    ids_Nk, z_Nk = pairs.ranked(z_V, k)
    assert ids_Nk.shape == z_Nk.shape == (pairs.num_texts, k)
    for text in range(pairs.num_texts):
        of_text = [v for v in range(len(z_V)) if pairs.texts_V[v] == text]
        best = sorted((-z_V[v], below_V[v], int(pairs.labels_V[v])) for v in of_text)[:k]
        missing = k - len(best)
        assert ids_Nk[text].tolist() == [label for _, _, label in best] + [-1] * missing
        assert z_Nk[text].tolist() == [-minus for minus, _, _ in best] + [-np.inf] * missing


def test_texts_without_a_pair_stand_between_others():
    ids_NK = np.array([[-1, -1], [2, 0], [-1, -1], [1, -1], [-1, -1]])
    said = Candidates(ids_NK, np.zeros((5, 2), np.float32), np.zeros(5, np.float32))
    pairs = pairs_of([said], np.ones(3))
    ids_Nk, z_Nk = pairs.ranked(np.array([0.5, 0.5, -3.0]), 3)
    assert ids_Nk.tolist() == [[-1, -1, -1], [0, 2, -1], [-1, -1, -1], [1, -1, -1], [-1, -1, -1]]
    assert z_Nk[1].tolist() == [0.5, 0.5, -np.inf] and z_Nk[3].tolist() == [-3.0, -np.inf, -np.inf]


@given(judged())
def test_true_are_the_labels_of_the_text(given_):
    pairs, _, rows = given_
    expected = [label in rows[text] for text, label in zip(pairs.texts_V, pairs.labels_V, strict=True)]
    assert pairs.true_V(Ragged.of(rows)).tolist() == expected


@given(judged(), st.data())
def test_taken_texts_keep_their_numbers_and_their_truth(given_, data):
    pairs, z_V, rows = given_
    keep = data.draw(st.lists(st.booleans(), min_size=pairs.num_texts, max_size=pairs.num_texts))
    some = pairs.take(np.array(keep, bool))
    kept = [v for v, text in enumerate(pairs.texts_V) if keep[text]]
    assert some.texts_V.tolist() == pairs.texts_V[kept].tolist()
    assert some.labels_V.tolist() == pairs.labels_V[kept].tolist()
    assert some.numbers_VF.tolist() == pairs.numbers_VF[kept].tolist()
    truth = Ragged.of(rows)
    assert some.true_V(truth).tolist() == pairs.true_V(truth)[kept].tolist()
    whole_Nk, some_Nk = pairs.ranked(z_V, 3)[0], some.ranked(z_V[kept], 3)[0]
    for text, is_kept in enumerate(keep):
        assert some_Nk[text].tolist() == (whole_Nk[text].tolist() if is_kept else [-1] * 3)


@given(members(), st.data())
def test_without_a_member_its_number_is_0_and_nothing_else_changes(given_, data):
    said, counts_L = given_
    pairs = pairs_of(said, counts_L)
    before, member = pairs.numbers_VF.copy(), data.draw(st.integers(0, len(said) - 1))
    rest = pairs.without(member)
    assert (rest.numbers_VF[:, member] == 0).all()
    others = [f for f in range(before.shape[1]) if f != member]
    assert rest.numbers_VF[:, others].tolist() == before[:, others].tolist()
    assert pairs.numbers_VF.tolist() == before.tolist()
    assert rest.labels_V.tolist() == pairs.labels_V.tolist()


# ------------------------------------------------------------------------------------------ fitting

SEEDS = range(3)


def world(seed=0, texts=60, labels=6):
    """Two members, one better than the other, that each name some of the labels."""
    rng = np.random.default_rng(seed)
    true_NL = rng.random((texts, labels)) < 0.3
    said = []
    for noise in (1.0, 3.0):
        e_NL = (2 * true_NL - 2 + rng.normal(0, noise, true_NL.shape)).astype(np.float32)
        ids_NK = np.argsort(-e_NL, 1)[:, :4]
        evidence_NK = np.take_along_axis(e_NL, ids_NK, 1)
        said.append(Candidates(ids_NK, evidence_NK, evidence_NK[:, -1]))
    truth = Ragged.of([np.flatnonzero(row).tolist() for row in true_NL])
    return said, true_NL.sum(0), truth


def made(seed=0):
    said, counts_L, truth = world(seed)
    return pairs_of(said, counts_L), truth


def design(pairs, truth, shrink):
    """All weights in one: each label's own behind those of all, what they are held at and how strongly."""
    x_VF, members = pairs.numbers_VF.astype(float), pairs.numbers_VF.shape[1] - 2
    centre, held = [1 / members] * members + [0.0, 0.0], [0.01] * (members + 2)
    columns = [x_VF]
    for label in np.unique(pairs.labels_V) if shrink is not None else []:
        columns.append(x_VF * (pairs.labels_V == label)[:, None])
        centre, held = centre + [0.0] * (members + 2), held + [shrink] * (members + 2)
    rows = [set(row.tolist()) for row in (truth[n] for n in range(len(truth)))]
    y_V = np.array([label in rows[text] for text, label in zip(pairs.texts_V, pairs.labels_V)], float)
    return np.concatenate(columns, 1), y_V, np.array(centre), np.array(held)


def by_newton(pairs, truth, shrink=None, gain_L=None):
    """The same minimum, all weights end to end, by steps of Newton's that are halved until they help."""
    x_VT, y_V, centre_T, held_T = design(pairs, truth, shrink)
    gain_V = np.ones(len(y_V)) if gain_L is None else np.where(y_V > 0, gain_L[pairs.labels_V], 1)

    def value(theta_T):
        z_V = x_VT @ theta_T
        return gain_V @ (np.logaddexp(0, z_V) - y_V * z_V) + (held_T * (theta_T - centre_T) ** 2).sum() / 2

    theta_T = np.zeros(len(centre_T))
    for _ in range(50):
        p_V = expit(x_VT @ theta_T)
        gradient_T = x_VT.T @ (gain_V * (p_V - y_V)) + held_T * (theta_T - centre_T)
        if abs(gradient_T).max() < 1e-7:
            return theta_T
        hessian_TT = (x_VT * (gain_V * p_V * (1 - p_V))[:, None]).T @ x_VT + np.diag(held_T)
        step_T = np.linalg.solve(hessian_TT, gradient_T)
        while value(theta_T - step_T) > value(theta_T) + 1e-9:
            step_T = step_T / 2
        theta_T = theta_T - step_T
    raise AssertionError("no minimum was found")


def loss(theta_T, pairs, truth, shrink=None, gain_L=None):
    """Of all weights, a pair at a time."""
    x_VT, y_V, centre_T, held_T = design(pairs, truth, shrink)
    total = (held_T * (theta_T - centre_T) ** 2).sum() / 2
    for x_T, y, label in zip(x_VT, y_V, pairs.labels_V, strict=True):
        gain = gain_L[label] if y and gain_L is not None else 1
        total += gain * (np.log1p(np.exp(x_T @ theta_T)) - y * (x_T @ theta_T))
    return total


def flat(weights):
    return np.concatenate([weights.w_F, weights.d_UF.ravel()])


def of_flat(theta_T, pairs, shrink):
    known_U = np.unique(pairs.labels_V) if shrink is not None else np.zeros(0, int)
    return Weights(theta_T[:4], known_U, theta_T[4:].reshape(-1, 4))


def alike(ours, theirs, pairs):
    """The members' weights and all logits; that of the frequency and the constant hardly matter apart."""
    np.testing.assert_allclose(ours.w_F[:2], theirs.w_F[:2], atol=5e-3)
    np.testing.assert_allclose(ours.d_UF[:, :2], theirs.d_UF[:, :2], atol=5e-3)
    np.testing.assert_allclose(ours.z_V(pairs), theirs.z_V(pairs), atol=0.02)


@pytest.mark.parametrize("gain", [False, True], ids=["plain", "gain"])
@pytest.mark.parametrize("shrink", [None, 30.0, 300.0, 1000.0])
def test_the_weights_are_those_of_newtons_method(shrink, gain):
    for seed in SEEDS:
        pairs, truth = made(seed)
        gain_L = np.linspace(0.5, 4, 6) if gain else None
        expected_T = by_newton(pairs, truth, shrink, gain_L)
        alike(fit(pairs, truth, shrink, gain_L), of_flat(expected_T, pairs, shrink), pairs)


@pytest.mark.parametrize("shrink", [0.1, 3.0])
def test_labels_that_are_hardly_held_leave_no_more_to_gain_than_a_trifle(shrink):
    """Some of the weights may be far off, as nothing depends on them."""
    for seed in SEEDS:
        pairs, truth = made(seed)
        least = loss(by_newton(pairs, truth, shrink), pairs, truth, shrink)
        plain_T = np.concatenate([fit(pairs, truth).w_F, np.zeros(6 * 4)])
        assert loss(plain_T, pairs, truth, shrink) > least + 1
        assert loss(flat(fit(pairs, truth, shrink)), pairs, truth, shrink) < least + 0.01


@pytest.mark.parametrize("shrink", [None, 3.0])
def test_the_gradient_is_that_of_the_loss(shrink, monkeypatch):
    """By central differences of a slow reference."""
    pairs, truth = made()
    gain_L, given_ = np.linspace(0.5, 4, 6), []
    real = optimize.minimize
    monkeypatch.setattr(
        optimize, "minimize", lambda fun, x, **more: given_.append(fun) or real(fun, x, **more)
    )
    weights = fit(pairs, truth, shrink, gain_L)
    theta_T = np.random.default_rng(2).normal(0, 0.5, flat(weights).shape)
    value, gradient_T = given_[0](theta_T)
    assert value == pytest.approx(loss(theta_T, pairs, truth, shrink, gain_L))
    for place in range(len(theta_T)):
        step_T = 1e-4 * (np.arange(len(theta_T)) == place)
        above, below = (loss(theta_T + sign * step_T, pairs, truth, shrink, gain_L) for sign in (1, -1))
        assert gradient_T[place] == pytest.approx((above - below) / 2e-4, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("shrink", [None, 1.0])
def test_any_other_weight_loses_more(shrink):
    pairs, truth = made()
    theta_T = flat(fit(pairs, truth, shrink))
    least = loss(theta_T, pairs, truth, shrink)
    for place in range(len(theta_T)):
        for step in (-0.05, 0.05):
            other_T = theta_T.copy()
            other_T[place] += step
            assert loss(other_T, pairs, truth, shrink) > least


def test_the_better_member_counts_more():
    for seed in SEEDS:
        w_F = fit(*made(seed)).w_F
        assert w_F[0] > 2 * abs(w_F[1]) > 0


@pytest.mark.parametrize("shrink", [None, 1.0])
def test_the_order_of_pairs_does_not_count(shrink):
    pairs, truth = made()
    order = np.random.default_rng(1).permutation(len(pairs.texts_V))
    shuffled = Pairs(pairs.num_texts, pairs.texts_V[order], pairs.labels_V[order], pairs.numbers_VF[order])
    ours, theirs = fit(pairs, truth, shrink), fit(shuffled, truth, shrink)
    alike(ours, theirs, pairs)
    assert ours.known_U.tolist() == theirs.known_U.tolist()


@pytest.mark.parametrize("shrink", [None, 1.0])
def test_swapped_members_have_swapped_weights(shrink):
    said, counts_L, truth = world()
    ours = fit(pairs_of(said, counts_L), truth, shrink)
    theirs = fit(pairs_of(said[::-1], counts_L), truth, shrink)
    swapped = Weights(theirs.w_F[[1, 0, 2, 3]], theirs.known_U, theirs.d_UF[:, [1, 0, 2, 3]])
    alike(ours, swapped, pairs_of(said, counts_L))
    assert abs(ours.w_F[0] - ours.w_F[1]) > 0.1


def test_a_gain_of_2_is_each_true_pair_twice():
    pairs, truth = made()
    again = np.sort(np.concatenate([np.arange(len(pairs.texts_V)), np.flatnonzero(pairs.true_V(truth))]))
    twice = Pairs(pairs.num_texts, pairs.texts_V[again], pairs.labels_V[again], pairs.numbers_VF[again])
    for shrink in (None, 1.0):
        ours = fit(pairs, truth, shrink, np.full(6, 2.0))
        alike(ours, fit(twice, truth, shrink), pairs)
        assert abs(flat(ours) - flat(fit(pairs, truth, shrink))).max() > 0.1


def test_without_shrinkage_there_are_no_weights_of_labels():
    weights = fit(*made())
    assert weights.known_U.shape == (0,) and weights.d_UF.shape == (0, 4)


def test_labels_that_are_held_hard_have_hardly_weights_of_their_own():
    pairs, truth = made()
    plain, free = fit(pairs, truth), fit(pairs, truth, 1.0)
    held = fit(pairs, truth, 1e5)
    np.testing.assert_allclose(held.z_V(pairs), plain.z_V(pairs), atol=0.02)
    assert abs(free.z_V(pairs) - plain.z_V(pairs)).max() > 0.5
    assert abs(held.d_UF).max() < 1e-3 < 0.1 < abs(free.d_UF).max()


def test_a_label_that_is_always_wrong_is_ranked_down():
    """Both members name label 0 before the true one, and that before a wrong one, for every text."""
    true = np.arange(40) % 5 + 1
    ids_NK = np.stack([np.zeros(40, np.int64), true, true % 5 + 1], 1)
    evidence_NK = np.tile(np.array([-0.1, -0.5, -3], np.float32), (40, 1))
    pairs = pairs_of([Candidates(ids_NK, evidence_NK, evidence_NK[:, 2])] * 2, np.full(6, 8))
    truth = Ragged.of(true[:, None].tolist())
    first = [pairs.ranked(fit(pairs, truth, shrink).z_V(pairs), 1)[0][:, 0] for shrink in (None, 1.0)]
    assert (first[0] == 0).all()
    assert first[1].tolist() == true.tolist()


def test_of_no_pairs_all_members_count_alike():
    pairs, truth = made()
    nothing = pairs.take(np.zeros(pairs.num_texts, bool))
    for shrink in (None, 1.0):
        weights = fit(nothing, truth, shrink)
        assert weights.w_F.tolist() == [0.5, 0.5, 0.0, 0.0] and weights.d_UF.shape == (0, 4)
        assert weights.z_V(nothing).shape == (0,)


def test_z_is_the_sum_of_the_docstring():
    """Known are labels 1 and 4: 0, between them and above them only the weights of all count."""
    rng = np.random.default_rng(0)
    texts_V, labels_V = np.repeat(np.arange(2), 6), np.tile(np.arange(6), 2)
    pairs = Pairs(2, texts_V, labels_V, rng.normal(size=(12, 4)).astype(np.float32))
    own = {1: rng.normal(size=4), 4: rng.normal(size=4)}
    weights = Weights(rng.normal(size=4), np.array([1, 4]), np.stack([own[1], own[4]]))
    rows = zip(weights.z_V(pairs), weights.adds_VF(pairs), labels_V, pairs.numbers_VF, strict=True)
    for z, adds, label, x_F in rows:
        terms = [(weights.w_F[f] + (own[label][f] if label in own else 0)) * x_F[f] for f in range(4)]
        assert z == pytest.approx(sum(terms))
        assert adds == pytest.approx([*terms[:2], sum(terms[2:])])


def test_to_read_candidates_is_to_pair_and_weigh_them():
    said, counts_L, truth = world()
    pairs = pairs_of(said, counts_L)
    weights = fit(pairs, truth, 300.0)
    read, z_V = weights.read(said, counts_L)
    assert (read.texts_V.tolist(), read.labels_V.tolist()) == (
        pairs.texts_V.tolist(),
        pairs.labels_V.tolist(),
    )
    assert z_V.tolist() == weights.z_V(pairs).tolist()


def test_labels_below_a_floor_stay_in_their_order():
    """A member that is asked for more labels than its floor is of ranks all of them."""
    ids_NK = np.random.default_rng(0).permutation(9)[None]
    said = Candidates(ids_NK, np.arange(9, 0, -1, dtype=np.float32)[None], np.array([5], np.float32))
    pairs, z_V = Weights.of_one().read([said], np.ones(9))
    assert pairs.ranked(z_V, 9)[0].tolist() == said.ranked(9).tolist() == ids_NK.tolist()
    kept_L = np.arange(9) % 2 == 0
    some = [label for label in ids_NK[0].tolist() if kept_L[label]]
    only, z_V = pairs.only(kept_L), z_V[kept_L[pairs.labels_V]]
    assert only.ranked(z_V, 5)[0].tolist() == [some]
