"""The thread before a model: what it puts into one batch, and what becomes of a failure."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tiny

from xmlkit.blend.member import NAMED
from xmlkit.serve.limits import Limits
from xmlkit.serve.served import opened
from xmlkit.serve.watch import Watch
from xmlkit.serve.wish import Wish
from xmlkit.serve.worker import Full, Stopped, Worker

PLAIN = Wish(3, 0.0)


class Watched:
    """A model that begins when it is let, remembers what it was asked, and fails at some texts."""

    def __init__(self, model):
        self._model, self.labels = model, model.labels
        self.asked, self.begun, self.may_go = [], threading.Event(), threading.Event()

    def rank(self, texts, k, allowed_L=None):
        self.asked.append((list(texts), k))
        self.begun.set()
        assert self.may_go.wait(60)
        if "bad" in texts:
            raise RuntimeError("a text that it can't read")
        if "leave" in texts:
            raise SystemExit(3)
        return self._model.rank(texts, k, allowed_L=allowed_L)


@pytest.fixture
def watched(model):
    return Watched(model)


@pytest.fixture
def worker(watched):
    """It has begun with one text, and will go on when it is let."""
    made = Worker(watched, Limits(batch=4, queue=12, texts=12, wait=0.0), lambda texts, seconds: None)
    made.ask(["w0"], PLAIN)
    assert watched.begun.wait(60)
    yield made
    watched.may_go.set()
    made.stop()


def rows(model, texts, top_k=3, allowed=None):
    found = model.predict(texts, top_k, allowed=allowed)
    return [[model.labels.rows[one.label] for one in labels] for labels in found]


def rows_of(answer):
    return [[row for row, _ in labels] for labels in answer.result(60)]


def test_texts_are_split_and_put_together_in_the_order_in_which_they_came(worker, watched, model):
    texts = tiny.texts(9, seed=8)
    answers = [
        worker.ask(texts[:6], PLAIN),
        worker.ask(texts[6:7], Wish(1, 0.0)),
        worker.ask(texts[7:], PLAIN),
    ]
    assert worker.waiting == 9
    watched.may_go.set()
    assert rows_of(answers[0]) == rows(model, texts[:6])
    assert rows_of(answers[1]) == rows(model, texts[6:7], 1)
    assert rows_of(answers[2]) == rows(model, texts[7:])
    assert [part for part, _ in watched.asked] == [["w0"], texts[:4], texts[4:8], texts[8:]]
    assert worker.waiting == 0


def test_what_may_not_be_ranked_together_waits_for_the_next_batch(worker, watched, model):
    some_L = np.arange(10) < 4
    deep = Wish(NAMED + 1, 0.0)
    wishes = [Wish(2, 0.0, some_L), PLAIN, Wish(3, 0.0, some_L.copy()), deep]
    answers = [worker.ask([f"w{i}"], wish) for i, wish in enumerate(wishes)]
    watched.may_go.set()
    assert rows_of(answers[0]) == rows(model, ["w0"], 2, some_L)
    assert rows_of(answers[2]) == rows(model, ["w2"], 3, some_L)
    assert rows_of(answers[3]) == rows(model, ["w3"], 10)
    # Of ten labels none is deep: the last two differ from the first in what is allowed alone.
    assert [part for part, _ in watched.asked] == [["w0"], ["w0", "w2"], ["w1", "w3"]]
    assert [k for _, k in watched.asked] == [3, 3, 10]


def test_an_array_that_wishes_share_is_not_read_to_compare_them(worker, watched):
    read = []

    class Told(np.ndarray):
        def tobytes(self):
            read.append(self)
            return super().tobytes()

    shared_L = (np.arange(10) < 4).view(Told)
    answers = [worker.ask([f"w{i}"], Wish(2, 0.0, shared_L)) for i in range(3)]
    watched.may_go.set()
    assert all(len(answer.result(60)) == 1 for answer in answers)
    assert [part for part, _ in watched.asked] == [["w0"], ["w0", "w1", "w2"]] and not read


def test_a_full_queue_takes_nothing_of_a_request(worker):
    worker.ask(["w1"] * 10, PLAIN)
    with pytest.raises(Full):
        worker.ask(["w1"] * 3, PLAIN)
    assert worker.waiting == 10
    worker.ask(["w1"] * 2, PLAIN)


def test_only_the_request_that_fails_fails(worker, watched, model):
    good, bad, other = worker.ask(["w1"], PLAIN), worker.ask(["w2", "bad"], PLAIN), worker.ask(["w3"], PLAIN)
    watched.may_go.set()
    assert rows_of(good) == rows(model, ["w1"]) and rows_of(other) == rows(model, ["w3"])
    with pytest.raises(RuntimeError, match="can't read"):
        bad.result(60)
    assert rows_of(worker.ask(["w4"], PLAIN)) == rows(model, ["w4"])


def test_a_model_that_would_leave_does_not(worker, watched, model):
    left = worker.ask(["leave"], PLAIN)
    watched.may_go.set()
    with pytest.raises(RuntimeError, match="SystemExit"):
        left.result(60)
    assert rows_of(worker.ask(["w4"], PLAIN)) == rows(model, ["w4"])


def test_a_long_request_that_fails_leaves_the_queue(worker, watched):
    failed = worker.ask(["bad"] + ["w1"] * 9, PLAIN)
    watched.may_go.set()
    with pytest.raises(RuntimeError):
        failed.result(60)
    assert worker.waiting == 0 and len(watched.asked) == 2


def test_stopping_at_once_tells_those_who_wait(worker, watched):
    waiting = worker.ask(["w1"], PLAIN)
    stopping = threading.Thread(target=worker.stop, args=[True])
    stopping.start()
    watched.may_go.set()
    stopping.join(60)
    with pytest.raises(Stopped):
        waiting.result(60)
    assert len(watched.asked) == 1


def test_nothing_is_asked_about_no_text_or_no_label(worker, watched):
    assert worker.ask([], PLAIN).result(1) == []
    assert worker.ask(["w1", "w2"], Wish(0, 0.0)).result(1) == [[], []]
    assert len(watched.asked) == 1


def errand(done, steps=3, result="told", error=None):
    for number in range(steps):
        done.append(number)
        yield
    if error is not None:
        raise error
    return result


def test_a_step_of_an_errand_between_batches(worker, watched):
    """Two batches wait: each goes before the next step, and what has no batch beside it goes on."""
    done = watched.asked
    answers = [worker.ask([f"w{i}"] * 4, PLAIN) for i in (1, 2)]
    told = worker.send(errand(done))
    assert worker.errands == 1
    watched.may_go.set()
    assert told.result(60) == "told" and all(len(one.result(60)) == 4 for one in answers)
    assert [one if isinstance(one, int) else one[0][0] for one in done] == ["w0", 0, "w1", 1, "w2", 2]
    assert worker.errands == 0


def test_errands_are_bounded_done_in_order_and_left(worker, watched):
    done: list[list[int]] = [[] for _ in range(9)]
    sent = [worker.send(errand(some, result=number)) for number, some in enumerate(done[:8])]
    with pytest.raises(Full):
        worker.send(errand(done[8]))
    assert sent[3].cancel() and worker.errands == 7
    sent.append(worker.send(errand(done[8], result=8)))
    watched.may_go.set()
    assert [one.result(60) for one in sent if not one.cancelled()] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert done == [[0, 1, 2]] * 3 + [[]] + [[0, 1, 2]] * 5


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3)])
def test_an_errand_that_fails_fails_alone(worker, watched, error):
    failed, fine = worker.send(errand([], error=error)), worker.send(errand([]))
    watched.may_go.set()
    with pytest.raises(RuntimeError):
        failed.result(60)
    assert fine.result(60) == "told" and worker.errands == 0


def test_stopping_does_errands_first_and_at_once_none(model):
    for at_once, expected in ((False, "told"), (True, Stopped)):
        watched = Watched(model)
        worker = Worker(watched, Limits(wait=0.0), lambda texts, seconds: None)
        worker.ask(["w0"], PLAIN)
        assert watched.begun.wait(60)
        told = worker.send(errand([]))
        stopping = threading.Thread(target=worker.stop, args=[at_once])
        stopping.start()
        while not worker._ending:
            pass
        watched.may_go.set()
        stopping.join(60)
        if at_once:
            with pytest.raises(Stopped):
                told.result(60)
        else:
            assert told.result(60) == expected


def test_a_threshold_is_compared_as_predict_compares_it():
    """0.9 is a little above the nearest float32."""
    scores_K, ids_K = np.array([0.9], np.float32), np.array([4])
    assert float(scores_K[0]) < 0.9 and Wish(3, 0.9).taken(scores_K, ids_K) == []
    assert Wish(3, float(scores_K[0])).taken(scores_K, ids_K) == [(4, float(scores_K[0]))]


def test_no_thread_is_left_of_a_model_that_is_not_served(run, monkeypatch):
    def gone(folder):
        raise FileNotFoundError(folder)

    made = []
    monkeypatch.setattr("xmlkit.serve.served._modified", gone)
    monkeypatch.setattr("xmlkit.serve.served.Worker", lambda *given: made.append(given))
    with pytest.raises(FileNotFoundError), opened([run], None, None, Limits(), Watch()):
        pass
    assert made == []
