"""What breaks a contract is named at the first call: plugin, hook, class and method, expected and found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch

from xmlkit import Head, LossCombiner, Representation, Shortlist, Shortlister, UserError, Vectors

STARTS = range(0, 24, 3)


def broken(part_class, door, **model_settings):
    """What is said when this part stands around a clustered model's at a door, trained and asked."""
    ours = tiny.model(24, starts=STARTS, shortlist=2, label_width=8, **model_settings)
    part = part_class(getattr(ours, door))
    inner = part
    while not inner.owner:
        inner.owner = "mine"
        inner = inner.inner
    setattr(ours, door, part)
    documents, training = tiny.batch(["w1 w2", "w3"], 24)
    with pytest.raises(UserError) as error:
        ours.backward(ours(documents, training))
        ours.rank(documents, 3)
    assert "\n" not in str(error.value)
    return str(error.value)


def representation(change):
    class Own(Representation):
        def forward(self, states):
            return change(self.inner(states))

    return broken(Own, "representation")


def test_a_representation():
    where = "plugin 'mine', representation: Own.forward: "
    assert representation(lambda v: None) == (
        where + "it is None (is a `return` missing?), expected a Vectors"
    )
    assert representation(lambda v: v.rank_BD).startswith(where + "it is of type Tensor, expected a Vectors")
    assert representation(lambda v: Vectors(v.recall_BD[:, :5], v.rank_BD)) == (
        where + "recall_BD is (2, 5), expected (2, 96)"
    )
    assert representation(lambda v: Vectors(v.recall_BD, v.rank_BD[:1])) == (
        where + "rank_BD is (1, 96), expected (2, 96)"
    )
    assert representation(lambda v: Vectors(v.recall_BD, v.rank_BD.int())) == (
        where + "rank_BD is of torch.int32, expected float"
    )
    assert representation(lambda v: Vectors(v.recall_BD, v.rank_BD.double())).startswith(
        where + "rank_BD is of torch.float64, expected float32"
    )


def shortlist(change):
    class Own(Shortlister):
        def forward(self, vectors, documents, training):
            return change(self.inner(vectors, documents, training), training)

    return broken(Own, "shortlister").removeprefix("plugin 'mine', shortlist: Own.forward: ")


@pytest.mark.parametrize(
    ("field", "change", "expected"),
    [
        ("ids_BC", torch.Tensor.int, "ids_BC is of torch.int32, expected int64"),
        ("ids_BC", lambda ids_BC: ids_BC[0], "ids_BC is (10,), expected (2, 10)"),
        ("ids_BC", lambda _: None, "ids_BC is None (is a `return` missing?), expected a tensor (2, 1)"),
        ("mask_BC", torch.Tensor.float, "mask_BC is of torch.float32, expected bool"),
        ("prior_BC", lambda prior_BC: prior_BC[:, :2], "prior_BC is (2, 2), expected (2, 10)"),
        ("rank_BD", lambda rank_BD: rank_BD[:, :2], "rank_BD is (2, 2), expected (2, 96)"),
        ("truth_BC", lambda _: None, "truth_BC is None (is a `return` missing?), expected a tensor (2, 10)"),
        ("losses", lambda _: {}, "losses are [], expected ['generator'] as loss_names has it"),
        (
            "losses",
            lambda losses: {name: loss.expand(2) for name, loss in losses.items()},
            "generator is (2,), expected ()",
        ),
    ],
)
def test_a_field_of_a_shortlist(field, change, expected):
    assert shortlist(lambda s, _: replace(s, **{field: change(getattr(s, field))})) == expected


def test_a_shortlist():
    assert shortlist(lambda s, _: s.ids_BC).startswith("it is of type Tensor, expected a Shortlist")
    assert "at prediction there is no truth" in shortlist(
        lambda s, training: s if training else replace(s, truth_BC=s.mask_BC)
    )

    assert "votes_BC is (2, 5), expected (2, 6)" in shortlist(
        lambda s, training: s if training else replace(s, votes_BC=s.prior_BC[:, 1:])
    )

    class Quiet(Shortlister):
        loss_names = ()

    assert "losses are ['generator'], expected []" in broken(Quiet, "shortlister")


def test_where_every_label_is_scored_a_shortlist_is_there_for_its_votes():
    ours, (documents, training) = tiny.model(24), tiny.batch(["w1 w2", "w3"], 24)

    class Own(Shortlister):
        adds_votes = True
        votes_B1 = None

        def forward(self, vectors, documents, training):
            assert training is None and not self.inner.adds_votes
            ids_B1 = torch.zeros(2, 1, dtype=torch.long)
            one_B1 = torch.ones(2, 1)
            return Shortlist(vectors.rank_BD, ids_B1, one_B1.bool(), one_B1, votes_BC=self.votes_B1)

    ours.shortlister = Own(ours.shortlister)
    ours.backward(ours(documents, training))
    with pytest.raises(UserError, match="votes_BC is None, expected votes: every label is scored"):
        ours.rank(documents, 3)
    ours.shortlister.votes_B1 = torch.full((2, 1), 100.0)
    assert ours.rank(documents, 3)[1][:, 0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("method", "found", "expected"),
    [
        ("query_BE", lambda x: torch.zeros(2, 7), "it is (2, 7), expected (2, 8)"),
        ("label_vectors_UE", lambda x: torch.zeros(3, 8), "it is (3, 8), expected ("),
        ("label_bias_U", lambda x: torch.zeros(1, 1), "it is (1, 1), expected ("),
        ("label_bias_U", lambda x: "3", "it is of type str, expected a tensor ("),
    ],
)
def test_a_head(method, found, expected):
    def override(self, argument):
        return found(argument)

    override.__name__ = method
    own = type("Own", (Head,), {method: override})
    assert broken(own, "head").startswith(f"plugin 'mine', head: Own.{method}: {expected}")


