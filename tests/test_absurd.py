"""Sizes and numbers that no one means are refused in one line, before memory is taken for them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import tiny
import torch

import xmlkit
from xmlkit import UserError
from xmlkit.config import parse_assignments, read_config_file, resolve
from xmlkit.data.lines import LONGEST_LINE, read_lines
from xmlkit.model.tensor_file import load_tensors, save_tensors


def refused(run: Path, name: str) -> str:
    """What is said of a run in which a stranger has changed this file, and its digest with it."""
    tiny.belong_together(run)
    with pytest.raises(UserError) as told:
        xmlkit.load(run)
    assert name in str(told.value) and "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 2**20},
        {"vocab_size": 2**31},
        {"num_hidden_layers": 10**9},
        {"intermediate_size": 2**40},
        {"max_position_embeddings": 2**40},
    ],
)
def test_an_encoder_larger_than_its_weights(copied_run, sizes):
    path = copied_run / "encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **sizes}))
    assert "asks for more than model.safetensors has" in refused(copied_run, "encoder/config.json")


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 33},
        {"hidden_size": -4},
        {"num_attention_heads": 0},
        {"hidden_act": "evil"},
        {"num_hidden_layers": None},
        {"vocab_size": "many"},
    ],
)
def test_an_encoder_that_makes_no_model(copied_run, sizes):
    path = copied_run / "encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **sizes}))
    refused(copied_run, "encoder")


@pytest.mark.parametrize("known", [True, False])
def test_a_tokenizer_that_can_not_read(copied_run, known):
    """Without a token for unknown words its library raises a bare Exception, at such a word alone."""
    path = copied_run / "encoder" / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["unk_token"] = "[NONE]"
    document["model"]["vocab"]["a" if known else "b"] = document["model"]["vocab"].pop("w0")
    path.write_text(json.dumps(document))
    tiny.belong_together(copied_run)
    with pytest.raises(UserError, match="the tokenizer can't read texts") as told:
        xmlkit.load(copied_run).predict(["never seen"])
    assert known or f"{copied_run}/encoder: " in str(told.value)


@pytest.mark.parametrize("text", ["[1]", "null", '"x"', "3"])
def test_settings_that_are_no_table(copied_run, text):
    (copied_run / "config.json").write_text(text)
    assert "is damaged: no settings by name" in refused(copied_run, "config.json")


@pytest.mark.parametrize("changed", ["nan", "inf", "integers"])
def test_weights_that_are_no_weights(copied_run, changed):
    tensors, note = load_tensors(copied_run / "model.safetensors")
    name = next(name for name in tensors if name.startswith("head/"))
    for value in ("nan", "inf"):
        if changed == value:
            tensors[name].flatten()[0] = float(value)
    if changed == "integers":
        tensors[name] = tensors[name].to(torch.int64)
    save_tensors(copied_run / "model.safetensors", tensors, note)
    expected = "is of torch.int64, expected" if changed == "integers" else "is not finite"
    assert expected in refused(copied_run, "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"cluster": 2**50},
        {"cluster": -1},
        {"cluster": 10**400},
        {"cluster": "x"},
        {"documents": "many"},
        {"documents": 2**70},
        {"id": 3},
        {"id": ["w1"]},
        {"id": None},
        {"id": "\ud800"},
    ],
)
def test_labels_that_are_none(copied_run, change):
    path = copied_run / "labels.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1] |= change
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert "is damaged" in refused(copied_run, "labels.jsonl")


def test_a_label_that_is_there_twice(copied_run):
    path = copied_run / "labels.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, first, *rest]))
    assert "each is there once" in refused(copied_run, "labels.jsonl")


@pytest.mark.parametrize("name", ["config.json", "labels.jsonl", "encoder/config.json"])
def test_deep_nesting(copied_run, name):
    (copied_run / name).write_text("[" * 200_000)
    refused(copied_run, name.partition("/")[0])


def test_more_labels_than_there_are(stored_run):
    model = xmlkit.load(stored_run)
    assert model.predict(["w1"], top_k=10**15) == model.predict(["w1"], top_k=len(model.labels))


@pytest.mark.parametrize(
    "given", [{"seed": 2**63}, {"text_cap": 10**30}, {"ks": [1, 2**64]}, {"se": {"x": -(2**64)}}]
)
def test_numbers_beyond_64_bits(given):
    with pytest.raises(UserError, match="a number of more than 64 bits"):
        resolve(given)


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, "1," * 5000 + "9" * 5000])
def test_settings_that_no_parser_takes(text):
    with pytest.raises(UserError, match="seed=") as told:
        resolve(parse_assignments([f"seed={text}"]))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["a.json", "a.toml"])
def test_config_files_of_nothing_but_brackets(tmp_path, name):
    (tmp_path / name).write_text("x = " * (name == "a.toml") + "[" * 100_000)
    with pytest.raises(UserError, match=f"--config .*{name}"):
        read_config_file(tmp_path / name)


def test_a_line_that_unpacks_a_thousandfold(tmp_path):
    path = tmp_path / "train.tsv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"one\t<x>\n")
        for _ in range(3):
            file.write(bytes(LONGEST_LINE // 2))
    assert path.stat().st_size < LONGEST_LINE / 500
    with pytest.raises(UserError, match=r"train\.tsv\.gz:2: longer than 64 MiB; is it text\?"):
        list(read_lines(path))


@pytest.mark.parametrize("top_k", [0, -1, None, "3", 2.5])
def test_a_number_of_labels_that_is_none(stored_run, top_k):
    with pytest.raises(UserError, match=rf"^top_k={top_k!r}: must be a number, at least 1$"):
        xmlkit.load(stored_run).predict(["w1"], top_k=top_k)
