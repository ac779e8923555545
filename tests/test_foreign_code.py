"""Files from a stranger run nothing and ask nothing, whatever command opens them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch
from commands import xmlkit as command

import xmlkit
from xmlkit import UserError
from xmlkit.model.encoder import load_backbone, load_config, new_backbone
from xmlkit.training import train as training

SETTINGS = {"max_len": 16, "max_steps": 1, "device": "cpu", "clustered": False, "label_width": 8}
MAP = {"AutoConfig": "evil.C", "AutoModel": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}


def plant(encoder: Path, **config) -> Path:
    """Code beside the configuration, and settings that name it; returns the file that it would write."""
    written = encoder.parent / "it-was-run"
    imports = "from transformers import BertConfig as C, BertModel as M, PreTrainedTokenizerFast as T"
    (encoder / "evil.py").write_text(f"open({str(written)!r}, 'w').close()\n{imports}\n")
    for name, changes in (
        ("config.json", {"auto_map": MAP, **config}),
        ("tokenizer_config.json", {"auto_map": MAP, "tokenizer_class": "Evil"}),
    ):
        known = json.loads((encoder / name).read_text())
        (encoder / name).write_text(json.dumps({**known, **changes}))
    tiny.belong_together(encoder.parent)
    return written


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("it asked"))


CORPUS = tiny.learnable_corpus()
OPENED_BY = {
    "predict, evaluate": lambda run, out: xmlkit.load(run),
    "resume": lambda run, out: training.resume(run, CORPUS),
    "init-from": lambda run, out: training.train(CORPUS, {}, out, run),
    "train": lambda run, out: training.train(CORPUS, {**SETTINGS, "encoder": str(run / "encoder")}, out),
    "init-weights": lambda run, out: training.store_start(
        CORPUS, {**SETTINGS, "encoder": str(run / "encoder")}, out
    ),
    "compare": lambda run, out: xmlkit.compare(
        CORPUS, "base", {**SETTINGS, "encoder": str(run / "encoder")}, seeds=1, out=out
    ),
}


@pytest.mark.parametrize("command", OPENED_BY)
def test_a_model_that_needs_its_own_code_is_refused(command, copied_run, tmp_path):
    written = plant(copied_run / "encoder", model_type="evil")
    with pytest.raises(UserError, match="asks for code that comes with it, which is never run") as refused:
        OPENED_BY[command](copied_run, tmp_path / "out")
    assert str(copied_run / "encoder") in str(refused.value) and "\n" not in str(refused.value)
    assert not written.exists()


def test_a_model_that_transformers_has_itself_is_opened_without_the_code_beside_it(copied_run):
    written = plant(copied_run / "encoder")
    assert xmlkit.load(copied_run).predict(["w1 w2"])
    assert not written.exists()


def test_a_type_that_transformers_lacks_is_one_line(copied_run):
    config = copied_run / "encoder" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "evil"}))
    tiny.belong_together(copied_run)
    with pytest.raises(
        UserError, match=r"no usable config .*model type `evil`.*the run is not whole"
    ) as refused:
        xmlkit.load(copied_run)
    assert "\n" not in str(refused.value)


def test_a_kernel_that_the_configuration_names_is_not_fetched(copied_run):
    config = copied_run / "encoder" / "config.json"
    known = json.loads(config.read_text())
    config.write_text(json.dumps({**known, "attn_implementation": "evil/kernel"}))
    assert new_backbone(load_config(copied_run / "encoder")).config._attn_implementation == "sdpa"


def test_pickled_weights_are_not_read(tmp_path):
    folder = Path(tiny.save_encoder(tmp_path / "encoder"))
    (folder / "model.safetensors").unlink()
    torch.save(tiny.backbone("bert").state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"no file named model\.safetensors"):
        load_backbone(str(folder), tiny.tokenizer())


def test_the_texts_to_label_are_no_answer(copied_run):
    """A real process, whose input begins with what would have been a yes."""
    written = plant(copied_run / "encoder", model_type="evil")
    out, err = command("predict", copied_run, stdin="y\n1\nsome text\n", code=1)
    assert out == "" and len(err.strip().splitlines()) == 1
    assert "which is never run" in err and not written.exists()
