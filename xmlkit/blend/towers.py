"""What makes vectors of texts for members, once for all that ask for the same: runs and plain encoders.

N texts, D width of a vector.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from xmlkit.blend.frozen import Frozen, Memory
from xmlkit.config import Config, Precision
from xmlkit.data.corpus import Corpus, Labels, validation_rows
from xmlkit.data.ragged import Ragged
from xmlkit.data.template import Template
from xmlkit.data.tokens import token_store, tokenise
from xmlkit.errors import UserError
from xmlkit.files import copy_files, errors_named
from xmlkit.inference.predict import ready_to_predict
from xmlkit.model.device import choose_device, use_bfloat16
from xmlkit.model.encoder import Encoder, load_backbone, load_tokenizer, longest_input
from xmlkit.model.folder import (
    DESCRIPTION,
    Opened,
    Recorded,
    check_is_run,
    check_no_ensemble,
    files_of_run,
    open_description,
    with_weights,
)
from xmlkit.model.inputs import Reader
from xmlkit.model.model import Model
from xmlkit.model.ranking import encode_documents, mean_states
from xmlkit.passing import Documents, Vectors
from xmlkit.training.freeze import means_suffice

Batch = tuple[np.ndarray, Documents, Vectors]
DEFAULTS = Config()
TOKENS_AT_ONCE = 2048  # of an encoder without a run
READING = "reading training documents"


class Tower(ABC):
    """Texts to vectors; those of the texts that it was asked for last are remembered.

    One that is `finished` is never saved again, so that its weights may be rounded.
    """

    def __init__(
        self,
        folder: str | Path,
        memory: Memory,
        precision: Precision | None = None,
        finished: bool = False,
    ):
        self.folder, self._memory = folder, memory
        self._precision, self._finished = precision, finished

    @abstractmethod
    def rank_ND(self, texts: Sequence[str]) -> Tensor:
        """What texts are ranked by, on the host, in float32."""

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """What reads them."""

    @abstractmethod
    def many_ND(self, texts: Sequence[str], what: str | None = None) -> Tensor:
        """The same of many texts, which are not remembered; `what` is shown meanwhile."""

    @abstractmethod
    def train_ND(self, corpus: Corpus, rows_N: np.ndarray) -> Tensor:
        """The same of training documents."""

    @abstractmethod
    def recall(self, corpus: Corpus, rows_N: np.ndarray) -> None:
        """These training documents will be asked about next; what the cache has of them is not read again."""

    @property
    @abstractmethod
    def encoder_name(self) -> str | None:
        """The same for all that read with one encoder and share what it says; None: it shares nothing."""

    @abstractmethod
    def forget(self) -> None:
        """The texts that it was asked for last."""

    @abstractmethod
    def check(self, corpus: Corpus, held_out_N: np.ndarray) -> None:
        """Raises UserError where it has learnt from other documents, or from some that are held out."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Copies all that opening it needs."""


