"""What of an ensemble fits into a budget: by given prices, and once by a command that finds them itself."""

from __future__ import annotations

import shutil

import commands
import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from xmlkit.blend import budget as budgets
from xmlkit.blend import judging
from xmlkit.blend.budget import choose, most_that_fit
from xmlkit.blend.kinds import linear
from xmlkit.blend.training import train_ensemble
from xmlkit.data.formats import jsonl
from xmlkit.data.writing import write_corpus
from xmlkit.errors import UserError
from xmlkit.model.folder import WEIGHTS
from xmlkit.testing.tiny import named_corpus
from xmlkit.training.budget import Budget, Pace, Trials
from xmlkit.training.report import steps_of

SMALL = {"lexical": {"buckets": 512, "width": 8}}
PRICES = {"lexical": 83.0, "neighbours": 9.0, "linear": 35.0}


def price(names):
    """Neighbours are looked for by the vectors of lexical."""
    return sum(PRICES[name] if name != "neighbours" or "lexical" in names else np.inf for name in names)


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        (127, ["lexical", "neighbours", "linear"]),
        (126, ["lexical", "neighbours"]),  # though lexical is the dearest
        (92, ["lexical", "neighbours"]),
        (91, None),
        (-1, None),
    ],
)
def test_as_many_as_fit_and_the_cheapest(seconds, kept):
    assert most_that_fit(list(PRICES), price, seconds) == kept


@pytest.fixture
def priced(tmp_path, monkeypatch):
    """A corpus and settings; a document is read in 0.1 s, learnt from in 1 s, by what is frozen in 0.1 s."""
    corpus = named_corpus()

    def pace(corpus, settings):
        return Pace(0.1, 0.1 if settings.get("freeze") else 1.0, np.array([10]))

    monkeypatch.setattr("xmlkit.training.budget._pace", pace)
    monkeypatch.setattr(budgets, "price_of_linear", lambda *_: 1000.0)
    monkeypatch.setattr(budgets, "price_of_fitting", lambda documents, members: 7.0 * members)
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "batch_size": 16, "validation": 0.3}
    return corpus, {**settings, "device": "cpu", "max_len": 16, "pooling": "mean"}


def test_what_does_not_fit_is_left_out_and_named(priced, tmp_path, capsys):
    corpus, settings = priced
    names = ["lexical", "neighbours", "linear"]
    kept, configs = choose(corpus, settings, names, tmp_path / "whole", Budget("9h"))
    assert kept == names and configs["lexical"].epochs == 4
    assert "without" not in capsys.readouterr().err
    kept, configs = choose(corpus, settings, names, tmp_path / "whole", Budget("900s"))
    assert kept == ["lexical", "neighbours"] and list(configs) == ["lexical"]
    assert "without linear, for which there is no time: about" in capsys.readouterr().err
    with pytest.raises(
        UserError, match=r"--budget 1s: no two members fit .* linear about 17 min, blending about 48 s\)"
    ):
        choose(corpus, settings, names, tmp_path / "whole", Budget("1s"))


