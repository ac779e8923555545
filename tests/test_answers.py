"""An output file that was cut off anywhere is gone on with to the same whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from xmlkit import Prediction, UserError
from xmlkit.cli.layouts import LAYOUTS
from xmlkit.inference.answers import answered, answered_texts, only_writer

WORDS = st.text("ab\n\t\x1bü\u2028", max_size=4)
ANSWERS = st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=3), st.none() | WORDS), max_size=6)


def blocks(answers, layout: str, first: int = 1) -> str:
    """As `predict` prints them."""
    found = (
        LAYOUTS[layout](text, [Prediction("id", name, 0.5) for name in names], number, id)
        for number, (text, names, id) in enumerate(answers[first - 1 :], first)
    )
    return "".join(f"{block}\n" for block in found if block)


@given(ANSWERS, st.sampled_from(["jsonl", "tsv"]), st.data())
def test_cut_off_anywhere(answers, layout, data):
    whole = blocks(answers, layout).encode()
    cut = data.draw(st.integers(0, len(whole)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        path.write_bytes(whole[:cut])
        count = answered(path, layout)
        assert count <= len(answers)
        with path.open("ab") as file:
            file.write(blocks(answers, layout, count + 1).encode())
        assert path.read_bytes() == whole


def test_nothing_is_done_twice_that_is_whole(tmp_path):
    answers = [("one", ["a", "b"], None), ("two", [], "7"), ("three", ["c"], "8"), ("four", ["d", "e"], None)]
    for layout, expected in (("jsonl", 4), ("tsv", 3)):  # of the last text's lines there may be more to come
        (tmp_path / layout).write_text(blocks(answers, layout))
        assert answered(tmp_path / layout, layout) == expected
    texts = [("one", None), ("two", "7"), ("three", "8"), ("four", None)]
    assert list(answered_texts(tmp_path / "jsonl")) == texts
    assert answered(tmp_path / "nothing", "tsv") == 0


@pytest.mark.parametrize("layout", ["jsonl", "tsv"])
@pytest.mark.parametrize(
    "content",
    [
        "my notes\n",
        "notes without an end",
        '{"text": "of a corpus", "labels": ["x"]}\n{"text": "cut", ',
        '{"text": "x"}\n',
        "1\ta\tb\n",
        "0\ta\tb\t0.5\n",
        f"{'9' * 5000}\ta\tb\t0.5\n",
        "[" * 100_000 + "\n",
    ],
)
def test_another_kind_of_file_is_left_alone(tmp_path, layout, content):
    (tmp_path / "mine").write_text(content)
    with pytest.raises(UserError, match=f"mine: it holds other lines than {layout} has"):
        answered(tmp_path / "mine", layout)
    assert (tmp_path / "mine").read_text() == content


KILLED_WHILE_IT_WRITES = """
import os, sys
from pathlib import Path
from xmlkit.inference.answers import only_writer
with only_writer(Path(sys.argv[1])):
    os._exit(9)
"""


def test_one_process_at_a_time_writes(tmp_path):
    for _ in range(2):
        with (
            only_writer(tmp_path / "out"),
            pytest.raises(UserError, match=f"--out {tmp_path}/out: another process writes it"),
            only_writer(tmp_path / "out"),
        ):
            pass
        assert not any(tmp_path.iterdir())
    assert tiny.status_of(KILLED_WHILE_IT_WRITES, tmp_path / "out") == 9
    with only_writer(tmp_path / "out"):
        pass
    assert not any(tmp_path.iterdir())