class RunTower(Tower):
    """A run's model."""

    folder: Path
    _read: tuple[Sequence[str], list[Batch]] = ((), [])

    @cached_property
    def described(self) -> Recorded:
        """All but the weights."""
        return open_description(self.folder)

    @cached_property
    def _parts(self) -> tuple[Opened, Frozen | None]:
        opened = with_weights(self.folder, self.described)
        ready_to_predict(opened, self._precision)
        model, config = opened.model, opened.config
        frozen = Frozen(model.encoder, config, self._memory) if means_suffice(model, config) else None
        if self._finished:
            model.encoder.round_weights()
        return opened, frozen

    @property
    def opened(self) -> Opened:
        """The run, ready to predict."""
        return self._parts[0]

    @property
    def _frozen(self) -> Frozen | None:
        return self._parts[1]

    @property
    def model(self) -> Model:
        """The run's."""
        return self.opened.model

    def read(self, texts: Sequence[str]) -> list[Batch]:
        """Batches: places among the texts, the documents there and their vectors."""
        last = self._read  # another thread may ask about others meanwhile
        if last[0] is not texts:
            tokens = self._tokens(texts)
            reader = self._frozen.read(tokens) if self._frozen else self._reader(tokens)
            self._read = last = texts, list(self._stream(reader, np.arange(len(texts))))
        return last[1]

    def _tokens(self, texts: Sequence[str]) -> Ragged:
        return tokenise(texts, self.opened.tokenizer, self.opened.config.text_cap)

    def _training_tokens(self, corpus: Corpus) -> Ragged:
        return token_store(corpus.train.texts, self.opened.tokenizer, self.opened.config.text_cap)

    def _reader(self, tokens: Ragged) -> Reader:
        return Reader(tokens, self.model.encoder.template, self.opened.config.max_len)

    def _stream(self, reader: Reader, rows_N: np.ndarray, what: str | None = None) -> Iterator[Batch]:
        return encode_documents(self.model, reader, rows_N, self.opened.config.tokens_at_once, what)

    def rank_ND(self, texts: Sequence[str]) -> Tensor:
        """Of the batches that are remembered."""
        return self._gathered(self.read(texts), len(texts))

    def many_ND(self, texts: Sequence[str], what: str | None = None) -> Tensor:
        """What the head reads."""
        reader = self._reader(self._tokens(texts))
        return self._gathered(self._stream(reader, np.arange(len(texts)), what), len(texts))

    def train_ND(self, corpus: Corpus, rows_N: np.ndarray) -> Tensor:
        """A frozen encoder has read them all when it was trained: what it said is in the cache."""
        tokens = self._training_tokens(corpus)
        frozen = self._frozen
        reader = frozen.read_kept(tokens, rows_N, READING) if frozen else self._reader(tokens)
        return self._gathered(self._stream(reader, rows_N, READING), len(rows_N))

    def recall(self, corpus: Corpus, rows_N: np.ndarray) -> None:
        """An encoder that was trained reads them, like any others, when it is asked."""
        if self._frozen:
            self._frozen.recall(self._training_tokens(corpus), rows_N, READING)

    @property
    def encoder_name(self) -> str | None:
        """Where the encoder is frozen."""
        return self._frozen.name if self._frozen else None

    def forget(self) -> None:
        """The batches."""
        self._read = (), []

    def _gathered(self, batches: Iterable[Batch], count: int) -> Tensor:
        found_ND = torch.zeros(count, self.model.representation.rank_width)
        for at, _, vectors in batches:
            found_ND[torch.from_numpy(at)] = vectors.rank_BD.float().cpu()
        return found_ND

    def check(self, corpus: Corpus, held_out_N: np.ndarray) -> None:
        """The run must have held out the same documents, or more."""
        recorded = self.described
        corpus.check_same(recorded.corpus_digest, self.folder)
        config = recorded.config
        theirs = validation_rows(corpus.train.texts, config.validation, config.validation_max)
        if (held_out_N & ~theirs).any():
            raise UserError(
                f"{self.folder} was trained on documents that other members hold out: train it with their "
                "validation and validation_max"
            )

    def save(self, folder: Path) -> None:
        """Its files."""
        copy_files(self.folder, folder, files_of_run(self.folder))


class EncoderTower(Tower):
    """An encoder as it was pretrained: the mean of its last states over the tokens."""

    _last: tuple[Sequence[str], Tensor] = ((), torch.zeros(0))

    def rank_ND(self, texts: Sequence[str]) -> Tensor:
        """Those that are remembered."""
        last = self._last
        if last[0] is not texts:
            reader = self._frozen.read(self._tokens(texts))
            self._last = last = texts, self._means_ND(reader, np.arange(len(texts)))
        return last[1]

    @staticmethod
    def _means_ND(reader: Reader, rows_N: np.ndarray) -> Tensor:
        assert reader.means is not None
        return torch.from_numpy(reader.means(rows_N))

    @property
    def model(self) -> Encoder:
        """The encoder."""
        return self._parts[0]

    @cached_property
    def _parts(self) -> tuple[Encoder, PreTrainedTokenizerBase, Config, Frozen]:
        tokenizer = load_tokenizer(self.folder)
        backbone = load_backbone(str(self.folder), tokenizer)
        encoder = Encoder(backbone, Template.of(tokenizer), 1)
        longest = min(DEFAULTS.max_len, longest_input(backbone.config) or DEFAULTS.max_len)
        device = choose_device(DEFAULTS.device)
        encoder.in_bfloat16 = use_bfloat16(self._precision or DEFAULTS.precision, device)
        encoder.to(device).eval()
        settings = {"max_len": longest, "micro_batch_tokens": TOKENS_AT_ONCE}
        config = DEFAULTS.model_copy(update=settings)
        frozen = Frozen(encoder, config, self._memory)
        if self._finished:
            encoder.round_weights()
        return encoder, tokenizer, config, frozen

    @property
    def _frozen(self) -> Frozen:
        return self._parts[3]

    def _tokens(self, texts: Sequence[str]) -> Ragged:
        """No more than it reads."""
        encoder, tokenizer, config, _ = self._parts
        return tokenise(texts, tokenizer, config.max_len - encoder.template.special)

    def _training_tokens(self, corpus: Corpus) -> Ragged:
        """As runs keep them."""
        _, tokenizer, config, _ = self._parts
        return token_store(corpus.train.texts, tokenizer, config.text_cap)

    def many_ND(self, texts: Sequence[str], what: str | None = None) -> Tensor:
        """As said."""
        encoder, _, config, _ = self._parts
        reader = Reader(self._tokens(texts), encoder.template, config.max_len)
        return mean_states(encoder, reader, config.tokens_at_once, encoder.in_bfloat16, what)

    def train_ND(self, corpus: Corpus, rows_N: np.ndarray) -> Tensor:
        """Whoever has read them with these weights, a frozen run or another ensemble, has left them there."""
        return self._means_ND(self._frozen.read_kept(self._training_tokens(corpus), rows_N, READING), rows_N)

    def recall(self, corpus: Corpus, rows_N: np.ndarray) -> None:
        """As said."""
        self._frozen.recall(self._training_tokens(corpus), rows_N, READING)

    @property
    def encoder_name(self) -> str:
        """It stays as it is."""
        return self._frozen.name

    def forget(self) -> None:
        """Their vectors."""
        self._last = (), torch.zeros(0)

    def check(self, corpus: Corpus, held_out_N: np.ndarray) -> None:
        """It has seen none."""

    def save(self, folder: Path) -> None:
        """As the library writes it."""
        assert not self._finished
        encoder, tokenizer, *_ = self._parts
        with errors_named(folder):
            encoder.backbone.save_pretrained(folder)
            tokenizer.save_pretrained(folder)