def test_each_piece_has_its_price(priced, tmp_path):
    """By hand: what is read, a name counting 8 of 10 tokens, at 0.1 s; steps of 16 documents; three readings
    of each held-out document to see how long members take, beside the one by which they are judged."""
    corpus, settings = priced
    held_out = round(0.3 * len(corpus.train))
    learnt, tested, labels = len(corpus.train) - held_out, len(corpus.test), len(corpus.labels)
    steps = -(-learnt // 16)
    names = ["lexical", "frozen", "neighbours", "names", "linear", "warm"]
    prices = budgets._Prices(corpus, settings | {"epochs": 1}, names, tmp_path / "whole")
    read = 0.1 * (learnt + held_out + labels * 0.8 + tested)
    taught, evaluated = 16 * steps * 0.1, 0.1 * held_out
    assert prices.least(["lexical", "neighbours"]) == pytest.approx(
        {
            "lexical": read + taught + evaluated,
            "neighbours": 0.1 * (learnt + held_out),
            "blending": 6 * 7 + 0.1 * (4 * held_out + 3 * held_out),
        }
    )
    both = prices.least(["lexical", "frozen", "linear"])
    assert both["frozen"] == pytest.approx(taught + evaluated)  # lexical has read all
    assert both["linear"] == 1000
    assert both["blending"] == pytest.approx(6 * 7 + 0.1 * (2 * 4 * held_out + 3 * held_out))
    learning = prices.least(["warm", "names"])
    begun = min(learnt, 32 * labels) + labels * 0.8
    assert learning["names"] == pytest.approx(0.1 * (learnt + 2 * held_out + tested + labels * 0.8))
    assert learning["warm"] == pytest.approx(0.1 * (begun + tested + held_out) + 16 * steps)
    assert learning["blending"] == pytest.approx(6 * 7 + 0.1 * (4 * held_out + 3 * held_out))


def test_what_is_left_of_a_run_costs_its_share(priced):
    """What comes before the first step is over with it, and when all is over test texts alone are read."""
    corpus, settings = priced
    settings = {**settings, "epochs": 4, "freeze": True}
    trials = Trials(corpus, settings, settings)
    whole, half, none = map(trials.rest, (1.0, 0.5, 0.0))
    assert whole == next(trials.learning())
    tested = pytest.approx(0.1 * len(corpus.test))
    assert none.seconds == none.shared == half.shared == tested
    assert half.seconds - half.shared == pytest.approx((whole.seconds - whole.shared) / 2)


def test_fitting_takes_longer_by_the_measured_power(monkeypatch):
    """By a clock that says 2 s for a trial, and 1 s for trees, of which each of three members takes two."""
    for documents, price in ((64, 9.0), (640, 9 * 10**0.68), (32, 9.0)):
        ticks = iter([0.0, 2.0, 3.0])
        monkeypatch.setattr(judging.time, "perf_counter", lambda ticks=ticks: next(ticks))
        assert judging.price_of_fitting(documents, 3) == pytest.approx(price)


def test_fewer_epochs_where_there_is_less_time(priced, tmp_path):
    """The run's settings are those that it has without a budget, but for what was planned."""
    corpus, settings = priced
    names, found = ["warm", "neighbours"], []
    document = Trials(corpus, settings, settings)
    full = next(document.learning())
    for seconds in (100_000, 2 * full.seconds / 2.4):
        _, configs = choose(corpus, settings, names, tmp_path / "whole", Budget(f"{seconds:.0f}s"))
        found.append(configs["warm"].epochs)
        assert configs["warm"].micro_batch_tokens is None  # which would be decided where it is trained
    assert found[0] == full.config.epochs > found[1] >= 1


def test_a_larger_tree_takes_longer_by_the_measured_powers(monkeypatch):
    """By a clock that says 2 s for eight documents' tree, and 3 s for a question."""
    corpus = tiny.learnable_corpus()
    count = len(corpus.train)
    monkeypatch.setattr(linear, "TRIED", 8)
    ticks = iter([0.0, 2.0, 10.0, 13.0])
    monkeypatch.setattr(linear.time, "perf_counter", lambda: next(ticks, 99.0))
    monkeypatch.setattr(linear.Linear, "make", classmethod(lambda cls, what, making: _Silent()))
    found = linear.price_of_linear(corpus, np.zeros(count, bool), 5)
    more = count / 8
    assert found == pytest.approx(2 * more**1.19 + 5 * 3 * more**0.47)  # one text of eight is asked about


class _Silent:
    def candidates(self, texts, top_k):
        assert len(texts) == 1


def test_what_was_taken_stands_beside_the_estimate(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr("xmlkit.training.budget.time.monotonic", lambda: now[0])
    budget = Budget("100s")
    now[0] += 10
    assert budget.left == 80
    budget.say_plan("as it is", 40)
    now[0] += 33
    budget.say_taken()
    assert capsys.readouterr().err.splitlines()[1] == (
        "budget 100s: it took 33 s, after trials of 10 s; the estimate was 40 s"
    )


def test_steps_of_a_log(tmp_path):
    log = tmp_path / "log.jsonl"
    assert steps_of(log) == 0
    log.write_text('{"step": 3, "loss": 1}\n{"step": 7, "P@1": 1}\n{"step": 9, "lo')
    assert steps_of(log) == 7


def test_the_same_settings_as_without_a_budget(tmp_path):
    """So that what it has trained is taken by either."""
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "max_len": 16, "validation": 0.3, **SMALL}
    settings |= {"device": "cpu", "pooling": "mean"}
    corpus, names = named_corpus(), ["lexical", "neighbours"]
    first = train_ensemble(corpus, settings, names, tmp_path / "whole", budget=Budget("9h"))
    shutil.rmtree(tmp_path / "whole")
    assert first == train_ensemble(corpus, settings, names, tmp_path / "whole")


def test_what_was_broken_off_goes_on_as_it_was_planned(tmp_path, capsys):
    """It ends as if nothing had happened, whatever fits into the second budget."""
    settings = {"encoder": tiny.save_encoder(tmp_path / "encoder"), "max_len": 16, "validation": 0.3, **SMALL}
    settings |= {"device": "cpu", "pooling": "mean", "checkpoint_every": 2, "max_steps": 8}
    corpus, names = named_corpus(), ["bag", "warm"]
    unbroken = train_ensemble(corpus, settings, names, tmp_path / "unbroken", budget=Budget("9h"))
    out = tmp_path / "whole"
    with tiny.killed_before_step(5):
        train_ensemble(corpus, settings, names, out, budget=Budget("9h"))
    capsys.readouterr()
    again = train_ensemble(corpus, settings, names, out, budget=Budget("8h"))
    plan = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("budget 8h: "))
    assert (
        plan.startswith("budget 8h: bag goes on (") and "), warm as it is (" in plan and "blending (" in plan
    )
    assert again.scores == unbroken.scores
    for name in names:
        one, other = (load_file(tmp_path / f"{run}-{name}" / WEIGHTS) for run in ("unbroken", "whole"))
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_the_command_with_and_then_without_what_is_there(tmp_path):
    corpus = named_corpus()
    data = tmp_path / "data"
    write_corpus(corpus, data, jsonl)
    given = ["--encoder", tiny.save_encoder(tmp_path / "encoder"), "--set=max_len=16", "--set=validation=0.3"]
    given += ["--set=device=cpu", "--ensemble=lexical,neighbours", "--budget=9h", "--out", tmp_path / "whole"]
    for state in ("as it is", "is there"):
        _, said = commands.xmlkit("train", data, *given)
        plan, taken = [line for line in said.splitlines() if line.startswith("budget 9h: ")]
        assert plan.startswith(f"budget 9h: lexical {state} (") and "neighbours (" in plan
        assert taken.startswith("budget 9h: it took ")
        shutil.rmtree(tmp_path / "whole")
