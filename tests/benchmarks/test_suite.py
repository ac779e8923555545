"""The suite with parts that take no time, each a real process; what it says of two folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.ending import run_to_its_end
from benchmarks.peers.__main__ import main as peers
from benchmarks.suite import comparing, trained
from benchmarks.suite import parts as shipped
from benchmarks.suite.__main__ import main
from benchmarks.suite.comparing import compared, undone, unlike
from benchmarks.suite.part import CORPUS, ENCODER, LEFT_OUT, OUT, Figure, Given, Part
from benchmarks.suite.running import INDEX, run
from xmlkit.errors import UserError
from xmlkit.training.claim import claimed

ROOT = Path(__file__).parents[2]
WRITES = "import sys, json, pathlib; pathlib.Path(sys.argv[1]).write_text(json.dumps(sys.argv[2:]))"


def part(name="quick", minutes=1.0, words=(), repeats=1, code=WRITES):
    def figures(found):
        return {"words": Figure(len(found), "less")}

    return Part(name, "speed", minutes, ("-c", code, OUT, *words), figures, repeats)


def quiet(line: str) -> None:
    pass


def test_parts_run_once_and_what_is_there_stays(tmp_path):
    those = [part(repeats=2), part("of texts", words=(CORPUS, "--encoder", ENCODER))]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    given = Given((str(tmp_path / "one"), str(tmp_path / "two")), "small")
    index = run(those, given, tmp_path / "out", 60, quiet)
    assert list(index["parts"]) == ["quick-1", "quick-2", "of-texts-one-1", "of-texts-two-1"]
    found = json.loads((tmp_path / "out" / "of-texts-two-1.json").read_text())
    assert found == [str(tmp_path / "two"), "--encoder", "small"]
    (tmp_path / "out" / "quick-1.json").write_text("as it was")
    (tmp_path / "out" / "quick-2.json").unlink()
    run(those, given, tmp_path / "out", 60, quiet)
    assert (tmp_path / "out" / "quick-1.json").read_text() == "as it was"
    assert (tmp_path / "out" / "quick-2.json").is_file()


def test_what_an_earlier_commit_had_is_told(tmp_path):
    said = []
    run([part()], Given(), tmp_path, 60, quiet)
    run([part()], Given(), tmp_path, 60, said.append)
    index = json.loads((tmp_path / INDEX).read_text())
    index["parts"]["quick-1"]["machine"]["commit"] = "0ld"
    (tmp_path / INDEX).write_text(json.dumps(index))
    run([part()], Given(), tmp_path, 60, said.append)
    assert said[0] == "quick-1: is there" and said[1].startswith("quick-1: is there, as commit 0ld had it")


def test_what_does_not_fit_or_lacks_something_is_named(tmp_path):
    those = [part("long", 100), part("read", words=(ENCODER,))]
    index = run([*those, part()], Given(), tmp_path, 30, quiet)["parts"]
    assert index["long-1"]["left_out"] == "takes 100 minutes, 30.0 are left"
    assert index["read-1"]["left_out"] == "needs a pretrained encoder: --encoder FOLDER"
    assert index["quick-1"]["status"] == 0


def test_a_corpus_is_demo_where_none_is_named(tmp_path):
    index = run([part("texts", words=(CORPUS,))], Given(), tmp_path, 30, quiet)["parts"]
    assert index["texts-demo-1"]["status"] == 0
    assert json.loads((tmp_path / "texts-demo-1.json").read_text()) == ["demo"]


def test_where_and_how_each_was_measured_is_told(tmp_path):
    (told,) = run([part("texts", words=(CORPUS,))], Given(), tmp_path, 30, quiet)["parts"].values()
    assert told["command"] == f"python -c {WRITES} texts-demo-1.json demo"
    assert told["machine"]["threads"] == torch.get_num_threads() and told["machine"]["date"]


SLEEPS = "import time; time.sleep(600)"
SAVES = """
import pathlib, signal, sys, time
saved = pathlib.Path(sys.argv[1]).with_suffix(".saved")
if saved.exists():
    pathlib.Path(sys.argv[1]).write_text("[]")
    sys.exit()
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), saved.touch(), sys.exit(143)))
time.sleep(600)
"""


def test_what_takes_longer_than_the_budget_is_ended(tmp_path):
    slow = part("slow", minutes=0.001, code=SLEEPS)
    index = run([slow, part()], Given(), tmp_path, 0.02, quiet)["parts"]
    assert index["slow-1"] == {"part": "slow", "left_out": "the budget ended before it did"}
    assert index["quick-1"]["left_out"] == "takes 1 minutes, 0.0 are left"


def test_what_can_go_on_is_begun_in_any_time_and_may_save_what_it_has(tmp_path):
    long = replace(part("long", minutes=600, code=SAVES), goes_on=True)
    index = run([long], Given(), tmp_path, 0.02, quiet)["parts"]
    assert index["long-1"]["left_out"] == "the budget ended before it did"
    assert (tmp_path / "long-1.saved").exists()
    assert run([long], Given(), tmp_path, 0.5, quiet)["parts"]["long-1"]["status"] == 0


def test_a_result_that_its_index_lacks_is_measured_again(tmp_path):
    run([part()], Given(), tmp_path, 30, quiet)
    (tmp_path / INDEX).unlink()  # as where the suite was killed between the two
    assert run([part()], Given(), tmp_path, 30, quiet)["parts"]["quick-1"]["status"] == 0


def test_two_suites_do_not_fill_one_folder(tmp_path):
    with claimed(tmp_path), pytest.raises(UserError, match="is at work in it"):
        run([part()], Given(), tmp_path, 30, quiet)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_lightxml_at_full_length_is_for_cuda_alone(tmp_path):
    (lightxml,) = (one for one in shipped.PARTS if one.name == "lightxml")
    index = run([lightxml], Given(encoder="small"), tmp_path / "out", 30, quiet)
    (told,) = index["parts"].values()
    assert told["left_out"] == "needs a CUDA device"


def test_a_part_that_fails_costs_no_other(tmp_path):
    broken = part("broken", code="import sys; print('error: no room', file=sys.stderr); raise SystemExit(3)")
    index = run([broken, part()], Given(), tmp_path, 30, quiet)["parts"]
    assert (index["broken-1"]["status"], index["quick-1"]["status"]) == (3, 0)
    assert index["broken-1"]["why"] == "no room"
    assert not (tmp_path / "broken-1.json").exists()
    assert json.loads((tmp_path / INDEX).read_text())["parts"] == index


def test_a_part_may_say_what_it_lacks(tmp_path):
    code = "import sys; print('much'); print('error: no such peer', file=sys.stderr); raise SystemExit(77)"
    said: list[str] = []
    index = run([part("peer", code=code), part()], Given(), tmp_path, 30, said.append)["parts"]
    assert index["peer-1"] == {"part": "peer", "left_out": "no such peer"}
    assert "peer-1: left out: no such peer" in said and index["quick-1"]["status"] == 0
    run([part("peer")], Given(), tmp_path, 30, quiet)
    assert json.loads((tmp_path / INDEX).read_text())["parts"]["peer-1"]["status"] == 0


@pytest.mark.parametrize(
    ("before", "after", "better", "verdict"),
    [
        ([1.0], [1.04], "less", "no difference shown"),
        ([1.0], [1.2], "less", "worse"),
        ([1.0], [1.2], "more", "better"),
        ([1.0, 1.1, 1.3], [1.25, 1.4, 1.5], "less", "no difference shown"),
        ([1.0, 1.1, 1.3], [1.35, 1.4, 1.5], "less", "no difference shown"),
        ([1.0, 1.1, 1.3], [1.4, 1.45, 1.5], "less", "worse"),
        ([1.0, 1.1, 1.3], [0.7, 0.8], "less", "better"),
    ],
)
def test_two_folders(tmp_path, before, after, better, verdict):
    def figures(found):
        return {"ratio": Figure(found, better)}

    measured = Part("step", "speed", 1, (), figures)
    for name, values in (("one", before), ("other", after)):
        (tmp_path / name).mkdir()
        runs = {f"step-{number}": value for number, value in enumerate(values, 1)}
        for run_name, value in runs.items():
            (tmp_path / name / f"{run_name}.json").write_text(json.dumps(value))
        index = {"parts": {run_name: {"part": "step"} for run_name in runs}}
        (tmp_path / name / INDEX).write_text(json.dumps(index))
    (found,) = compared([measured], tmp_path / "one", tmp_path / "other")
    assert (found.name, found.verdict) == ("step: ratio", verdict)


def test_what_is_not_done_any_more_is_told(tmp_path):
    def done(given, machine="a"):
        return {"status": 0, "given": given, "machine": {"cpu": machine}}

    one = {"bag": done("x"), "kills": done("k"), "slow": done("s"), "gone": done("g"), "tree": done("t")}
    other = {
        "bag": done("y"),
        "kills": {**done("k"), "status": 1},
        "slow": {"left_out": "takes 9 minutes"},
        "tree": done("t", "b"),
    }
    for name, parts in (("one", one), ("other", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / INDEX).write_text(json.dumps({"parts": parts}))
    folders = tmp_path / "one", tmp_path / "other"
    assert undone(*folders) == {"kills": "failed", "slow": "takes 9 minutes", "gone": "not asked for"}
    assert unlike(*folders) == ["bag: other settings", "tree: another machine"]
    assert undone(folders[0], folders[0]) == {} and unlike(folders[0], folders[0]) == []


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ({"P@1": 44.1, "P@5": 22.7, "seconds": 120.0}, {"no difference shown"}),
        ({"P@1": 45.0, "P@5": 22.5, "seconds": 100.0}, {"no difference shown", "worse"}),
        ({"P@1": 45.0, "P@5": 23.0, "seconds": 140.0}, {"no difference shown", "worse"}),
    ],
)
def test_a_model_is_worse_by_more_than_a_standard_error_and_by_what_it_takes(after, verdict):
    (bag,) = (one for one in shipped.PARTS if one.name == "bag")
    one, other = (bag.figures(found) for found in ({"P@1": 45.0, "P@5": 23.0, "seconds": 100.0}, after))
    assert {comparing._difference(name, [one[name]], [other[name]]).verdict for name in one} == verdict


def test_with_fewer_test_documents_more_is_chance():
    [bag] = [one for one in shipped.PARTS if one.name == "bag"]
    rooms = {n: bag.figures({"P@1": 50.0, "test_documents": n})["P@1"].room for n in (1_000, 4_000, 16_000)}
    assert rooms == {1_000: 2.0, 4_000: 1.0, 16_000: 0.5}


@pytest.mark.parametrize("command", ["trained", "peers"])
def test_a_corpus_without_test_documents_is_not_trained_on(tmp_path, capsys, monkeypatch, command):
    (tmp_path / "train.tsv").write_text("a text\t<a>\n" * 20)
    out, corpus = str(tmp_path / "out.json"), str(tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks.peers", "omikuji-bonsai", out, corpus])
    with pytest.raises(SystemExit) as ended:
        trained.main(out, corpus) if command == "trained" else peers()
    assert ended.value.code == LEFT_OUT and "has no test documents" in capsys.readouterr().err


STARTS_ANOTHER = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes can't be looked at here")
@pytest.mark.parametrize(("then", "status"), [("time.sleep(600)", None), ("sys.exit(3)", 3)])
def test_what_is_left_behind_is_ended_too(tmp_path, then, status):
    with (tmp_path / "log").open("w") as log:
        assert run_to_its_end([sys.executable, "-c", STARTS_ANOTHER + then], log, 8) == status
    number, until = int((tmp_path / "log").read_text()), time.monotonic() + 20
    while is_alive(number):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_alive(number: int) -> bool:
    """Of a process that may still wait for whoever adopted it."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_what_a_part_has_started_ends_with_the_suite(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.tsv").write_text(
        "".join(f"w{n} w{n % 7}\t<l{n % 5}>\n" for n in range(4000))
    )
    (tmp_path / "corpus" / "test.tsv").write_text("w1\t<l1>\n")
    process = suite("--only", "bag", "--corpora", tmp_path / "corpus", "--out", tmp_path / "out")
    log = tmp_path / "out" / "bag-corpus-1.log"
    while not (log.exists() and "training on" in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143 and not log.with_suffix(".json").exists()
    running = [Path(f"/proc/{one}/cmdline") for one in os.listdir("/proc") if one.isdigit()]
    words = [path.read_bytes() for path in running if path.exists()]
    assert not any(str(tmp_path / "corpus").encode() in line for line in words)


@pytest.mark.slow
def test_a_model_is_measured_as_peers_are(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split, count in (("train", 400), ("test", 50)):
        lines = [f"w{n % 5} w{n}\t<l{n % 5}>\n" for n in range(count)]
        (folder / f"{split}.tsv").write_text("".join(lines))
    process = suite("--only", "bag", "--corpora", folder, "--out", tmp_path / "out")
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, out + errors
    found = json.loads((tmp_path / "out" / "bag-corpus-1.json").read_text())
    assert found["P@1"] > 90 and found["lines_written"] == 1
    assert all(found[name] > 0 for name in ("seconds", "documents_per_second", "peak_gib", "megabytes"))


def suite(*arguments: object, **options) -> subprocess.Popen:
    words = [sys.executable, "-m", "benchmarks.suite", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, cwd=ROOT, env=environment, text=True, stdout=-1, stderr=-1, **options)


@pytest.mark.slow
def test_the_command_measures_is_interrupted_and_goes_on(tmp_path):
    asked = ("--only", "rows", "--out", tmp_path / "out")
    process = suite(*asked, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    while not (tmp_path / "out" / "rows-1.log").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "goes on" in out
    process = suite(*asked)
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert out.count("done in") == 3
    process = suite("--compare", tmp_path / "out", tmp_path / "out")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "no difference shown" in out and "worse" not in out and "better" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--only", "sped"),
            "--only sped: there are quality, peers, speed, reliability, ablation, bag, omikuji-bonsai",
        ),
        (("--corpora", "nowhere"), "--corpora nowhere: no such folder"),
        (("--budget", "soon"), "--budget"),
        (("--compare", ".", "."), ". holds no results of the suite"),
    ],
)
def test_typing_errors(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks.suite", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_nothing_in_common_is_an_error(tmp_path, monkeypatch, capsys):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        run([part()], Given(), folder, 30, quiet)  # none that is shipped
    monkeypatch.setattr(sys, "argv", ["benchmarks.suite", "--compare", *map(str, folders)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "have no figure in common" in capsys.readouterr().err


def test_figures_of_results_that_are_there():
    """Parts read what their commands have written."""
    results = ROOT / "benchmarks" / "results"
    files = {"step": "step-minilm-16", "rows": "rows", "flat": "flat-minilm-20", "reading": "reading-300k"}
    files |= {"data": "data-yso-en", "ablation": "compare-yso-4k-frozen"}
    files |= {"pecos-xr-linear": "peers-yso-en-4k/pecos-xr-linear-yso-en-4k-1"}
    of_name = {part.name: part for part in shipped.PARTS}
    for name, file in files.items():
        found = of_name[name].figures(json.loads((results / f"{file}.json").read_text()))
        assert found and all(figure.value >= 0 for figure in found.values()), name


def test_what_is_there_with_other_settings_is_not_taken(tmp_path):
    those, out = [part("texts", words=(CORPUS, ENCODER))], tmp_path / "out"
    for folder, text in (("a", "a line"), ("b", "another"), ("c", "a line")):
        (tmp_path / folder / "eur").mkdir(parents=True)
        (tmp_path / folder / "eur" / "train.tsv").write_text(text)

    def given(folder, encoder="small"):
        return Given((str(tmp_path / folder / "eur"),), encoder)

    run(those, given("a"), out, 60, quiet)
    for other in (given("a", "large"), given("b")):
        with pytest.raises(ValueError, match=r"texts-eur-1\.json was measured with other settings"):
            run(those, other, out, 60, quiet)
    run(those, given("c"), out, 60, quiet)  # the same files elsewhere
    with pytest.raises(ValueError, match="two are called eur"):
        run(those, Given((*given("a").corpora, *given("b").corpora), "small"), tmp_path / "new", 60, quiet)


def test_a_part_that_failed_and_is_then_left_out_has_not_failed(tmp_path):
    fails = part(code="import sys; sys.exit(3)")
    assert run([fails], Given(), tmp_path, 60, quiet)["parts"]["quick-1"]["status"] == 3
    assert set(run([part(minutes=90)], Given(), tmp_path, 60, quiet)["parts"]["quick-1"]) == {
        "part",
        "left_out",
    }


def test_shares_that_are_nearly_0_may_differ_by_a_hundredth():
    one, other = (
        shipped._data({"padding_share": 0.1, "data_wait_share": share, "documents_ready_per_second": 9})[
            "share of a step that waits for data"
        ]
        for share in (0.0, 0.009)
    )
    assert comparing._difference("", [one], [other]).verdict == "no difference shown"
    assert comparing._difference("", [one], [Figure(0.02, "less")]).verdict == "worse"