class Towers:
    """Those of an ensemble, by the number under which its folder keeps them.

    Where there is a folder the ensemble is finished, and predicts with encoders in this precision; None: as
    each was trained.
    """

    def __init__(self, folder: Path | None = None, precision: Precision | None = None):
        self._of: dict[str, Tower] = {}
        self._memory: Memory = {}
        for kept in sorted(folder.iterdir()) if folder and folder.is_dir() else []:
            if not kept.is_dir():  # what file managers leave
                continue
            self._of[kept.name] = _tower(kept, self._memory, precision, finished=True)

    def __getitem__(self, number: str) -> Tower:
        """Raises UserError where there is none."""
        if number not in self._of:
            raise UserError(f"the ensemble is not whole: it has no encoder {number}")
        return self._of[number]

    def run(self, number: str) -> RunTower:
        """The same where it must be a run's."""
        tower = self[number]
        if not isinstance(tower, RunTower):
            check_is_run(Path(tower.folder))
            raise AssertionError
        return tower

    def add(self, what: str | Path) -> str:
        """The number of a run's folder or an encoder; one that is there already is not taken twice."""
        tower = _tower(what, self._memory)
        for number, other in self._of.items():
            if Path(other.folder).resolve() == Path(what).resolve():
                return number
        number = str(len(self._of))
        self._of[number] = tower
        return number

    def all(self) -> list[Tower]:
        """In order."""
        return list(self._of.values())

    def forget(self) -> None:
        """The texts that were asked for last, all of them and their encoders."""
        self._memory.clear()
        for tower in self.all():
            tower.forget()

    def save(self, folder: Path, used: Container[str | None]) -> None:
        """Each of those that are used in a folder of its number."""
        for number, tower in self._of.items():
            if number in used:
                (folder / number).mkdir(parents=True)
                tower.save(folder / number)


def _tower(
    what: str | Path, memory: Memory, precision: Precision | None = None, finished: bool = False
) -> Tower:
    if (Path(what) / DESCRIPTION).is_file():
        return RunTower(Path(what), memory, precision, finished)
    check_no_ensemble(Path(what))
    return EncoderTower(what, memory, precision, finished)


def write_number(folder: Path, number: str | None) -> None:
    """Which tower a member reads texts with."""
    assert number is not None
    (folder / "member.json").write_text(json.dumps({"tower": number}), encoding="utf-8")


def read_number(folder: Path) -> str:
    """The same. Raises KeyError, TypeError or ValueError where it is damaged."""
    number = json.loads((folder / "member.json").read_bytes())["tower"]
    if not isinstance(number, str):
        raise TypeError("member.json names no tower")
    return number


def rows_of(labels: Labels, wanted: Labels) -> np.ndarray:
    """The row among the wanted labels of each label; behind them -1, for what is no label."""
    return np.array([wanted.rows.get(label, -1) for label in labels.ids] + [-1], np.int64)
