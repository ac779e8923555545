"""Options of how files of data are read."""

from __future__ import annotations

from commands import xmlkit

from xmlkit.data.formats import formats


def test_formats_are_listed():
    out, _ = xmlkit("data", "formats")
    assert all(format.NAME in out and format.DESCRIPTION[:30] in out for format in formats())


def test_where_nothing_is_read_they_are_refused(stored_run):
    for command in (["evaluate"], ["threshold"], ["train", "--resume"]):
        _, err = xmlkit(*command, stored_run, "--text-column", "a,b", code=1)
        assert err.startswith("error: --text-column a,b: a run remembers how its corpus was read")


def test_a_start_says_how_its_corpus_is_read(tmp_path):
    (tmp_path / "train.csv").write_text("t,l,m\n" + "".join(f"w{n},a;b,c\n" for n in range(20)))
    given = ["--text-column", "t", "--label-column", "l,m", "--label-separator", ";"]
    _, err = xmlkit(
        "init-weights",
        ".",
        *given,
        "--encoder",
        "none",
        "--plugin",
        "lexical",
        "--out",
        "start",
        cwd=tmp_path,
    )
    said = " ".join(err.split("next: ")[1].split())
    assert said.startswith("xmlkit train . --text-column t --label-column l,m --label-separator ';' --config")


def test_one_file_brings_the_labels_beside_it(tmp_path):
    (tmp_path / "train.tsv").write_text("one\t<b>\ntwo\t<a>\n")
    (tmp_path / "labels.tsv").write_text("<c>\tsea\n<b>\tbee\n<a>\tay\n")
    xmlkit("data", "sample", "train.tsv", "out", "--documents", "1", cwd=tmp_path)
    assert (tmp_path / "out" / "labels.tsv").read_text() == (tmp_path / "labels.tsv").read_text()
