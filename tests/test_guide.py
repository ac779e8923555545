"""The author's guide is true: its examples do what they say, and its table is the kit's."""

from __future__ import annotations

import inspect

import pytest
import tiny
import torch
import torch.nn.functional as F
from installing import GUIDE, ROOT

from xmlkit.testing.checks import CHECKS

TEXTS = ["w1 w2 w3", "w9 w1", "", "w5 w4 w40 w41 w7"]


def test_there_is_one_for_each_hook_point():
    hooks = ["def loss(", "def representation(", "def shortlist(", "def head("]
    found = {hook: [name for name, source in GUIDE.items() if hook in source] for hook in hooks}
    assert all(len(names) == 1 for names in found.values()) and len(GUIDE) == 4


def test_every_check_stands_in_the_guide():
    guide = (ROOT / "plugins" / "README.md").read_text()
    for name, function in CHECKS.items():
        assert f"| `{name}` | {' '.join(inspect.getdoc(function).split())} |" in guide


def test_label_smoothing_is_cross_entropy_with_soft_targets(example_plugins):
    options = {"label-smoothing": {"amount": 0.2}}
    model = tiny.model(plugins=["label-smoothing"], options=options, start="random").eval()
    documents, training = tiny.batch(TEXTS, seed=2)
    z = model.head.scores_BU(model.vectors(documents).rank_BD, slice(0, 23))
    truth = training.labels.contains(torch.arange(23).expand(4, -1))
    expected = F.binary_cross_entropy_with_logits(z, torch.where(truth, 0.8, 0.2), reduction="sum") / 4
    torch.testing.assert_close(model(documents, training).losses["ranker"], expected)


def test_attention_pooling_begins_as_the_mean_and_can_choose_one_token(example_plugins):
    model = tiny.model(plugins=["attention-pooling"], dropout=0).eval()
    documents, _ = tiny.batch(TEXTS)
    with torch.no_grad():
        h_BTH = model.encoder(documents).layers[-1]
        means = [h[mask].mean(0) for h, mask in zip(h_BTH, documents.mask_BT, strict=True)]
        torch.testing.assert_close(model.vectors(documents).rank_BD, torch.stack(means))
        model.representation.w_H.normal_(std=300)
        for h, mask, x in zip(h_BTH, documents.mask_BT, model.vectors(documents).rank_BD, strict=True):
            chosen = (h[mask] @ model.representation.w_H).argmax()
            torch.testing.assert_close(x, h[mask][chosen], atol=1e-3, rtol=1e-3)


def test_in_batch_adds_the_labels_of_the_others(example_plugins):
    """As sets: the plain shortlist's candidates and all labels of the batch; each with its truth."""
    settings = {"starts": range(0, 24, 3), "shortlist": 2, "label_width": 8}
    plain, ours = tiny.model(24, **settings), tiny.model(24, plugins=["in-batch"], **settings)
    documents, training = tiny.batch(TEXTS, 24, seed=1)
    with torch.no_grad():
        vectors = plain.eval().vectors(documents)
        before, after = (m.shortlister(vectors, documents, training) for m in (plain, ours))
        asked = ours.shortlister(vectors, documents, None)
    everyones = set(training.labels.values_V.tolist())
    for row in range(len(TEXTS)):
        own = set(before.ids_BC[row][before.mask_BC[row]].tolist())
        assert sorted(after.ids_BC[row][after.mask_BC[row]].tolist()) == sorted(own | everyones)
        true = training.labels.values_V[training.labels.documents_V == row].tolist()
        assert sorted(after.ids_BC[row][after.truth_BC[row]].tolist()) == true
    assert asked.ids_BC.shape == (4, 6)


@pytest.mark.parametrize("starts", [None, range(0, 24, 3)], ids=["flat", "clustered"])
def test_cosine_is_the_cosine(example_plugins, starts):
    options = {"cosine": {"scale": 3.0}}
    model = tiny.model(24, plugins=["cosine"], options=options, starts=starts, start="random").eval()
    documents, _ = tiny.batch(TEXTS)
    with torch.no_grad():
        torch.nn.init.normal_(next(iter(model.head.parameters())))
        x, every = model.vectors(documents).rank_BD, slice(0, 24)
        inner = model.head.inner
        cosine = F.cosine_similarity(
            inner.query_BE(x)[:, None], inner.label_vectors_UE(every)[None], dim=2, eps=1e-9
        )
        expected = 9 * cosine + inner.label_bias_U(every)
        torch.testing.assert_close(model.head.scores_BU(x, every), expected, atol=1e-4, rtol=1e-4)


def test_the_way_to_a_part_is_as_the_guide_says(example_plugins):
    guide = (ROOT / "plugins" / "README.md").read_text()
    (code,) = [block for block in guide.split("```") if "tiny_batch(" in block]
    code = code.removeprefix("python\n").replace("my-idea", "cosine")
    found = {}
    exec(compile(code, "guide", "exec"), found)
    assert type(found["mine"]).__name__ in ("FirstTokens", "TokenMean")
    assert found["vectors"].rank_BD.shape[0] == 3 and "ranker" in found["losses"]
