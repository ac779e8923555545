"""A teacher's scores as a loss: by hand, against a slow reference, from real files and real runs."""

from __future__ import annotations

import gzip
import json
import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from commands import xmlkit as command
from installing import install
from marking import mostly_slow
from safetensors.torch import load_file
from xmlkit_plugins.distil import Options

import xmlkit
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.errors import UserError
from xmlkit.passing import RaggedLabels, Training
from xmlkit.testing import check_plugin
from xmlkit.testing.tiny import losses_of, named_corpus
from xmlkit.training import train as training
from xmlkit.training.feed import micro_batches_of
from xmlkit.training.rows import row_gradient, row_parameters, unite_rows

L = 23
STARTS = {"flat": None, "clustered": range(0, L, 3)}
DOCUMENTS = tiny.texts(50)  # those that tiny.model is trained on, so to say


def write(path: Path, answers) -> Path:
    """Texts with their labels' scores, as `predict --format jsonl` has them."""
    lines = [
        json.dumps({"text": text, "labels": [{"label": k, "name": k, "score": v} for k, v in scores]}) + "\n"
        for text, scores in answers
    ]
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(lines)
    return path


def random_answers(texts, label_ids, most=6, seed=0):
    """Of each text up to so many labels, best first; of some none."""
    rnd = random.Random(seed)
    for text in texts:
        scores = [(label, round(rnd.random(), 6)) for label in rnd.sample(label_ids, rnd.randint(0, most))]
        yield text, sorted(scores, key=lambda pair: -pair[1])


def by_text(answers):
    """The last answer about each text."""
    return {" ".join(text.split()): dict(scores) for text, scores in answers}


def model(path, starts=None, **settings):
    options = {name: settings.pop(name) for name in ("top_k", "weight", "temperature") if name in settings}
    options = {"distil": {"teacher": str(path), **options}}
    shape = {"start": "random", "dropout": 0.0, "shortlist": 2, "label_width": 8}
    return tiny.model(L, ["distil"], options, starts=starts, **{**shape, **settings})


@pytest.fixture
def answers():
    """Of three in four documents."""
    return list(random_answers(DOCUMENTS[:38], [f"l{label}" for label in range(L)]))


def batch(*places):
    """Documents of the batch are those at these places of the training documents."""
    documents, given = tiny.batch([DOCUMENTS[place] if place >= 0 else "w1" for place in places], L)
    return documents, replace(given, rows_B=torch.tensor(places))


# ------------------------------------------------------------------------------------------ the mathematics


def test_by_hand(tmp_path):
    """T = 2. A score of 4/5 has the logit log 4, and q = sigmoid(log 2) = 2/3; likewise 1/5 and 1/3.

    z / T = log 3, so softplus(-z / T) = log(4/3) and softplus(z / T) = log 4; at z = 0 both are log 2. Scores
    of 1 and 0 stay what they are. The second document has one label, the third no answer, the last is a name.
    """
    first, second = "w1 w2", "w3"
    scores = [("l0", 1.0), ("l4", 0.8), ("l7", 0.2), ("l9", 0.0)]
    path = write(tmp_path / "scores.jsonl", [(DOCUMENTS[0], scores), (DOCUMENTS[1], [("l2", 0.5)])])
    asked = []

    def scores_BX(ids_BX):
        asked.append(ids_BX)
        z = {0: 2 * math.log(3), 4: 2 * math.log(3), 7: 0.0, 9: 2 * math.log(3), 2: 2 * math.log(3)}
        return torch.tensor([[z[label] for label in row] for row in ids_BX.tolist()])

    _, given = tiny.batch([first, second, "w4", "w5"], L)
    given = replace(given, rows_B=torch.tensor([0, 1, 40, -1]))
    one = math.log(4 / 3) + 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(4) + math.log(2) + math.log(4)
    two = 0.5 * math.log(4 / 3) + 0.5 * math.log(4)
    for reduction, expected in (("sum", 4 * (one + two) / 4), ("mean", 4 * (one / 4 + two) / 4)):
        part = model(path, top_k=4, temperature=2, reduction=reduction, weight=3).combiner
        assert part.loss_names == ("distil",)
        (loss,) = part.own_losses(scores_BX, given).values()
        assert loss.item() == pytest.approx(expected)
        weighed = part({"ranker": torch.tensor(5.0), "distil": loss})
        assert weighed["ranker"].item() == 5 and weighed["distil"].item() == pytest.approx(3 * expected)
    assert asked[0][0].tolist() == [0, 4, 7, 9]


