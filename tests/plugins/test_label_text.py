"""Label names in the label vectors: by hand, beside plain differentiation, and through whole runs."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import tiny
import torch
import torch.nn.functional as F
from installing import install
from safetensors.torch import load_file
from torch import nn
from xmlkit_plugins.label_text import Named

import xmlkit
from xmlkit import Incompatible
from xmlkit.data.corpus import Corpus, Labels, validation_rows
from xmlkit.data.ragged import Ragged
from xmlkit.model.folder import read_labels
from xmlkit.model.inputs import ragged_labels
from xmlkit.testing import check_plugin
from xmlkit.testing.tiny import SETTINGS, fit, named_corpus, tiny_run, tiny_trainer
from xmlkit.training import train as training
from xmlkit.training.rows import forget_rows, row_parameters

LABELS = 23
TEXTS = ["w1 w2 w3", "w9", "", "w5 w4 w40 w41 w7"]
STARTS = pytest.mark.parametrize("starts", [None, [0, 9, 15]], ids=["flat", "clustered"])
CLUSTERED = pytest.mark.parametrize("clustered", [False, True], ids=["flat", "clustered"])
OURS = {"plugins": ["label-text"], "precision": "float32"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


def a_model(starts=None, plugins=("label-text",), num_labels=LABELS, options=None, **own):
    """In float64, of labels with the names w0, w1 and so on."""
    settings = {"start": "random", "dropout": 0.0, "label_width": 16, "shortlist": 2}
    options = {"label-text": own, **(options or {})} if "label-text" in plugins else options
    names_LH = torch.zeros(num_labels, 32)
    made = tiny.model(num_labels, plugins, options, starts=starts, names=names_LH, **settings)
    return made.double().train()


def query(model, text):
    """The text alone on its way to the label vectors, from the numbers of the innermost part."""
    base = model.head
    while base.inner is not None:
        base = base.inner
    x_D = model.vectors(tiny.batch([text])[0]).rank_BD[0]
    if hasattr(base.centre, "centre_D"):
        x_D = (x_D - base.centre.centre_D) / (x_D - base.centre.centre_D).norm()
    return x_D if isinstance(base.project, nn.Identity) else base.project.weight @ x_D + base.project.bias


def name(model, text):
    return query(model, text) / query(model, text).norm()


def names_by_hand(model, texts):
    """One text at a time, without dropout; an empty one is nothing."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = [name(model, text) if text else torch.zeros(model.head.width) for text in texts]
    model.train(was_training)
    return torch.stack(found)


def moved(model):
    """With an encoder that is another one."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=rng, dtype=weight.dtype)
    return model


def close(one, other):
    return torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------------------------------------ label vectors


@STARTS
def test_label_vectors_are_rows_and_names_by_hand(starts):
    """Of more labels than are encoded in one go."""
    model = a_model(starts, num_labels=300, scale=2.5)
    model.head.refresh()
    rows_LE = model.head.inner.rows.weight
    ids = [299, 0, 255, 256, 7]
    names_UE = names_by_hand(model, [f"w{i % 60}" for i in ids])
    with torch.no_grad():
        expected_UE = torch.stack([rows_LE[i] + 2.5 * n_E for i, n_E in zip(ids, names_UE, strict=True)])
        torch.testing.assert_close(model.head.label_vectors_UE(torch.tensor(ids)), expected_UE)
        found_UE = model.head.label_vectors_UE(slice(255, 257))
        torch.testing.assert_close(found_UE, expected_UE[2:4])
        assert names_UE.norm(dim=1).tolist() == pytest.approx([1.0] * 5)


@STARTS
@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("rows", [slice(0, LABELS), slice(3, 17), torch.tensor([20, 1, 9, 3, 22])], ids=str)
def test_products_are_those_with_the_label_vectors(starts, through, rows):
    """And these have the names of the batch's true labels anew with `through`, and no others."""
    model = a_model(starts, through=through)
    _, training = tiny.batch(TEXTS)
    model.head.refresh()
    kept_LE = model.head.names_LE.clone()
    moved(model)
    model.head.take_batch(training)
    assert torch.equal(model.head.names_LE, kept_LE)
    anew_LE = names_by_hand(model, [f"w{i}" for i in range(LABELS)])
    is_true_L = torch.isin(torch.arange(LABELS), training.labels.values_V)
    assert is_true_L.any() and not is_true_L.all() and (anew_LE - kept_LE).norm(dim=1).min() > 1e-3
    names_LE = torch.where(is_true_L[:, None], anew_LE, kept_LE) if through else kept_LE
    query_BE = torch.randn(4, model.head.width, dtype=torch.double)
    vectors_UE = model.head.label_vectors_UE(rows)
    expected_UE = (model.head.inner.rows.weight + model.head.scale * names_LE)[rows]
    torch.testing.assert_close(vectors_UE, expected_UE)
    torch.testing.assert_close(model.head.products_BU(query_BE, rows), query_BE @ vectors_UE.T)


