"""What a model is made of besides its corpus, and what its parts may know of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xmlkit.config import Config
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.spelling import spellings
from xmlkit.data.tokens import tokenise
from xmlkit.hooks import BuildContext
from xmlkit.model.device import use_bfloat16
from xmlkit.model.encoder import Encoder
from xmlkit.model.inputs import Reader, names_of, ragged_labels, ragged_tokens
from xmlkit.model.parts import Known, build_context
from xmlkit.model.ranking import mean_states
from xmlkit.passing import RaggedTokens
from xmlkit.plugins import Active
from xmlkit.tables import ClusterTable
from xmlkit.training.feed import TrainingData
from xmlkit.training.warm import Names


@dataclass(frozen=True)
class Ingredients:
    """Settings, plugins, and an encoder with its tokenizer, on their way to a device."""

    config: Config
    active: Active
    tokenizer: PreTrainedTokenizerBase
    encoder: Encoder
    device: torch.device

    def reader(self, texts: Sequence[str]) -> Reader:
        """Tokenises texts that are few enough for memory."""
        store = tokenise(texts, self.tokenizer, self.config.text_cap)
        return Reader(store, self.encoder.template, self.config.max_len)

    def names(self, labels: Labels) -> Names:
        """Their names; without any their ids, which may be words. An id in place of a name is none."""
        order = sorted(range(len(labels)), key=labels.ids.__getitem__)
        is_real_L = np.ones(len(labels), bool) if labels.names is None else labels.named_L
        return Names(self.reader([labels.text(label) for label in order]), np.array(order), is_real_L)

    def context(
        self, corpus: Corpus, data: TrainingData, clusters: ClusterTable | None, is_pretrained: bool = True
    ) -> BuildContext:
        """What the hooks may know in training; `is_pretrained`: the encoder is as before all steps."""
        labels, num_labels = corpus.labels, len(corpus.labels)

        def encode_names() -> Tensor:
            bfloat16 = use_bfloat16(self.config.precision, self.device)
            encoder = self.encoder.to(self.device)
            names = self.reader([labels.text(row) for row in range(num_labels)])
            return mean_states(encoder, names, self.config.tokens_at_once, bfloat16)

        def read_text() -> RaggedTokens:
            return ragged_tokens(data.reader.store.take(data.train_rows))

        def read_documents() -> list[str]:
            return [corpus.train.texts[row] for row in data.train_rows.tolist()]

        def read_unlabelled() -> list[str]:
            return data.unlabelled.documents if data.unlabelled else []

        known = Known(
            clusters,
            spell=partial(spellings, self.tokenizer),
            label_ids=labels.ids,
            read_names=names_of(labels, self.tokenizer, self.encoder.template, self.encoder.longest_input),
            train_labels=ragged_labels(data.labels.take(data.train_rows), num_labels),
            encode_names=encode_names if is_pretrained else None,
            read_text=read_text,
            read_documents=read_documents,
            read_unlabelled=read_unlabelled,
        )
        sizes = (self.encoder.num_layers, self.encoder.hidden, num_labels)
        return build_context(self.config, self.active, *sizes, known, encode=self.encoder.states)