def test_a_text_without_labels_by_hand(tmp_path, encoder):
    """T = 2, a score of 4/5: q = 2/3. With z = 2 log 3, softplus(-z / T) = log(4/3), softplus(z / T) = log 4.

    Nothing else is asked of it, whatever its labels are not; the second text has no answer.
    """
    corpus, texts = tiny.learnable_corpus(), ["w57 w58", "w58 w59"]
    (tmp_path / "texts").write_text("\n".join(texts))
    label = corpus.labels.ids[4]
    path = write(tmp_path / "scores.jsonl", [(texts[0], [(label, 0.8), ("never", 0.9)])])
    settings = {**SETTINGS, "encoder": encoder, "unlabelled": str(tmp_path / "texts"), "plugins": ["distil"]}
    settings["distil"] = {"teacher": str(path), "temperature": 2}
    trainer = training.prepare(corpus, settings, tmp_path / "run")
    asked = []

    def scores_BX(ids_BX):
        asked.append(ids_BX)
        return torch.full(ids_BX.shape, 2 * math.log(3))

    none = RaggedLabels(torch.zeros(0, dtype=torch.long), torch.zeros(3, dtype=torch.long), 10, 0)
    given = Training(none, trainer.rng, torch.tensor([-3, -2]), labelled=False)
    loss = trainer.model.combiner.own_losses(scores_BX, given)["distil"].item()
    assert asked[0][1, 0] == 4
    one = 2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(4)
    assert loss == pytest.approx(4 * one / 2)
    data, rows = trainer.data, len(corpus.train) + np.arange(2)
    (batch,) = micro_batches_of(data, rows, trainer.config, trainer.device)
    losses = trainer.model(*batch.on(trainer.device, trainer.rng)).losses
    assert losses["distil"] > 0 == losses["ranker"]


def distil_by_hand(z_BL, places, answers, top_k, temperature, reduction):
    """In Python's own floating point, label by label."""
    known, total = by_text(answers), 0.0
    for z_L, place in zip(z_BL.tolist(), places, strict=True):
        scores = known.get(" ".join(DOCUMENTS[place].split()), {}) if place >= 0 else {}
        best = sorted(scores.items(), key=lambda pair: -pair[1])[:top_k]
        cost = 0.0
        for label, p in best:
            q = 1 / (1 + ((1 - p) / p) ** (1 / temperature)) if p else 0.0
            z = z_L[int(label[1:])] / temperature
            cost += q * math.log1p(math.exp(-z)) + (1 - q) * math.log1p(math.exp(z))
        total += temperature**2 * cost / (max(len(best), 1) if reduction == "mean" else 1)
    return total / len(places)


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 20), (3.5, 2)])
def test_the_loss_is_that_of_a_slow_reference(tmp_path, answers, starts, reduction, temperature, top_k):
    """Documents with scores and without, more than once and not in order, and a label's name."""
    path = write(tmp_path / "scores.jsonl", answers)
    settings = {"temperature": temperature, "top_k": top_k, "reduction": reduction}
    ours, places = model(path, starts, **settings).double(), [31, 4, -1, 45, 4, 0, 12]
    output = ours(*batch(*places))
    with torch.no_grad():
        z_BL = ours.head.scores_BU(ours.vectors(batch(*places)[0]).rank_BD, slice(0, L))
    expected = distil_by_hand(z_BL, places, answers, top_k, temperature, reduction)
    assert expected > 0.1 and output.losses["distil"].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