def test_products():
    class Own(Head):
        def products_BU(self, query_BE, rows_U):
            return query_BE

        def label_vectors_UE(self, rows_U):
            return self.inner.label_vectors_UE(rows_U)

    assert broken(Own, "head").startswith("plugin 'mine', head: Own.products_BU: it is (2, 8), expected (2, ")


@pytest.mark.parametrize(
    ("method", "found", "expected"),
    [
        ("when_true", lambda self, z, ids: z.sum(), "it is (), expected (2, 10)"),
        ("when_false", lambda self, z, ids: z[:1], "it is (1, 10), expected (2, 10)"),
        ("forward", lambda self, losses: list(losses.values()), "it is of type list, expected the losses"),
        ("forward", lambda self, losses: {**losses, "ranker": torch.ones(2)}, "ranker is (2,), expected ()"),
        (
            "forward",
            lambda self, losses: {"ranker": losses["ranker"]},
            "'generator' is missing, expected each of generator, ranker",
        ),
        ("upstream_BD", lambda self, grads: torch.ones(2), "it is (2,), expected (2, 96)"),
    ],
)
def test_a_loss(method, found, expected):
    found.__name__ = method
    own = type("Own", (LossCombiner,), {method: found})
    assert broken(own, "combiner").startswith(f"plugin 'mine', loss: Own.{method}: {expected}")


def test_an_override_takes_what_the_contract_gives():
    with pytest.raises(TypeError, match=r"Own\.forward\(self\) can't be called as forward\(self, states"):

        class Own(Representation):
            def forward(self):
                return self.inner()

    class Fine(Representation):
        def forward(self, states, more=3):
            return self.inner(states)

    class FineToo(Representation):
        def forward(self, *arguments):
            return self.inner(*arguments)

    documents, training = tiny.batch(["w1"])
    for part in (Fine, FineToo):
        model = tiny.model()
        model.representation = part(model.representation)
        model(documents, training)


def test_an_override_may_call_what_it_overrides():
    """It promises what it returns, not what it gets from there."""

    class Wider(Representation):
        def __init__(self, inner):
            super().__init__(inner, inner.recall_width + 1, inner.rank_width + 1)

        def forward(self, states):
            vectors = super().forward(states)
            one = torch.cat([vectors.rank_BD, vectors.rank_BD[:, :1]], 1)
            return Vectors(one, one)

    model = tiny.model()
    model.representation = Wider(model.representation)
    assert model.vectors(tiny.batch(["w1"])[0]).rank_BD.shape == (1, 97)


def test_a_mixin_is_held_to_the_contract_too():
    mixin = type("Mixin", (), {"forward": lambda self, states: None})
    own = type("Own", (mixin, Representation), {})
    assert "Own.forward: it is None" in broken(own, "representation")
    final = type("Mixin", (), {"scores_BC": lambda self, rank_BD, ids_BC, num_labels=None: rank_BD})
    with pytest.raises(TypeError, match=r"Own\.scores_BC overrides what is final"):
        type("Own", (final, Head), {})


def test_a_helper_of_like_name_that_is_used_is_fine():
    class Own(Head):
        def label_vectors(self, rows_U):
            return self.inner.label_vectors_UE(rows_U)

        def label_vectors_UE(self, rows_U):
            return self.label_vectors(rows_U)

    assert Own


def test_what_is_final_is_not_overridden():
    with pytest.raises(TypeError, match=r"Own\.scores_BC overrides what is final"):

        class Own(Head):
            def scores_BC(self, rank_BD, ids_BC, num_labels=None):
                return rank_BD


@pytest.mark.parametrize(
    ("contract", "name", "meant"),
    [
        (LossCombiner, "when_tru", "when_true"),
        (Head, "query_BD", "query_BE"),
        (Head, "label_vector_UE", "label_vectors_UE"),
        (Representation, "forwards", "forward"),
    ],
)
def test_a_method_that_nothing_would_call(contract, name, meant):
    with pytest.raises(TypeError, match=f"Own.{name}: nothing of this name is called; did you mean {meant}"):
        type("Own", (contract,), {name: lambda self: None})
    assert type("Own", (contract,), {f"_{name}": lambda self: None, "helper": lambda self: None})


def test_products_alone_would_not_be_called():
    with pytest.raises(TypeError, match=r"Own\.products_BU needs label_vectors_UE beside it"):
        type("Own", (Head,), {"products_BU": lambda self, query_BE, rows_U: query_BE})


def test_the_innermost_part_at_fault_is_named():
    """A wrapper around it only passes on what it got."""

    class Inner(Representation):
        def forward(self, states):
            return None

    class Outer(Representation):
        def forward(self, states):
            return self.inner(states)

    assert broken(lambda part: Outer(Inner(part)), "representation").startswith(
        "plugin 'mine', representation: Inner.forward"
    )
