"""Files that changed since they were written are told, or made anew: never taken for what they were."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from marking import mostly_slow
from safetensors.torch import load_file

import xmlkit
from xmlkit import UserError
from xmlkit.data.cache import cached
from xmlkit.model.tensor_file import load_tensors, save_tensors
from xmlkit.training import train as training
from xmlkit.training.trainer import Trainer

CORPUS = tiny.learnable_corpus()
SETTINGS = {
    "max_len": 16,
    "batch_size": 16,
    "max_steps": 4,
    "eval_every": 2,
    "validation": 0.2,
    "device": "cpu",
    "cluster_size": 3,
    "clustered": True,
    "pooling": "mean",
}
OF_A_RUN = [
    "config.json",
    "model.json",
    "labels.jsonl",
    "encoder/config.json",
    "encoder/tokenizer.json",
    "encoder/tokenizer_config.json",
    "model.safetensors",
    "checkpoint.safetensors",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny.save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def broken_off(encoder, tmp_path_factory):
    """Two runs with weights and a checkpoint; they differ in their seeds."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        with pytest.MonkeyPatch.context() as patch:
            real = Trainer.step

            def step(self, batches, real=real):
                losses = real(self, batches)
                if self.step_number == 3:
                    signal.raise_signal(signal.SIGINT)
                return losses

            patch.setattr(Trainer, "step", step)
            training.train(CORPUS, {**SETTINGS, "encoder": encoder, "seed": seed}, folder / str(seed))
    return folder


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << (at % 8)]) + content[at + 1 :]


def damages(content: bytes, other: bytes):
    """Named: flips at both ends and at places drawn by chance, cuts, and another file in its place."""
    draw = random.Random(0)
    places = [0, 1, 8, 9, len(content) - 1, *(draw.randrange(len(content)) for _ in range(12))]
    for at in sorted(set(places)):
        yield f"flip at {at}", flipped(content, at)
    yield "empty", b""
    yield "half", content[: len(content) // 2]
    yield "one byte short", content[:-1]
    yield "one byte more", content + b" "
    if other != content:
        yield "another run's", other


@pytest.mark.parametrize("name", mostly_slow(OF_A_RUN, ("config.json", "labels.jsonl", "model.safetensors")))
def test_a_run_with_a_file_that_is_not_as_it_was(broken_off, tmp_path, name):
    run = Path(shutil.copytree(broken_off / "0", tmp_path / "run"))
    content, other = ((broken_off / seed / name).read_bytes() for seed in ("0", "1"))
    opened_by = [lambda: training.resume(run, CORPUS)]
    if name != "checkpoint.safetensors":
        opened_by += [
            lambda: xmlkit.load(run),
            lambda: training.train(CORPUS, {"max_len": 16, "max_steps": 1}, tmp_path / "next", run),
        ]
    for what, damaged in damages(content, other):
        for opened in opened_by:
            (run / name).write_bytes(damaged)
            with pytest.raises(UserError) as told:
                opened()
            assert name.rsplit("/")[-1] in str(told.value) and "\n" not in str(told.value), what
    (run / name).unlink()
    for opened in opened_by:
        with pytest.raises(UserError, match=r"missing|not a run|holds no|no checkpoint"):
            opened()
    assert not (tmp_path / "next").exists()
    (run / name).write_bytes(content)
    assert training.resume(run, CORPUS).outcome == "finished"


def test_a_line_of_labels_in_another_place(broken_off, tmp_path):
    """The same labels, which would be other rows."""
    run = Path(shutil.copytree(broken_off / "0", tmp_path / "run"))
    lines = (run / "labels.jsonl").read_text().splitlines(keepends=True)
    (run / "labels.jsonl").write_text("".join(reversed(lines)))
    with pytest.raises(UserError, match=r"labels\.jsonl is not as the run wrote it: put the file back$"):
        xmlkit.load(run)


def test_settings_that_were_edited_before_going_on(broken_off, tmp_path):
    run = Path(shutil.copytree(broken_off / "0", tmp_path / "run"))
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "max_steps": 8}))
    with pytest.raises(UserError, match=r"config\.json is not as the run wrote it.*--config .* --out NEW"):
        training.resume(run, CORPUS)


@pytest.mark.parametrize(
    "text", ["[]", "null", "{}", '{"plugins": 3}', "[" * 100_000, '{"source": null}', '"files"']
)
def test_a_description_that_is_none(broken_off, tmp_path, text):
    """As a stranger may send it, with weights that belong to it."""
    run = Path(shutil.copytree(broken_off / "0", tmp_path / "run"))
    (run / "model.json").write_text(text)
    tiny.belong_together(run)
    with pytest.raises(UserError, match=r"model\.json is damaged") as told:
        xmlkit.load(run)
    assert "\n" not in str(told.value)