def test_the_gradient_is_that_of_the_formula_added_to_the_others(tmp_path, answers, starts):
    """weight T (sigmoid(z / T) - q) / B for each label that the teacher names, and no other label has any."""
    path, places = write(tmp_path / "scores.jsonl", answers), (3, 31, 45, 8)
    ours = model(path, starts, temperature=2, weight=1.5).double()
    documents, given = batch(*places)
    total = ours.backward(ours(documents, given))
    found = {name: p.grad for name, p in ours.encoder.named_parameters() if p.grad is not None}
    plain = tiny.model(L, starts=starts, start="random", dropout=0.0, shortlist=2, label_width=8).double()
    rest = plain.backward(plain(documents, given))
    z_BL = plain.head.scores_BU(plain.vectors(documents).rank_BD, slice(0, L))
    slope_BL, known = torch.zeros_like(z_BL), by_text(answers)
    for row, place in enumerate(places):
        for label, p in known.get(" ".join(DOCUMENTS[place].split()), {}).items():
            column = int(label[1:])
            q = 1 / (1 + math.sqrt((1 - p) / p))
            slope_BL[row, column] = 1.5 * 2 * (torch.sigmoid(z_BL[row, column] / 2).item() - q) / len(places)
    assert slope_BL.count_nonzero() > 5
    z_BL.backward(slope_BL)
    for name, weight in plain.encoder.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(found[name], weight.grad, rtol=1e-5, atol=1e-8)
    expected = 1.5 * distil_by_hand(z_BL.detach(), places, answers, 20, 2.0, "sum")
    assert (total - rest).item() == pytest.approx(expected, rel=1e-6)


def test_no_row_is_read_but_of_candidates_and_of_what_the_teacher_names(tmp_path):
    """Rows that are read decay: padding is none of them. With clusters label 0 is far from all candidates."""
    scores = [[("l22", 0.9), ("l20", 0.5), ("l7", 0.1)], [("l21", 0.3)], []]
    path = write(tmp_path / "scores.jsonl", zip(DOCUMENTS[:3], scores, strict=True))
    ours = model(path, STARTS["clustered"], shortlist=1)
    documents, given = batch(0, 1, 2, 40, -1)
    short = ours.shortlister(ours.vectors(documents), documents, given)
    candidates, named = set(short.ids_BC.flatten().tolist()), {22, 20, 7, 21}
    assert candidates.isdisjoint({0, *named})
    ours.backward(ours(documents, given))
    unite_rows(row_parameters(ours))
    (rows_U,) = (row_gradient(weight).rows_U for weight in row_parameters(ours.head))
    assert set(rows_U.tolist()) == candidates | named


