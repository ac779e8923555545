"""Tiny real models: six encoder architectures, a tokenizer of each kind, a small corpus."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import forked
import pytest
from transformers import (
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLNetConfig,
)

from xmlkit.comparison import runs
from xmlkit.data.template import Template
from xmlkit.files import digests
from xmlkit.model.folder import DESCRIPTION, WEIGHTS
from xmlkit.model.tensor_file import load_tensors, save_tensors
from xmlkit.testing import tiny as world
from xmlkit.testing.tiny import SIZES, WORDS, label_rows, learnable_corpus, texts, tiny_model
from xmlkit.testing.tiny import tiny_batch as batch
from xmlkit.training.checkpoint import CHECKPOINT
from xmlkit.training.trainer import Trainer

__all__ = ["WORDS", "batch", "label_rows", "learnable_corpus", "texts"]

CONFIGS = {
    "bert": BertConfig(**SIZES),
    "roberta": RobertaConfig(**{**SIZES, "pad_token_id": 1}, bos_token_id=2, eos_token_id=3),
    "mpnet": MPNetConfig(**SIZES, bos_token_id=2, eos_token_id=3),
    "modernbert": ModernBertConfig(
        **SIZES,
        local_attention=4,
        global_attn_every_n_layers=2,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=2,
        eos_token_id=3,
    ),
    "distilbert": DistilBertConfig(
        vocab_size=64, dim=32, n_layers=3, n_heads=2, hidden_dim=64, max_position_embeddings=40
    ),
    "xlnet": XLNetConfig(vocab_size=64, d_model=32, n_layer=3, n_head=2, d_inner=64, pad_token_id=0),
}


def tokenizer(name: str = "bert") -> PreTrainedTokenizerFast:
    """Words w0 to w59 as `[CLS] text [SEP]`.

    XLNet's is `text [SEP] [CLS]`, padded on the left, [CLS] in segment 2; RoBERTa's padding has the id 1.
    """
    if name == "xlnet":
        return world.tokenizer(template="$A:0 [SEP]:0 [CLS]:2", padding_side="left")
    return world.tokenizer(["[UNK]", "[PAD]", "[CLS]", "[SEP]"] if name == "roberta" else world.SPECIAL)


def backbone(name: str, seed: int = 0, **sizes: int) -> PreTrainedModel:
    """Random weights of one architecture, without dropout."""
    config = copy.deepcopy(CONFIGS[name])
    config.update(sizes)
    return world.backbone(config, seed)


def save_encoder(folder, name: str = "bert", **sizes: int) -> str:
    """A local encoder folder as users have them; returns its path."""
    backbone(name, **sizes).save_pretrained(folder)
    tokenizer(name).save_pretrained(folder)
    return str(folder)


def belong_together(run: Path) -> None:
    """Gives a run whose files were edited the digests that a stranger would give it."""
    path = run / DESCRIPTION
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        document = json.loads(path.read_text())
        names = [*document["files"], *(f"encoder/{file.name}" for file in (run / "encoder").iterdir())]
        path.write_text(json.dumps({**document, "files": digests(run, names)}))
    for name in (WEIGHTS, CHECKPOINT):
        if (run / name).is_file():
            tensors, note = load_tensors(run / name)
            save_tensors(run / name, tensors, {**note, **digests(run, [DESCRIPTION])})


def status_of(script: str, *arguments: object) -> int:
    """The exit status of a Python process of its own."""
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    return forked.run(["-c", *map(str, arguments)], b"", None, environment, script).returncode


@contextmanager
def killed_before_step(number: int) -> Iterator[None]:
    """Breaks off the training in it after so many steps, as a crash would; nothing is saved."""
    real = Trainer.step

    def step(self, batches):
        if self.step_number == number:
            raise SystemExit
        return real(self, batches)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Trainer, "step", step)
        yield


@contextmanager
def compared_in_this_process() -> Iterator[None]:
    """Runs then take no seconds to begin; tests/comparison/test_processes.py is about their processes."""

    def work_through(tasks, at_once):
        return all(task.function(*task.arguments) for task in tasks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "work_through", work_through)
        yield


def predicted_in_a_new_process(run, texts: list[str]) -> list[list[list[str]]]:
    """Labels of each text with their scores, to the bit."""
    code = (
        "import json, sys, xmlkit; found = xmlkit.load(sys.argv[1]).predict(json.load(sys.stdin)); "
        "print(json.dumps([[[p.label, p.score.hex()] for p in ps] for ps in found]))"
    )
    done = forked.run(["-c", str(run)], json.dumps(texts).encode(), None, dict(os.environ), code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def model(
    num_labels: int = 23,
    plugins=(),
    options=None,
    train_labels=None,
    name: str = "bert",
    starts=None,
    names=None,
    train_text=None,
    **settings,
):
    """A tiny model through the real path: settings, plugins, doors; clusters begin at `starts`.

    `names` are the labels' names as the encoder would have them (L, H)."""
    shape = {"encoder": backbone(name), "template": Template.of(tokenizer(name))}
    given = (train_labels, train_text, names)
    return tiny_model(plugins, options, num_labels, starts, *given, **shape, **settings)
