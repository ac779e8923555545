"""A tiny world that is real all through: a tokenizer of words, a BERT of random weights, a corpus to learn.

B documents, L labels, H encoder width.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import AutoModel, BertConfig, PreTrainedModel, PreTrainedTokenizerFast

from xmlkit.config import merge
from xmlkit.console import unsaid
from xmlkit.data.cache import cache_in
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.ragged import Ragged
from xmlkit.data.spelling import spellings
from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.discovery import load as load_plugin
from xmlkit.inference.predict import load_run
from xmlkit.model.encoder import Encoder, quiet_transformers
from xmlkit.model.inputs import Reader, names_of, ragged_labels, ragged_tokens
from xmlkit.model.model import Model, new_model
from xmlkit.model.parts import Known
from xmlkit.passing import Documents, RaggedLabels, RaggedTokens, Training
from xmlkit.plugins import settled
from xmlkit.tables import ClusterTable
from xmlkit.training.train import prepare
from xmlkit.training.trainer import Trainer

WORDS = [f"w{i}" for i in range(60)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SIZES: dict[str, Any] = {
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
NUM_LABELS = 12
# Few steps at a rate at which they tell; every door has something to do.
SETTINGS: dict[str, Any] = {
    "max_len": 16,
    "batch_size": 16,
    "validation": 0,
    "device": "cpu",
    "pooling": "first",
    "dropout": 0.1,
    "lr": 1e-3,
    "head_lr": 2e-2,
    "start": "prior",
    "log_every": 1,
    "max_steps": 5,
    "cluster_size": 3,
    "shortlist": 2,
    "label_width": 16,
}


def tokenizer(
    special: Sequence[str] = SPECIAL, template: str = "[CLS] $A [SEP]", padding_side: str = "right"
) -> PreTrainedTokenizerFast:
    """Words w0 to w59 behind the special tokens, framed by a template."""
    vocabulary = {token: i for i, token in enumerate([*special, *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=padding_side,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def backbone(config: Any = None, seed: int = 0) -> PreTrainedModel:
    """Random weights of this shape, by default a BERT's; without dropout."""
    config = BertConfig(**SIZES) if config is None else config
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(config, key):
            setattr(config, key, 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModel.from_config(config)


def texts(count: int, seed: int = 0, longest: int = 12) -> list[str]:
    """Random texts of 0 to `longest` words."""
    rnd = random.Random(seed)
    return [" ".join(rnd.choices(WORDS, k=rnd.randint(0, longest))) for _ in range(count)]


def label_rows(count: int, num_labels: int, seed: int = 0) -> Ragged:
    """Random label lists, some empty."""
    rnd = random.Random(seed)
    return Ragged.of([sorted(rnd.sample(range(num_labels), rnd.choice([0, 1, 2, 4]))) for _ in range(count)])


def learnable_corpus(documents: int = 300, num_labels: int = 10, name: str = "tiny") -> Corpus:
    """A document's labels are its words w0, w1 and so on: learnable in seconds."""
    known = WORDS[:num_labels]
    found = [text for text in texts(documents + 60, seed=5) if not set(known).isdisjoint(text.split())]
    labels = [sorted(set(known).intersection(text.split())) for text in found]
    cut = len(found) - 40
    return Corpus.of(found[:cut], labels[:cut], found[cut:], labels[cut:], name=name)


# ---------------------------------------------------------------------------------- for plugins' own tests


def tiny_model(
    plugins: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    num_labels: int = 23,
    starts: Sequence[int] | None = None,
    train_labels: RaggedLabels | None = None,
    train_text: RaggedTokens | None = None,
    label_text_LH: Tensor | None = None,
    encoder: nn.Module | None = None,
    template: Template | None = None,
    **settings: Any,
) -> Model:
    """A model of these plugins and their options, by name, through the same path as a real one.

    Every label is scored, or there are clusters that begin at the rows `starts`. H is 32; settings are those
    of a run. Raises UserError as a run would.
    """
    base = {"encoder": "tiny", "start": "prior", "pooling": "first", "plugins": list(plugins)}
    config, active = settled(merge(base, _sizes(plugins), options or {}, settings))
    whole = Encoder(encoder or backbone(), template or Template.of(tokenizer()), config.layers)
    if train_labels is None:
        train_labels = ragged_labels(label_rows(50, num_labels), num_labels)
    if train_text is None:
        train_text = ragged_tokens(tokenise(texts(50), tokenizer(), 100))
    names = Labels([f"l{row}" for row in range(num_labels)], [f"w{row % 60}" for row in range(num_labels)])
    has_names = label_text_LH is not None
    known = Known(
        None if starts is None else ClusterTable(torch.tensor([*starts, num_labels])),
        spell=partial(spellings, tokenizer()),
        label_ids=names.ids,
        read_names=names_of(names, tokenizer(), whole.template) if has_names else None,
        train_labels=train_labels,
        encode_names=None if label_text_LH is None else partial(Tensor.clone, label_text_LH),
        read_text=lambda: train_text,
        read_documents=lambda: texts(50),
    )
    return new_model(whole, num_labels, active, config, known)


def tiny_batch(
    found: Sequence[str], num_labels: int = 23, seed: int = 0, max_len: int = 16
) -> tuple[Documents, Training]:
    """Documents of these texts of words w0 to w59, and a Training with random labels."""
    kind = tokenizer()
    reader = Reader(tokenise(list(found), kind, 100), Template.of(kind), max_len)
    labels = ragged_labels(label_rows(len(found), num_labels, seed), num_labels)
    rng = torch.Generator().manual_seed(seed)
    return reader.documents(np.arange(len(found))), Training(labels, rng, torch.arange(len(found)))


@dataclass(frozen=True)
class TinyRun:
    """What came of a training of five steps; two of them are equal where every number is."""

    losses: list[dict[str, float]]  # of each step
    predictions: list[list[tuple[str, float]]]  # labels and scores of some texts


def tiny_run(
    plugins: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    clustered: bool = True,
    **settings: Any,
) -> TinyRun:
    """Trains five steps on 200 documents of 12 labels, saves, opens and predicts, as a real run does.

    Nothing that is written on the way stays. Raises UserError as a run would.
    """
    settings = {"plugins": list(plugins), "clustered": clustered, **(options or {}), **settings}
    with aside() as folder:
        fit(tiny_trainer(folder / "run", settings))
        found = load_run(folder / "run").predict(texts(20, seed=1), top_k=NUM_LABELS)
        return TinyRun(
            losses_of(folder / "run"), [[(best.label, best.score) for best in row] for row in found]
        )


def losses_of(run: Path) -> list[dict[str, float]]:
    """What the log has of the steps, but for their times."""
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    times = ("seconds", "documents_per_second")
    steps = [line for line in lines if "outcome" not in line]
    return [{name: value for name, value in line.items() if name not in times} for line in steps]


def tiny_trainer(folder: Path, settings: Mapping[str, Any]) -> Trainer:
    """A run that is ready for its first step; its encoder lies beside its folder."""
    encoder = folder.parent / "encoder"
    if not encoder.exists():
        quiet_transformers()
        backbone().save_pretrained(encoder)
        tokenizer().save_pretrained(encoder)
    sizes = _sizes(settings.get("plugins", ()))
    return prepare(named_corpus(), merge(SETTINGS, {"encoder": str(encoder)}, sizes, settings), folder)


def named_corpus() -> Corpus:
    """What tiny runs are trained on: 200 documents of 12 labels with names."""
    corpus = learnable_corpus(200, NUM_LABELS)
    named = Labels(corpus.labels.ids, [f"{label} w40" for label in corpus.labels.ids])
    return Corpus(corpus.name, named, corpus.train, corpus.test)


def _sizes(plugins: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The options that plugins have in a tiny world."""
    found = {name: load_plugin(name).tiny_options for name in plugins}
    return {name: options for name, options in found.items() if options}


def fit(trainer: Trainer) -> None:
    """Trains; Ctrl-C, at which a run ends its step and saves, ends a test as anywhere else."""
    trainer.fit()
    if trainer.stop_asked:
        raise KeyboardInterrupt


@contextmanager
def aside() -> Iterator[Path]:
    """A folder that is gone afterwards, the cache in it; and nothing is said of what is done there.

    Models this small are quickest on one thread, on a busy machine many times so.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(unsaid())
            stack.enter_context(cache_in(folder / "cache"))
            yield folder
    finally:
        torch.set_num_threads(threads)