def test_at_prediction_all_names_are_those_of_the_encoder_as_it_is():
    """Also while it is trained with `through`, whose fresh names are of the batch alone."""
    model = a_model(through=True)
    documents, training = tiny.batch(TEXTS)
    model.backward(model(documents, training))
    moved(model)
    anew_LE = names_by_hand(model, [f"w{i}" for i in range(LABELS)])
    head = model.head_for_prediction()
    expected_LE = model.head.inner.rows.weight + model.head.scale * anew_LE
    torch.testing.assert_close(head.vectors_LE, expected_LE.detach())
    model.head.names_LE.zero_()
    model.rank(documents, 5)
    assert not model.head.names_LE.any()  # once, and not for each batch


def test_a_batch_without_a_true_label_has_no_name_to_learn_through():
    """Nor those of the batch before."""
    model = a_model(through=True)
    documents, training = tiny.batch(TEXTS)
    model.head.refresh()
    model.backward(model(documents, training))
    none = ragged_labels(Ragged.of([[], [], [], []]), LABELS)
    moved(model)
    model.backward(model(documents, replace(training, labels=none)))
    vectors_LE = model.head.inner.rows.weight + model.head.scale * model.head.names_LE
    torch.testing.assert_close(model.head.label_vectors_UE(slice(0, LABELS)), vectors_LE)


DROPS = """
from torch import nn
from xmlkit import Head, hookimpl
class Drops(Head):
    def __init__(self, inner):
        super().__init__(inner)
        self.dropout = nn.Dropout(0.5)
    def query_BE(self, rank_BD):
        return self.dropout(self.inner.query_BE(rank_BD))
@hookimpl(wrapper=True)
def head(): return Drops((yield))
"""


@STARTS
@pytest.mark.parametrize("drops", ["encoder", "representation", "head"])
def test_encoding_anew_has_no_dropout_and_leaves_modes_and_generators_alone(plugin_folder, starts, drops):
    """Whatever has some; in training, and while the head alone is asked for a prediction."""
    install(plugin_folder, "drops", DROPS)
    model = a_model(starts, plugins=["drops", "label-text"])
    of = {"encoder": model.encoder, "representation": model.representation, "head": model.head}
    for door, part in of.items():
        found = [module for module in part.modules() if isinstance(module, nn.Dropout)]
        assert found
        for module in found:
            module.p = 0.5 if door == drops else 0.0
    documents, _ = tiny.batch(["w7"])
    queries = [model.head.query_BE(model.vectors(documents).rank_BD) for _ in range(2)]
    assert not torch.equal(*queries)  # there is dropout
    model.eval()
    with torch.no_grad():
        query_1E = model.head.query_BE(model.vectors(documents).rank_BD)
    for head_trains in (True, False):
        model.train().head.train(head_trains)
        before, modes = torch.get_rng_state(), [module.training for module in model.modules()]
        model.head.names_LE.zero_()
        model.head.refresh()
        torch.testing.assert_close(model.head.names_LE[7], query_1E[0] / query_1E.norm())
        assert torch.equal(torch.get_rng_state(), before)
        assert [module.training for module in model.modules()] == modes