@pytest.mark.parametrize("places", [(-1, -1), (45, 40), (-1, 44)])
def test_a_batch_without_any_scores_costs_nothing(tmp_path, answers, places):
    ours = model(write(tmp_path / "scores.jsonl", answers))
    plain, given = tiny.model(L, start="random", dropout=0.0), batch(*places)
    output = ours(*given)
    assert output.losses["distil"].item() == 0
    ours.backward(output)
    plain.backward(plain(*given))
    for own, other in zip(ours.encoder.parameters(), plain.encoder.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("order", [["distil", "loss-fix"], ["loss-fix", "distil"]])
def test_beside_another_combiner_in_any_order(tmp_path, answers, order):
    """Its weights leave this loss alone, and it counts once."""
    path = write(tmp_path / "scores.jsonl", answers)
    options = {"distil": {"teacher": str(path), "weight": 2}}
    options["loss-fix"] = {"mode": "fixed", "generator": 3, "ranker": 5}
    ours = tiny.model(L, order, options, starts=STARTS["clustered"], shortlist=2, start="random")
    output = ours(*batch(0, 1, 2))
    weighed = {"generator": 3, "ranker": 5, "distil": 2}
    assert list(output.losses) == list(weighed)
    expected = sum(weight * output.losses[name].item() for name, weight in weighed.items())
    assert ours.backward(output).item() == pytest.approx(expected)


HAS_ITS_OWN = """
from xmlkit import LossCombiner, hookimpl
class Own(LossCombiner):
    @property
    def loss_names(self): return (*self.inner.loss_names, "own")
    def own_losses(self, scores_BX, training):
        z_BX = scores_BX(training.rows_B[:, None].clamp(min=0))
        return {**self.inner.own_losses(scores_BX, training), "own": z_BX.square().mean()}
@hookimpl(wrapper=True)
def loss(): return Own((yield))
"""


@pytest.mark.parametrize("order", [["distil", "has-its-own"], ["has-its-own", "distil"]])
def test_beside_another_loss_of_its_own(tmp_path, answers, plugin_folder, order):
    install(plugin_folder, "has-its-own", HAS_ITS_OWN)
    path = write(tmp_path / "scores.jsonl", answers)
    both = tiny.model(L, order, {"distil": {"teacher": str(path)}}, start="random", dropout=0.0)
    output, alone = both(*batch(0, 1, 2)), model(path)(*batch(0, 1, 2))
    names = {"distil": "distil", "has-its-own": "own"}
    assert list(output.losses) == ["ranker", *map(names.__getitem__, order)] and output.losses["own"] > 0
    assert output.losses["distil"].item() == pytest.approx(alone.losses["distil"].item())


# ------------------------------------------------------------------------------------------ files of scores


def kept(part):
    """What a part has learnt of each document, label to score before softening at T = 1."""
    rows = zip(part.ids_NK.tolist(), part.soft_NK.tolist(), strict=True)
    return [{label: q for label, q in zip(*row, strict=True) if label >= 0} for row in rows]


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.jsonl.gz"])
def test_answers_find_their_documents_by_the_text(tmp_path, answers, name, capsys):
    """In any order, white space as it may be, beside lines about other texts, the last of several counting.

    Labels need not stand in order, and of those that the student doesn't know there may be some.
    """
    texts = {" ".join(text.split()) for text in DOCUMENTS}
    others = [text for text in tiny.texts(60, seed=7) if " ".join(text.split()) not in texts]
    known, rnd = by_text(answers), random.Random(3)
    wild = [(text, [("l1", 0.5), ("never", 0.5)]) for text in others]
    for text, scores in known.items():
        mixed = [*scores.items(), ("who", 0.99)]
        wild.append((f"\t{text.replace(' ', '  ')}\n", rnd.sample(mixed, len(mixed))))
    rnd.shuffle(wild)
    early = [(DOCUMENTS[0], [("l5", 0.25)]), (DOCUMENTS[1], [(f"l{label}", 0.5) for label in range(9)])]
    part = model(write(tmp_path / name, [*early, *wild]), top_k=3).combiner
    assert part.ids_NK.shape == (50, 3)
    for text, scores in zip(DOCUMENTS, kept(part), strict=True):
        expected = sorted(known.get(" ".join(text.split()), {}).items(), key=lambda pair: -pair[1])[:3]
        assert scores == pytest.approx({int(label[1:]): score for label, score in expected}, abs=1e-6)
    said, counts = capsys.readouterr().err, [len(scores) for scores in kept(part)]
    taught = sum(map(bool, counts))
    assert f"distil.teacher={tmp_path / name}: {taught} of 50 training documents have its scores" in said
    assert f"of {sum(counts) / taught:.1f} labels each; labels that the student doesn't know: 1" in said
    assert "such as 'who'" in said and 0 < taught < 50


def test_the_validation_split_and_the_order_of_labels_do_not_matter(tmp_path):
    """Places are those of the documents that are trained on; with clusters labels have other rows."""
    corpus = tiny.learnable_corpus()
    answers = list(random_answers(corpus.train.texts, corpus.labels.ids))
    path, settings = write(tmp_path / "scores.jsonl", answers), {"encoder": tiny.save_encoder(tmp_path / "e")}
    settings |= {"plugins": ["distil"], "distil": {"teacher": str(path)}, "device": "cpu", "max_len": 16}
    settings |= {"start": "prior", "validation": 0.2, "clustered": True, "cluster_size": 3, "shortlist": 2}
    trainer = training.prepare(corpus, settings, tmp_path / "run")
    part = trainer.model.combiner
    ids = [json.loads(line)["id"] for line in (tmp_path / "run" / "labels.jsonl").read_text().splitlines()]
    rows, known = trainer.data.train_rows, by_text(answers)
    assert ids != corpus.labels.ids and len(rows) == len(part.ids_NK) < len(corpus.train)
    for row, scores in zip(rows, kept(part), strict=True):
        expected = known[" ".join(corpus.train.texts[row].split())]
        assert {ids[label]: score for label, score in scores.items()} == pytest.approx(expected, abs=1e-6)


GOOD = json.dumps({"text": DOCUMENTS[0], "labels": [{"label": "l1", "score": 0.5}]})


def line(**changes):
    """A good line but for what its one label has."""
    found = json.loads(GOOD)
    found["labels"][0].update(changes)
    return json.dumps(found)


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (line(score=1.5), "labels.0.score: Input should be less than or equal to 1"),
        (line(score=-0.1), "labels.0.score: Input should be greater than or equal to 0"),
        (line(score=math.nan), "labels.0.score: Input should be a finite number"),
        (line(score="0.5"), "labels.0.score: Input should be a valid number"),
        (line(score=True), "labels.0.score: Input should be a valid number"),
        (line(score=None), "labels.0.score: Input should be a valid number"),
        (line(label=7), "labels.0.label: Input should be a valid string"),
        ('{"text": "w1", "labels": [{"label": "l1"}]}', "labels.0.score: Field required"),
        ('{"text": "w1", "labels": ["l1"]}', "labels.0: "),
        ('{"text": "w1"}', "labels: Field required"),
        ('{"labels": []}', "text: Field required"),
        ("[1]", "the line: "),
        (GOOD[:-9], "the line: Invalid JSON"),
        ("1\tl1\tw1 w40\t0.5", "the line: Invalid JSON"),
        ("[" * 5000, "the line: Invalid JSON"),
        (b"\xff", "not valid UTF-8"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, bad, expected):
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b"\n".join([GOOD.encode(), b"", bad if isinstance(bad, bytes) else bad.encode(), b""]))
    assert refused(path).startswith(f"{path}:3: {expected}")


