"""Tiny real models: six encoder architectures, a tokenizer of each kind, a small corpus."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLNetConfig,
)

from xmlkit.config import resolve
from xmlkit.data.corpus import Corpus
from xmlkit.data.ragged import Ragged
from xmlkit.data.template import Template
from xmlkit.data.tokens import tokenise
from xmlkit.hooks import Training
from xmlkit.model.encoder import Encoder
from xmlkit.model.inputs import Reader, ragged_labels
from xmlkit.model.model import new_model
from xmlkit.plugins import activate
from xmlkit.tables import ClusterTable
from xmlkit.training.trainer import Trainer

WORDS = [f"w{i}" for i in range(60)]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
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
    last = name == "xlnet"
    special = ["[UNK]", "[PAD]", *SPECIAL[2:]] if name == "roberta" else SPECIAL
    vocabulary = {token: i for i, token in enumerate([*special, *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(
        single="$A:0 [SEP]:0 [CLS]:2" if last else "[CLS] $A [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side="left" if last else "right",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def backbone(name: str, seed: int = 0):
    """Random weights of one architecture, without dropout."""
    config = copy.deepcopy(CONFIGS[name])
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"):
        if hasattr(config, key):
            setattr(config, key, 0.0)
    torch.manual_seed(seed)
    return AutoModel.from_config(config)


def save_encoder(folder, name: str = "bert") -> str:
    """A local encoder folder as users have them; returns its path."""
    backbone(name).save_pretrained(folder)
    tokenizer(name).save_pretrained(folder)
    return str(folder)


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


def texts(count: int, seed: int = 0, longest: int = 12) -> list[str]:
    """Random texts of 0 to `longest` words."""
    rnd = random.Random(seed)
    return [" ".join(rnd.choices(WORDS, k=rnd.randint(0, longest))) for _ in range(count)]


def label_rows(count: int, num_labels: int, seed: int = 0) -> Ragged:
    """Random label lists, some empty."""
    rnd = random.Random(seed)
    return Ragged.of([sorted(rnd.sample(range(num_labels), rnd.choice([0, 1, 2, 4]))) for _ in range(count)])


def learnable_corpus(documents: int = 300, name: str = "tiny") -> Corpus:
    """A document's labels are its words w0 to w9: learnable in seconds."""
    found = [text for text in texts(documents + 60, seed=5) if any(f"w{i} " in text + " " for i in range(10))]
    labels = [sorted({word for word in text.split() if word in WORDS[:10]}) for text in found]
    cut = len(found) - 40
    return Corpus.of(found[:cut], labels[:cut], found[cut:], labels[cut:], name=name)


def model(
    num_labels: int = 23,
    plugins=(),
    options=None,
    train_labels=None,
    name: str = "bert",
    starts=None,
    names=None,
    **settings,
):
    """A tiny model through the real path: settings, plugins, doors; clusters begin at `starts`.

    `names` are the labels' names as the encoder would have them (L, H)."""
    config = resolve({"encoder": "tiny", "plugins": list(plugins), **(options or {}), **settings})
    encoder = Encoder(backbone(name), Template.of(tokenizer(name)), config.layers)
    active = activate(config.plugins, config.options)
    if train_labels is None:
        train_labels = ragged_labels(label_rows(50, num_labels), num_labels)
    clusters = None if starts is None else ClusterTable(torch.tensor([*starts, num_labels]))
    return new_model(
        encoder,
        num_labels,
        active,
        config,
        clusters,
        has_label_text=names is not None,
        train_labels=train_labels,
        encode_names=None if names is None else lambda: names,
    )


def batch(found: list[str], num_labels: int = 23, seed: int = 0, max_len: int = 16):
    """Documents of these texts and a Training with random labels."""
    kind = tokenizer()
    reader = Reader(tokenise(found, kind, 100), Template.of(kind), max_len)
    documents = reader.documents(np.arange(len(found)))
    labels = ragged_labels(label_rows(len(found), num_labels, seed), num_labels)
    return documents, Training(labels, torch.Generator().manual_seed(seed))