# ---------------------------------------------------------------------------------------------- gradients


def plain_gradients(model, documents, training, through):
    """The loss in one graph: names of true labels anew if learnt through, all others constant."""
    head = model.head
    names = list(head.names_LE.clone())
    for i in sorted(set(training.labels.values_V.tolist())) if through else ():
        names[i] = name(model, f"w{i}")
    vectors_LE = head.inner.rows.weight.detach() + head.scale * torch.stack(names)
    vectors = model.vectors(documents)
    z_BL = head.inner.query_BE(vectors.rank_BD) @ vectors_LE.T
    truth_BL = training.labels.contains(torch.arange(LABELS).expand(len(z_BL), -1)).double()
    if model.shortlister.every_label:
        z_BL = z_BL + head.inner.biases.weight.detach()[:, 0]
        loss = F.binary_cross_entropy_with_logits(z_BL, truth_BL, reduction="sum") / len(z_BL)
    else:
        short = model.shortlister(vectors, documents, training)
        z_BC, truth_BC = z_BL.gather(1, short.ids_BC), truth_BL.gather(1, short.ids_BC)
        cost_BC = F.binary_cross_entropy_with_logits(z_BC, truth_BC, reduction="none") * short.mask_BC
        loss = cost_BC.sum() / len(z_BL) + sum(short.losses.values())
    model.zero_grad()
    loss.backward()
    return dense_gradients(model)


def dense_gradients(model):
    rows = row_parameters(model)
    forget_rows(rows)
    found = {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None and p not in set(rows)
    }
    model.zero_grad()
    return found


@STARTS
def test_gradients_are_those_of_plain_differentiation(starts):
    """Of encoder, scale and projection, with and without `through`; the two differ."""
    documents, training = tiny.batch(TEXTS)
    found = {}
    for through in (False, True):
        model = a_model(starts, through=through)
        rng = torch.Generator().manual_seed(1)
        names_LE = torch.randn(LABELS, model.head.width, generator=rng, dtype=torch.double)
        model.head.names_LE.copy_(names_LE)  # unlike what the encoder makes of them
        model.backward(model(documents, training))
        found[through] = dense_gradients(model)
        expected = plain_gradients(model, documents, training, through)
        assert found[through].keys() == expected.keys() and "head.scale" in expected
        for key, gradient in expected.items():
            torch.testing.assert_close(found[through][key], gradient)
    key = next(key for key in expected if key.endswith("word_embeddings.weight"))
    change_TH = (found[True][key] - found[False][key]).abs().sum(1)
    names = [4 + i for i in training.labels.values_V.tolist()]  # w0 is behind four special tokens
    assert change_TH[names].min() > 1e-6
    others = sorted(set(range(6, 64)) - {*names, *documents.tokens_BT.flatten().tolist()})
    assert not found[True][key][others].any()


def test_a_frozen_encoder_is_not_learnt_through():
    documents, training = tiny.batch(TEXTS)
    model = a_model([0, 9, 15], through=True)
    model.encoder.freeze()
    model.head.refresh()
    model.backward(model(documents, training))
    found = dense_gradients(model)
    expected = plain_gradients(model, documents, training, True)
    assert found.keys() == expected.keys() and not any(key.startswith("encoder") for key in found)
    torch.testing.assert_close(found["head.inner.project.weight"], expected["head.inner.project.weight"])


def test_beside_full_head_the_gradients_are_those_of_all_labels_at_once():
    documents, training = tiny.batch(TEXTS)
    found = []
    for plugins in (["label-text"], ["full-head", "label-text"], ["label-text", "full-head"]):
        options = {"full-head": {"labels_at_once": 5}} if len(plugins) > 1 else {}
        model = a_model(plugins=plugins, options=options)
        model.head.refresh()
        output = model(documents, training)
        model.backward(output)
        found.append({"loss": output.losses["ranker"].detach(), **dense_gradients(model)})
    plain, *ours = found
    for gradients in ours:
        assert gradients.keys() == plain.keys()
        for key, gradient in plain.items():
            torch.testing.assert_close(gradients[key], gradient)