def test_tensors_and_their_note_come_back(tmp_path):
    shared = torch.randn(3)
    tensors = {
        "half": torch.randn(5, 7).to(torch.bfloat16),
        "number": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "apart": torch.randn(4, 6).T,
        "one": shared,
        "two": shared,
    }
    save_tensors(tmp_path / "a", tensors, {"step": 1, "rate": 0.1})
    found, note = load_tensors(tmp_path / "a")
    assert note == {"step": 1, "rate": 0.1} and found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert (tmp_path / "a").stat().st_mode == tmp_path_mode(tmp_path)
    content = (tmp_path / "a").read_bytes()
    for at in range(len(content)):  # header, note, digest and numbers: none is taken for the whole file
        (tmp_path / "b").write_bytes(flipped(content, at))
        with pytest.raises(UserError, match="is damaged"):
            load_tensors(tmp_path / "b")


def tmp_path_mode(folder: Path) -> int:
    """Of a file that anyone made here."""
    (folder / "plain").touch()
    return (folder / "plain").stat().st_mode


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    """A real one: a file may grow to so many bytes and no further."""
    resource = pytest.importorskip("resource")
    save_tensors(tmp_path / "a", {"x": torch.ones(3)}, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError) as told:
            save_tensors(tmp_path / "a", {"x": torch.ones(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert told.value.filename == str(tmp_path / "a") and told.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == ["a"] and len(load_tensors(tmp_path / "a")[0]["x"]) == 3


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XMLKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", [pytest.param("vectors", marks=pytest.mark.slow), "clusters"])
def test_what_is_kept_between_runs_is_made_anew_where_it_is_damaged(
    kind, encoder, tmp_path, own_cache, capsys
):
    settings = {"encoder": "scratch", "start": "prior"} if kind == "clusters" else {}

    def weights(name):
        corpus = replace(CORPUS, test=None)
        training.train(corpus, {**SETTINGS, "encoder": encoder, **settings}, tmp_path / name)
        return load_file(tmp_path / name / "model.safetensors")

    whole = weights("whole")
    files = [path for path in own_cache.rglob("*") if path.is_file()]
    assert {path.parent.parent.name for path in files} >= {"tokens", kind}
    for number, path in enumerate(files):
        some = list(damages(path.read_bytes(), b"other")) if path.stat().st_size > 9 else [("", b"other")]
        what, damaged = some[number % len(some)]
        path.write_bytes(damaged)
        capsys.readouterr()
        ours = weights(str(number))
        remarked = "made anew" in capsys.readouterr().err
        are_parts = path.name in ("values", "checksums")  # each vector has a checksum of its own
        if kind == "clusters" or path.parent.parent.name != "clusters":  # those of other vectors are others
            assert remarked != are_parts, (path, what)
        # A vector that is encoded in other company may differ in its last bit.
        far = {"rtol": 1e-2, "atol": 1e-3} if kind == "vectors" else {"rtol": 0, "atol": 0}
        for key in whole:
            torch.testing.assert_close(ours[key], whole[key], **far, msg=f"{path}: {what}")


def test_a_vector_that_is_damaged_is_encoded_again(encoder, tmp_path, own_cache):
    settings = {**SETTINGS, "encoder": encoder, "clustered": False}
    training.prepare(CORPUS, settings, tmp_path / "a")
    found = [*own_cache.rglob("values"), *own_cache.rglob("checksums")]
    assert len(found) == 4  # of documents and of names
    for number, file in enumerate(found):
        content = file.read_bytes()
        for damaged in (flipped(content, len(content) // 2), content[:-7], b"", content + b"more"):
            file.write_bytes(damaged)
            shutil.rmtree(tmp_path / str(number), ignore_errors=True)
            training.prepare(CORPUS, settings, tmp_path / str(number))
            assert file.read_bytes() == content


def test_files_of_subfolders_are_looked_at_too(cache_folder, capsys):
    def make(folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")

    folder = cached("deep", "a", make)
    (folder / "deep" / "file").write_text("y")
    assert (cached("deep", "a", make) / "deep" / "file").read_text() == "x"
    assert "deep/file is damaged" in "".join(capsys.readouterr().err.splitlines())


def test_leftovers_of_killed_processes_are_swept(cache_folder):
    killed = """
import os
from xmlkit.data.cache import cached
def killed(folder):
    (folder / "part").write_text("x")
    os._exit(9)
cached("swept", "a", killed)
"""
    assert tiny.status_of(killed) == 9
    assert list((cache_folder / "swept").iterdir())
    cached("swept", "b", lambda folder: None)
    assert [path.name for path in (cache_folder / "swept").iterdir()] == ["b"]