def test_files_that_are_none(tmp_path):
    """None there, of another kind, cut short, a folder that is no run, or about something else."""
    missing, other = tmp_path / "nowhere", tmp_path / "scores.txt"
    other.write_text("w1\tl1\t0.5\n")
    assert refused(missing).startswith(f"distil.teacher={missing}: no such folder or file; name a")
    found = refused(other)
    assert found.startswith(f"{other}: neither a .jsonl nor a .tsv file")
    assert str(tmp_path) in refused(tmp_path)
    whole = write(tmp_path / "whole.jsonl.gz", [(text, [("l1", 0.5)]) for text in tiny.texts(500, seed=2)])
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(whole.read_bytes()[:-30])
    assert refused(cut).startswith(f"{cut}: damaged gzip file after line ")
    cut.write_text(GOOD)
    assert refused(cut).startswith(f"{cut}: damaged gzip file after line 0 (Not a gzipped file")
    path = write(tmp_path / "others.jsonl", [("nobody's text", [("l1", 0.5)])])
    nothing = f"distil.teacher={path}: 0 of 50 training documents have its scores; "
    assert refused(path) == nothing + "their texts are not among those that it labels"
    write(path, [(DOCUMENTS[0], [("b", 0.5), ("a", 0.5)])])
    assert refused(path) == nothing + "labels that the student doesn't know: 2, such as 'a'"
    write(path, [])
    assert refused(path) == nothing + "their texts are not among those that it labels"