@pytest.mark.parametrize("plugins", [["full-head", "label-text"], ["label-text", "full-head"]], ids="+".join)
def test_through_and_full_head_do_not_go_together(plugins):
    with pytest.raises(Incompatible, match=r"^label-text\.through=true .*leave out full-head$"):
        a_model(plugins=plugins, through=True)


# --------------------------------------------------------------------------------------- names, and none


def renamed(names):
    """The tiny corpus with other names, by id."""
    corpus = named_corpus()
    texts = [names.get(label, text) for label, text in zip(corpus.labels.ids, corpus.labels.names)]
    return replace(corpus, labels=Labels(corpus.labels.ids, texts))


def prepared(folder, encoder, corpus=None, start_from=None, **given):
    settings = {**SETTINGS, **OURS, "clustered": False, **({"encoder": encoder} if encoder else {}), **given}
    return training.prepare(corpus or named_corpus(), settings, folder, start_from)


@CLUSTERED
def test_a_label_without_a_name_has_none_added(tmp_path, encoder, clustered):
    """Neither one whose name is its id nor one whose name is empty; w7's is too long to be read whole."""
    corpus = renamed({"w3": "w3", "w5": "", "w7": "w7 w8 w9 w10 w11"})
    trainer = prepared(
        tmp_path / "run", encoder, corpus, clustered=clustered, **{"label-text": {"longest": 5}}
    )
    head, row_of = trainer.model.head, corpus.labels.rows
    if clustered:
        fit(trainer)  # the order of the rows is the run's
        row_of = xmlkit.load(tmp_path / "run").labels.rows
    head.refresh()
    texts = dict(zip(corpus.labels.ids, corpus.labels.names)) | {"w3": "", "w7": "w7 w8 w9"}
    found_LE = names_by_hand(trainer.model, texts.values())
    for label, name_E in zip(texts, found_LE, strict=True):
        torch.testing.assert_close(head.names_LE[row_of[label]], name_E, rtol=1e-4, atol=1e-5)
    rows = torch.tensor([row_of["w3"], row_of["w5"]])
    assert not head.names_LE[rows].any() and (head.names_LE.norm(dim=1) > 0.99).sum() == 10
    assert torch.equal(head.label_vectors_UE(rows), head.inner.label_vectors_UE(rows))


def test_where_labels_have_no_names_there_is_nothing_to_do(tmp_path, encoder, capsys):
    corpus = named_corpus()
    corpus = replace(corpus, labels=Labels(corpus.labels.ids, None))
    fit(prepared(tmp_path / "run", encoder, corpus))
    assert capsys.readouterr().err.count("label-text: nothing to do") == 1
    opened = xmlkit.load(tmp_path / "run")
    assert not any(isinstance(part, Named) for part in opened.opened.model.modules())
    assert opened.predict(["w1"]) and "label-text" not in capsys.readouterr().err


def test_without_an_encoder_there_is_nothing_to_do(tmp_path, capsys):
    given = {"plugins": ["lexical", "label-text"], "lexical": {"width": 8, "buckets": 100}}
    trainer = prepared(tmp_path / "run", "none", **given)
    assert capsys.readouterr().err.count("label-text: nothing to do") == 1
    assert not any(isinstance(part, Named) for part in trainer.model.modules())


# -------------------------------------------------------------------------------------------- whole runs


def logits(model):
    model.eval()
    with torch.no_grad():
        rank_BD = model.vectors(tiny.batch(TEXTS)[0]).rank_BD
        return model.head.scores_BU(rank_BD, slice(0, model.num_labels))


