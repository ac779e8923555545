"""A log as curves, on a log by hand."""

from __future__ import annotations

from xmlkit.report.charts import MOST_POINTS, curves, thinned
from xmlkit.report.curves import Curves, Point

LOG = [
    {
        "step": 1,
        "epoch": 0.1,
        "lr": 0.1,
        "seconds": 1.0,
        "documents_per_second": 9.0,
        "loss": 4.0,
        "se/gate": 1.0,
    },
    {
        "step": 10,
        "epoch": 1.0,
        "lr": 0.2,
        "seconds": 2.0,
        "documents_per_second": 8.0,
        "loss": None,
        "se/gate": 2.0,
    },
    {"step": 15, "validation/P@5": 30.0, "validation/nDCG@5": 1.0, "shortlist/recall": 70.0},
    {
        "step": 20,
        "epoch": 2.0,
        "lr": 0.0,
        "seconds": 3.0,
        "documents_per_second": 7.0,
        "loss": 2.0,
        "x/n/a": 5.0,
    },
    {"step": 20, "validation/P@5": 30.0, "validation/nDCG@5": 2.0, "shortlist/recall": 71.0},
    {"step": 25, "validation/P@5": 30.0, "validation/nDCG@5": 2.0, "shortlist/recall": 72.0},
    {"step": 25, "trained/validation/P@5": 40.0, "trained/validation/nDCG@5": 9.0},
    {"step": 25, "outcome": "finished"},
]


def test_figures_come_into_their_pictures():
    curves = Curves(LOG)
    assert curves.pictures["loss"] == {"loss": [Point(1, 0.1, 4.0), Point(20, 2.0, 2.0)]}  # null is left out
    assert curves.pictures["x/n"] == {"a": [Point(20, 2.0, 5.0)]} and curves.of("x/n") == {}
    assert curves.of("se/gate") == {"gate": [Point(1, 0.1, 1.0), Point(10, 1.0, 2.0)]}
    assert curves.of("validation/P") == {
        "P@5": [Point(15, 1.5, 30.0), Point(20, 2.0, 30.0), Point(25, 2.5, 30.0)]  # 10 steps an epoch
    }
    assert [point.value for point in curves.of("shortlist")["recall"]] == [70.0, 71.0, 72.0]
    assert curves.columns == ["validation/P@5", "shortlist/recall"]


def test_the_chosen_evaluation():
    """The best by P@5, then nDCG@5, of equals the last; what came after the training is none of them."""
    chosen = Curves(LOG).chosen
    assert chosen.step == 25 and not chosen.after
    assert Curves(LOG[:3]).chosen.step == 15 and Curves([]).chosen is None
    assert [one.after for one in Curves(LOG).evaluations] == [False, False, False, True]


def test_long_curves_are_thinned():
    curve = [Point(step, step / 10, float(step)) for step in range(5 * MOST_POINTS)]
    assert thinned(curve[:MOST_POINTS]) == curve[:MOST_POINTS]
    assert len(thinned(curve)) == MOST_POINTS
    assert (
        thinned(curve)[0] == curve[0]
        and thinned(curve)[-1] == curve[-1]
        and set(thinned(curve)) <= set(curve)
    )


def test_no_two_lines_look_alike():
    for count, dashed in ((7, False), (13, True), (21, True)):
        drawn = curves({f"set {n}": [Point(1, 1.0, n), Point(2, 2.0, n)] for n in range(count)})
        line = drawn["layer"][0]["encoding"]
        assert ("strokeDash" in line) == dashed
        colours = line["color"]["scale"]["range"]
        dashes = line["strokeDash"]["scale"]["range"] if dashed else [[]] * count
        assert len({(colour, tuple(dash)) for colour, dash in zip(colours, dashes, strict=True)}) == count