def refused(path) -> str:
    with pytest.raises(UserError) as error:
        model(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_a_teacher_there_is_nothing_to_do(capsys):
    ours, plain = tiny.model(plugins=["distil"]), tiny.model()
    assert type(ours.combiner) is type(plain.combiner) and ours.loss_names == plain.loss_names
    assert capsys.readouterr().err.count("distil: nothing to do without a teacher: name one with --set ") == 1


def test_a_teachers_path_is_kept_whole(tmp_path, monkeypatch):
    """A run may go on, or be compared, from another folder."""
    monkeypatch.chdir(tmp_path)
    options = Options(teacher="runs/../runs/a")
    assert options.teacher == str(tmp_path / "runs" / "a") == Options(**options.model_dump()).teacher
    assert Options().teacher == ""


# ------------------------------------------------------------------------------------------- runs that teach

SETTINGS = {"max_len": 16, "batch_size": 16, "validation": 0.2, "device": "cpu", "precision": "float32"}
SETTINGS |= {"log_every": 1, "start": "prior", "lr": 3e-3, "head_lr": 2e-2, "clustered": False}


def contrary_corpus():
    """Label w3 stands for the word w2, and so on: what its model says isn't what the student is told."""
    corpus = tiny.learnable_corpus()
    shifted = [corpus.labels.ids[(row + 1) % len(corpus.labels)] for row in range(len(corpus.labels))]
    rows = [[shifted[label] for label in row] for row in corpus.train.labels]
    return Corpus.of(corpus.train.texts, rows)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run's folder."""
    folder = tmp_path_factory.mktemp("teacher")
    settings = {**SETTINGS, "encoder": tiny.save_encoder(folder / "encoder"), "epochs": 12}
    return training.train(contrary_corpus(), settings, folder / "run").folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A smaller one."""
    return tiny.save_encoder(tmp_path_factory.mktemp("small"), num_hidden_layers=1, hidden_size=16)


def student(folder, encoder, teacher=None, options=None, **settings):
    settings = {**SETTINGS, "encoder": encoder, "epochs": 3, **settings}
    if teacher:
        settings |= {"plugins": ["distil"], "distil": {"teacher": str(teacher), **(options or {})}}
    return training.train(tiny.learnable_corpus(), settings, folder)


def scores_NL(run, texts):
    """Of all labels, in the order of their ids."""
    model = xmlkit.load(run)
    found = model.predict(texts, top_k=len(model.labels))
    return np.array([[p.score for p in sorted(row, key=lambda p: p.label)] for row in found])


@pytest.mark.slow
def test_a_student_gets_closer_to_its_teacher(tmp_path, encoder, teacher):
    """On texts that neither of them has seen, and the closer the more its scores weigh."""
    texts = tiny.learnable_corpus().test.texts
    theirs_NL, far = scores_NL(teacher, texts), []
    for weight in (None, 1.0, 5.0):
        run = tmp_path / f"run-{weight}"
        student(run, encoder, weight and teacher, {"weight": weight, "top_k": 10}, epochs=15, validation=0)
        far.append(np.abs(scores_NL(run, texts) - theirs_NL).mean())
    assert far[0] > far[1] > far[2] and far[2] < 0.7 * far[0]
    losses = [line["distil"] for line in losses_of(tmp_path / "run-5.0") if "distil" in line]
    assert losses[-1] < 0.7 * losses[0]
    assert not any("distil" in line for line in losses_of(tmp_path / "run-None"))


def test_a_run_and_the_file_that_predict_writes_teach_the_same(tmp_path, encoder, teacher):
    """The file is made by the command, of texts in another order."""
    texts, written = sorted(tiny.learnable_corpus().train.texts), tmp_path / "scores.jsonl"
    (tmp_path / "texts").write_text("".join(f"{text}\n" for text in texts))
    command("predict", teacher, tmp_path / "texts", "--format", "jsonl", "--top-k", 4, "--out", written)
    parts = []
    for number, source in enumerate((teacher, written)):
        settings = {**SETTINGS, "encoder": encoder, "plugins": ["distil"]}
        settings["distil"] = {"teacher": str(source), "top_k": 4}
        trainer = training.prepare(tiny.learnable_corpus(), settings, tmp_path / f"run-{number}")
        parts.append(trainer.model.combiner)
    asked, read = (kept(part) for part in parts)
    assert all(len(scores) == 4 for scores in asked)
    predicted = xmlkit.load(teacher).predict(
        [tiny.learnable_corpus().train.texts[trainer.data.train_rows[7]]]
    )
    ids = tiny.learnable_corpus().labels.ids
    best = {ids.index(p.label): p.score for p in predicted[0][:4]}
    assert asked[7] == pytest.approx(best, abs=1e-5)
    for one, other in zip(asked, read, strict=True):
        shared = one.keys() & other.keys()  # of nearly equal scores the fourth may be another one
        assert len(shared) >= 3
        assert [one[label] for label in shared] == pytest.approx([other[label] for label in shared], abs=2e-6)


@pytest.mark.parametrize("kind", mostly_slow(["run", "file"], ("file",)))
def test_a_kill_and_resume_give_the_unbroken_weights_and_no_file_holds_scores(
    tmp_path, encoder, teacher, kind
):
    """With averaged weights and label names as documents; the student then opens without its teacher."""
    corpus = tiny.learnable_corpus()
    named = Labels(corpus.labels.ids, [f"{label} w40" for label in corpus.labels.ids])
    corpus, source = replace(corpus, labels=named), tmp_path / "teacher"
    if kind == "run":
        shutil.copytree(teacher, source)
    else:
        answers = random_answers(corpus.train.texts, corpus.labels.ids)
        source = write(tmp_path / "scores.jsonl", answers)
    settings = {**SETTINGS, "encoder": encoder, "epochs": 1, "checkpoint_every": 3, "micro_batch_size": 5}
    settings |= {"plugins": ["distil"], "distil": {"teacher": str(source), "temperature": 2}}
    settings |= {"swa_start": 0, "swa_every": 2, "name_documents": "hard"}
    training.train(corpus, settings, tmp_path / "whole")
    with tiny.killed_before_step(5):
        training.train(corpus, settings, tmp_path / "killed")
    checkpoint = load_file(tmp_path / "killed" / "checkpoint.safetensors")
    assert checkpoint and not any("distil" in name or "_NK" in name for name in checkpoint)
    away = source.rename(tmp_path / "away")
    with pytest.raises(UserError, match=r"distil\.teacher="):
        training.resume(tmp_path / "killed", corpus)
    away.rename(source)
    training.resume(tmp_path / "killed", corpus)
    whole, broken = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == broken.keys() and not any("distil" in name for name in whole)
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert losses_of(tmp_path / "whole")[-2]["distil"] > 0
    texts = tiny.texts(20, seed=1)
    before = xmlkit.load(tmp_path / "whole").predict(texts)
    source.rename(tmp_path / "gone for good")
    assert xmlkit.load(tmp_path / "whole").predict(texts) == before


def test_a_student_may_be_a_teacher_and_a_start(tmp_path, encoder, teacher):
    """Its own teacher isn't asked again; and `--init-from` needs no plugin."""
    first = tmp_path / "teacher"
    shutil.copytree(teacher, first)
    student(tmp_path / "first", encoder, first, max_steps=2)
    shutil.rmtree(first)
    student(tmp_path / "second", encoder, tmp_path / "first", max_steps=2)
    corpus, settings = tiny.learnable_corpus(), {**SETTINGS, "encoder": encoder, "max_steps": 1}
    trainer = training.prepare(corpus, settings, tmp_path / "third", tmp_path / "second")
    assert trainer.model.loss_names == ("ranker",)
    saved = load_file(tmp_path / "second" / "model.safetensors")
    assert all(torch.equal(saved[name], tensor) for name, tensor in trainer.model.weights().items())


# ------------------------------------------------------------------------------------------------- the kit


@pytest.mark.slow
def test_it_keeps_the_contracts_with_a_teacher(checks, tmp_path):
    """Alone: without a teacher it has nothing to do beside others either."""
    corpus = named_corpus()
    path = write(tmp_path / "scores.jsonl", random_answers(corpus.train.texts, corpus.labels.ids))
    check_plugin("distil", {"teacher": str(path), "top_k": 4, "temperature": 2.0}, beside=[])