@pytest.mark.parametrize(
    ("clustered", "label_width", "has_names"),
    [(False, 16, True), (True, 16, False), (True, 32, True)],
    ids=["flat", "narrow", "clustered as wide as documents"],
)
def test_a_warm_start_scores_as_it_does_without_names(tmp_path, clustered, label_width, has_names):
    given = {"start": "warm", "clustered": clustered, "label_width": label_width, "pooling": "mean"}
    plain = tiny_trainer(tmp_path / "plain", {**given, "precision": "float32"}).model
    ours = tiny_trainer(tmp_path / "ours", {**given, **OURS}).model
    z_BL = logits(plain)
    torch.testing.assert_close(logits(ours), z_BL, rtol=1e-4, atol=1e-3)
    assert z_BL.std() > 0.1
    vectors_LE, head = plain.head.rows.weight.detach(), ours.head
    expected_LE = names_by_hand(ours, read_labels(tmp_path / "ours")[0].names)
    torch.testing.assert_close(head.names_LE, expected_LE, rtol=1e-4, atol=1e-5)
    if not has_names:
        assert head.scale == 0 and torch.equal(head.inner.rows.weight, plain.head.rows.weight)
        return
    # Least squares: the scale at which what is left to the rows is shortest.
    scales = [factor * float(head.scale.detach()) for factor in (0.99, 1.0, 1.01)]
    left = [float((vectors_LE - s * head.names_LE).norm()) for s in scales]
    assert left[1] < min(left[0], left[2]) and scales[1] > 0.1
    assert float(head.inner.rows.weight.detach().norm()) == pytest.approx(left[1], rel=1e-4)


@CLUSTERED
@pytest.mark.parametrize("start", ["prior", "warm"])
def test_a_run_begins_near_where_it_does_without_names(clustered, start):
    """Whatever length document vectors have."""
    plain, ours = (
        tiny_run(plugins, clustered=clustered, start=start, precision="float32").losses[0]["ranker"]
        for plugins in ([], ["label-text"])
    )
    assert ours == pytest.approx(plain, rel=0.5 if start == "prior" else 1e-3)


WATCHES = """
'''Notes names and weights.'''
from xmlkit import hookimpl
seen = []
def note(what, run):
    weights = {name: tensor.clone() for name, tensor in run.model.weights().items()}
    seen.append((what, weights))
@hookimpl
def step_ended(run, step): note(f"step {step}", run)
@hookimpl
def evaluated(run): note("evaluated", run)
"""


def test_names_are_encoded_anew_at_their_time_and_not_between(tmp_path, plugin_folder, encoder):
    """Every three steps, before an evaluation, here every four, and at the end by the best encoder."""
    install(plugin_folder, "watches", WATCHES)
    given = {"label-text": {"refresh": 3}, "eval_every": 4, "max_steps": 8, "validation": 0.2}
    trainer = prepared(tmp_path / "run", encoder, plugins=["watches", "label-text"], **given)
    model, texts = trainer.model, named_corpus().labels.names
    last_LE = names_by_hand(model, texts)
    fit(trainer)
    from watches import seen

    expected = ["step 3", "evaluated", "step 6", "evaluated", "evaluated"]
    assert [what for what, _ in seen if what == "evaluated" or what in expected] == expected
    last_LE, is_first = last_LE.float(), True
    for what, weights in seen:
        names_LE = weights["head/label-text/names_LE"]
        model.load_weights(weights)
        anew_LE = names_by_hand(model, texts).float()
        if what in expected:
            torch.testing.assert_close(names_LE, anew_LE, rtol=1e-4, atol=1e-5)
            last_LE, is_first = names_LE, False
        else:
            assert close(names_LE, last_LE) if is_first else torch.equal(names_LE, last_LE)
            assert not close(names_LE, anew_LE)
    opened = xmlkit.load(tmp_path / "run").opened.model
    torch.testing.assert_close(opened.head.names_LE, names_by_hand(opened, texts), rtol=1e-4, atol=1e-5)


@CLUSTERED
@pytest.mark.parametrize("averaging", [{}, {"swa_start": 0, "swa_every": 1}], ids=["live", "averaged"])
def test_a_saved_model_has_the_names_of_its_own_encoder(tmp_path, encoder, averaging, clustered):
    """Nothing was held out to be scored; the average of weights has an encoder of its own."""
    fit(prepared(tmp_path / "run", encoder, lr=1e-2, clustered=clustered, **averaging))
    opened = xmlkit.load(tmp_path / "run")
    expected_LE = names_by_hand(opened.opened.model, opened.labels.names)
    torch.testing.assert_close(opened.opened.model.head.names_LE, expected_LE, rtol=1e-4, atol=1e-5)


@CLUSTERED
@pytest.mark.parametrize("averaging", [{}, {"swa_start": 0, "swa_every": 1}], ids=["live", "averaged"])
def test_an_evaluated_model_has_the_names_of_its_own_encoder(tmp_path, encoder, averaging, clustered):
    """Broken off behind an evaluation; the average of weights has an encoder of its own."""
    given = {"eval_every": 2, "validation": 0.2, "lr": 1e-2, "clustered": clustered, **averaging}
    with tiny.killed_before_step(4):
        fit(prepared(tmp_path / "run", encoder, **given))
    opened = xmlkit.load(tmp_path / "run")
    expected_LE = names_by_hand(opened.opened.model, opened.labels.names)
    torch.testing.assert_close(opened.opened.model.head.names_LE, expected_LE, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("killed", [3, 5], ids=["just after a refresh", "later"])
@pytest.mark.parametrize(
    "given",
    [
        {"start": "warm"},
        {"clustered": True},
        {"swa_start": 0, "swa_every": 2},
        {"label-text": {"refresh": 3, "through": True}, "dropout": 0.3, "clustered": True},
    ],
    ids=["flat", "clustered", "averaged", "through"],
)
def test_a_run_that_goes_on_ends_with_the_same_weights(tmp_path, encoder, given, killed):
    given = {"label-text": {"refresh": 3}, "max_steps": 8, **given}
    given |= {"checkpoint_every": 3, "eval_every": 4, "validation": 0.2}
    fit(prepared(tmp_path / "whole", encoder, **given))
    with tiny.killed_before_step(killed):
        fit(prepared(tmp_path / "killed", encoder, **given))
    training.resume(tmp_path / "killed", named_corpus())
    whole, broken = (load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "killed"))
    assert whole.keys() == broken.keys() and "head/label-text/names_LE" in whole
    assert all(torch.equal(whole[key], broken[key]) for key in whole)


@CLUSTERED
def test_an_opened_model_predicts_as_before_and_encodes_no_name(tmp_path, encoder, clustered):
    trainer = prepared(tmp_path / "run", encoder, clustered=clustered)
    fit(trainer)
    documents, _ = tiny.batch(TEXTS)
    opened, other = (xmlkit.load(tmp_path / "run").opened.model for _ in range(2))
    other.head.names_LE.zero_()
    without = other.rank(documents, 12, other.head_for_prediction())
    assert not other.head.names_LE.any()
    other.head.scale.data.zero_()
    for before, after, bare, found in zip(
        trainer.model.eval().rank(documents, 12),
        opened.rank(documents, 12),
        other.rank(documents, 12),
        without,
    ):
        assert torch.equal(before, after)
        torch.testing.assert_close(bare, found)


def test_a_run_may_start_from_another_with_its_own_names(tmp_path, encoder):
    """Rows and scale are the other run's, and the other encoder reads the names of this one."""
    start = prepared(tmp_path / "start", encoder)
    fit(start)
    corpus = renamed({label: f"{label} w50 w51" for label in named_corpus().labels.ids})
    ours = prepared(tmp_path / "ours", None, corpus, tmp_path / "start", max_steps=1)
    weights = load_file(tmp_path / "start" / "model.safetensors")
    assert all(
        torch.equal(tensor, weights[key])
        for key, tensor in ours.model.weights().items()
        if "names" not in key
    )
    anew_LE = names_by_hand(ours.model, corpus.labels.names)
    ours.events.run_started(ours.run)
    torch.testing.assert_close(ours.model.head.names_LE, anew_LE, rtol=1e-4, atol=1e-5)
    assert not close(anew_LE, weights["head/label-text/names_LE"])


def test_a_run_may_start_from_one_without_names(tmp_path, encoder):
    fit(prepared(tmp_path / "start", encoder, plugins=[]))
    ours = prepared(tmp_path / "ours", None, None, tmp_path / "start", **{"label-text": {"scale": 0.5}})
    rows_LE = load_file(tmp_path / "start" / "model.safetensors")["head/lightxml/rows.weight"]
    ours.events.run_started(ours.run)
    names_LE = names_by_hand(ours.model, named_corpus().labels.names)
    with torch.no_grad():
        found_LE = ours.model.head.label_vectors_UE(slice(0, 12))
    torch.testing.assert_close(found_LE, rows_LE + 0.5 * names_LE, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- labels without documents


def corpus_with_new_labels(count):
    """Held-out documents have labels by words that say nothing in the others."""
    known = tiny.learnable_corpus(600)
    texts, labels = known.train.texts, known.train.labels
    found = [[known.labels.ids[label] for label in labels[row]] for row in range(len(labels))]
    held_out = validation_rows(texts, 0.2, 10**6).nonzero()[0].tolist()
    for row in held_out:
        found[row] += [f"new{i}" for i in range(count) if f"w{20 + i}" in texts[row].split()]
    corpus = Corpus.of(texts, found, name="new")
    names = [label if label[0] == "w" else f"w{20 + int(label[3:])} w41" for label in corpus.labels.ids]
    return replace(corpus, labels=Labels(corpus.labels.ids, names)), held_out


@CLUSTERED
@pytest.mark.parametrize("count", [3, 8])
def test_how_well_labels_without_documents_are_found_is_said_as_a_loop_has_it(
    tmp_path, encoder, clustered, count, capsys
):
    corpus, held_out = corpus_with_new_labels(count)
    given = {"validation": 0.2, "start": "warm", "pooling": "mean", "clustered": clustered}
    fit(prepared(tmp_path / "run", encoder, corpus, **given))
    said = " ".join(capsys.readouterr().err.split())
    opened = xmlkit.load(tmp_path / "run")
    model, rows = opened.opened.model, opened.labels.rows
    base, head = model.head.inner, model.head
    names_LE = names_by_hand(model, [t if t != i else "" for t, i in zip(opened.labels.names, rows)])
    new = [label for label in rows if label.startswith("new")]
    k, hits_1, hits_k, asked = min(5, len(new)), 0, 0, 0
    for row in held_out:
        true = {corpus.labels.ids[label] for label in corpus.train.labels[row]} & set(new)
        if not true:
            continue
        with torch.no_grad():
            q_E = query(model, corpus.train.texts[row])
            z = {
                label: float(
                    q_E @ (base.rows.weight[i] + head.scale * names_LE[i]) + base.biases.weight[i, 0]
                )
                for label, i in ((label, rows[label]) for label in new)
            }
        best = sorted(new, key=z.__getitem__, reverse=True)
        hits_1, hits_k, asked = hits_1 + (best[0] in true), hits_k + len(true & set(best[:k])), asked + 1
    found = re.search(
        r"label-text: (\d+) labels have no training document; of (\d+) held-out documents that have one, "
        rf"P@1 ([\d.]+) and P@{k} ([\d.]+) among these",
        said,
    )
    assert [int(found[1]), int(found[2])] == [len(new), asked] and asked > 10
    assert float(found[3]) == pytest.approx(100 * hits_1 / asked, abs=0.051)
    assert float(found[4]) == pytest.approx(100 * hits_k / asked / k, abs=0.051)
    assert 0 < hits_k < k * asked


@pytest.mark.parametrize("share", [0.2, 0])
def test_nothing_is_said_where_no_held_out_document_has_such_a_label(tmp_path, encoder, share, capsys):
    fit(prepared(tmp_path / "run", encoder, validation=share))
    assert "no training document" not in capsys.readouterr().err


@pytest.mark.slow
def test_learnt_through_it_keeps_the_contracts_too(checks):
    check_plugin("label-text", {"through": True}, beside=[])
