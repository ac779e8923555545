"""What every plugin must hold to, check by check: the docstring of each is the contract.

Each is shown a case: the plugin in a tiny model, alone or together with another plugin, with clusters or
without. It raises Broken with what the plugin did.

Shapes: B documents, T tokens, C candidates, L labels.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, wraps
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter

from xmlkit.data.ragged import Ragged
from xmlkit.data.tokens import tokenise
from xmlkit.discovery import BASE, Plugin, load
from xmlkit.doors import Part
from xmlkit.hooks import Run
from xmlkit.inference.predict import load_run
from xmlkit.model.inputs import Reader, ragged_labels
from xmlkit.model.model import Model
from xmlkit.model.parts import chain
from xmlkit.model.ranking import rank_documents
from xmlkit.passing import Documents, Training
from xmlkit.testing.tiny import fit, losses_of, named_corpus, texts, tiny_trainer, tokenizer
from xmlkit.testing.waits import NeverWaits
from xmlkit.training.feed import MicroBatch
from xmlkit.training.finite import NotFinite
from xmlkit.training.rows import dense_gradient, row_gradient, row_parameters, unite_rows
from xmlkit.training.train import resume
from xmlkit.training.trainer import Trainer

SEEDS = 3  # of a gradient that might be zero by chance
DOCUMENTS = 12


class Broken(Exception):
    """What the plugin did."""


@dataclass(frozen=True)
class Trained:
    """A run of a few steps."""

    trainer: Trainer
    losses: list[dict[str, float]]
    reached: set[str]  # the plugin's parameters whose gradient was not zero at some step

    @property
    def model(self) -> Model:
        """With the weights of the last step."""
        return self.trainer.model.eval()


@dataclass(frozen=True)
class Case:
    """A plugin among others in a tiny model, and what was trained of it so far."""

    name: str
    plugins: tuple[str, ...]  # in the order in which they wrap
    options: Mapping[str, Any]  # of the plugin
    clustered: bool
    scratch: Path
    reached: set[str]  # parameters that a gradient has reached, be it on the other path
    _numbers: Iterator[int] = field(default_factory=count)

    def __str__(self) -> str:
        path = "with clusters" if self.clustered else "with every label scored"
        return f"--plugin {','.join(self.plugins)}, {path}"

    @property
    def alone(self) -> bool:
        """Whether there is no other plugin."""
        return len(self.plugins) == 1

    @cached_property
    def plugin(self) -> Plugin:
        """The one that is looked at."""
        return load(self.name)

    def prepare(self, **settings: Any) -> Trainer:
        """A run that is ready for its first step."""
        own = {"plugins": list(self.plugins), self.name: dict(self.options), "clustered": self.clustered}
        own |= {"precision": "float32", **settings}
        return tiny_trainer(self.scratch / f"run-{next(self._numbers)}", own)

    def train(self, **settings: Any) -> Trained:
        """A run of five steps."""
        trainer = self.prepare(**settings)
        parameters = own_parameters(trainer.model, self.name)
        reached: set[str] = set()

        def look(*_: Any) -> None:
            reached.update(name for name, weight in parameters.items() if _has_gradient(weight))

        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(look)
        try:
            fit(trainer)
        except NotFinite as error:
            raise Broken(f"{error.fact}, with {settings or 'the default settings'}") from None
        return Trained(trainer, losses_of(trainer.run.folder), reached)

    @cached_property
    def untrained(self) -> Trainer:
        """A run that takes no step."""
        return self.prepare()

    @cached_property
    def first(self) -> Trained:
        """The run that most checks look at."""
        return self.train()

    @cached_property
    def broken_off(self) -> Trainer:
        """The same run after three steps, with a checkpoint of the second one, as a crash leaves it."""
        trainer = self.prepare(checkpoint_every=2)
        trainer.events.step_ended = partial(_break_off, trainer.events.step_ended)  # type: ignore[method-assign]
        with suppress(_BrokenOff):
            trainer.fit()
        return trainer


CHECKS: dict[str, Callable[[Case], None]] = {}


def check(function: Callable[[Case], None]) -> Callable[[Case], None]:
    """Enters a check under its function's name; they are made in this order."""
    CHECKS[function.__name__] = function
    return function


def alone(function: Callable[[Case], None]) -> Callable[[Case], None]:
    """What no other plugin makes otherwise is looked at without any: it costs a training."""

    @wraps(function)
    def unless_in_company(case: Case) -> None:
        if case.alone:
            function(case)

    return unless_in_company


@check
def options(case: Case) -> None:
    """A plugin says what it does in its docstring; each option has a default and a description, and survives
    JSON, in which a run keeps it."""
    if not case.plugin.description:
        raise Broken("its module has no docstring")
    kind = case.plugin.options_class
    for name, option in kind.model_fields.items() if kind else ():
        if option.is_required():
            raise Broken(f"the option {name!r} has no default")
        if not option.description:
            raise Broken(f"the option {name!r} has no description")
    if kind:
        given = kind(**case.options)
        if missing := kind.model_fields.keys() - given.model_dump().keys():
            raise Broken(f"the option {min(missing)!r} is excluded from what a run keeps")
        back = kind(**json.loads(given.model_dump_json()))
        if back != given:
            raise Broken(f"{given!r} came back as {back!r}")


@check
def shapes(case: Case) -> None:
    """A step and a prediction work, and a part returns what doors.py says in both; candidates are labels,
    each real one is there once, padding repeats one of the document's own, and the true ones are marked."""
    trainer = case.untrained
    model, batch = trainer.model.train(), _batch(trainer)
    _, training = batch.on(trainer.device, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for given in (None,) if model.shortlister.every_label else (training, None):
            _check_candidates(model, batch.documents, given)
    model.backward(model(batch.documents, training))
    model.eval().rank(batch.documents, 5)


def _check_candidates(model: Model, documents: Documents, training: Training | None) -> None:
    if model.shortlister.every_label and not model.shortlister.adds_votes:
        return
    short = model.shortlister(model.vectors(documents), documents, training)
    if short is None:  # every label is scored, and none has a vote
        return
    if not 0 <= int(short.ids_BC.min()) <= int(short.ids_BC.max()) < model.num_labels:
        raise Broken(f"ids_BC holds what is no label: they are 0 to {model.num_labels - 1}")
    if not torch.isfinite(short.prior_BC).all() or (short.prior_BC < 0).any():
        raise Broken("prior_BC, which scores are multiplied by, is negative or not finite")
    if training is None and (short.prior_BC > 1).any():
        raise Broken("prior_BC, which scores are multiplied by, is above 1 at prediction")
    if short.votes_BC is not None and not ((short.votes_BC >= 0) & short.votes_BC.isfinite()).all():
        raise Broken("votes_BC, which are added to logits, are negative or not finite")
    for ids_C, mask_C in zip(short.ids_BC, short.mask_BC, strict=True):
        real = ids_C[mask_C].tolist()
        if len(real) != len(set(real)):
            raise Broken(f"a document has candidates twice: {sorted(real)}; Shortlist.extended drops them")
        if strange := set(ids_C.tolist()) - set(real):
            raise Broken(f"padding holds {sorted(strange)}, which are no candidates of the document")
    if training is not None and not torch.equal(
        short.truth_BC & short.mask_BC, training.labels.contains(short.ids_BC) & short.mask_BC
    ):
        raise Broken("truth_BC marks others than the true labels; Shortlist.extended marks them")


@check
@alone
def unlabelled(case: Case) -> None:
    """Documents without a label cost what is finite, beside others and where a batch has none but them."""
    trainer = case.untrained
    model = trainer.model.train()
    rng = torch.Generator().manual_seed(0)
    documents, training = _batch(trainer).on(trainer.device, rng)
    none: list[list[int]] = [[] for _ in range(DOCUMENTS)]
    one_each = [[label] for label in range(DOCUMENTS)]
    for rows in (none[:1] + one_each[1:], none):
        given = replace(training, labels=ragged_labels(Ragged.of(rows), model.num_labels))
        for name, loss in model(documents, given).losses.items():
            if not torch.isfinite(loss):
                raise Broken(
                    f"the loss {name!r} is {float(loss.detach())} with {rows.count([])} of {DOCUMENTS}"
                )


@check
def finite(case: Case) -> None:
    """Losses and weights stay finite, in float32 and with an encoder in bfloat16."""
    rounded = {"precision": "bfloat16", "micro_batch_size": 8}
    runs = {"float32": case.first}
    if case.alone:
        runs["bfloat16"] = case.train(**rounded)
    for precision, trained in runs.items():
        for name, weight in trained.model.weights().items():
            if weight.is_floating_point() and not torch.isfinite(weight).all():
                raise Broken(f"in {precision}, {name} is not finite after {len(trained.losses)} steps")


@check
def gradients(case: Case) -> None:
    """A gradient reaches each parameter, with clusters or without, within five steps of one seed of three."""
    for seed in range(SEEDS):
        case.reached.update((case.train(seed=seed) if seed else case.first).reached)
        missing = own_parameters(case.first.model, case.name).keys() - case.reached
        if not missing:
            return
    raise Broken(f"none reached {', '.join(sorted(missing))}")


@check
@alone
def seed(case: Case) -> None:
    """Two runs with one seed are the same: draws come from training.rng, dropout from torch's generator."""
    again = losses_of(case.broken_off.run.folder)  # the weights are compared once it is gone on with
    for step, (one, other) in enumerate(zip(case.first.losses, again), start=1):
        if one != other:
            name = next(name for name in one if one[name] != other[name])
            raise Broken(f"{name} at step {step} was {one[name]:g} in one run and {other[name]:g} in another")


@check
def candidates(case: Case) -> None:
    """Of a trained model, too, candidates are there once, and votes for them are finite and not negative."""
    documents = _documents(case)
    with torch.no_grad():
        _check_candidates(case.first.model, documents, None)


@check
def randomness(case: Case) -> None:
    """Prediction has no randomness: dropout asks `self.training`, all else the argument `training`."""
    documents = _documents(case)
    torch.manual_seed(1)
    once_BL = _scores_BL(case.first.model, documents)
    torch.manual_seed(2)
    if not torch.equal(once_BL, _scores_BL(case.first.model, documents)):
        raise Broken("two predictions of the same documents differ")


@check
def padding(case: Case) -> None:
    """Padding changes nothing: a document's scores are the same however long its batch is."""
    documents = _documents(case)
    longer = replace(
        documents, tokens_BT=F.pad(documents.tokens_BT, (0, 5)), mask_BT=F.pad(documents.mask_BT, (0, 5))
    )
    scores_BL, other_BL = (_scores_BL(case.first.model, some) for some in (documents, longer))
    if not _close(scores_BL, other_BL):
        change = float((scores_BL - other_BL).abs().max())
        raise Broken(f"padded by five more tokens, a document's scores change by up to {change:g}")


@check
def company(case: Case) -> None:
    """A document's scores do not depend on the other documents of its batch."""
    together_BL = _scores_BL(case.first.model, _documents(case))
    for row, (text, together_L) in enumerate(zip(_texts(), together_BL, strict=True)):
        alone_L = _scores_BL(case.first.model, _documents(case, [text]))[0]
        if not _close(together_L, alone_L):
            change = float((together_L - alone_L).abs().max())
            raise Broken(f"document {row} of {DOCUMENTS} scores up to {change:g} otherwise on its own")


@check
def saving(case: Case) -> None:
    """A saved model predicts what it did before: its weights are parameters and buffers, of shapes that
    follow from sizes and options alone unless they are `sized`, and its options are in the run's folder."""
    model, reader, most = case.first.model, _reader(case), case.first.trainer.config.tokens_at_once
    every = np.arange(len(reader.store))
    ranked = rank_documents(model, model.head, reader, every, model.num_labels, most)  # in the same batches
    before = [dict(zip(ids_K, scores_K)) for scores_K, ids_K in zip(*(some.tolist() for some in ranked))]
    opened = load_run(case.first.trainer.run.folder)
    found = opened.predict(_texts(), top_k=len(opened.labels))
    rows = {label: row for row, label in enumerate(opened.labels.ids)}
    for row, best in enumerate(found):
        for prediction in best:
            expected = before[row].get(rows[prediction.label], 0.0)
            if abs(prediction.score - expected) > 1e-6:
                raise Broken(
                    f"label {prediction.label} of document {row} has the score {prediction.score:g} in the "
                    f"opened model, {expected:g} before"
                )


@check
@alone
def resuming(case: Case) -> None:
    """A run that was broken off ends with the weights of an unbroken one: what a part remembers between steps
    is in its buffers."""
    documents_alone = replace(named_corpus(), test=None)
    resumed = resume(case.broken_off.run.folder, documents_alone).model.opened.model.weights()
    for name, weight in case.first.model.weights().items():
        if not torch.equal(weight, resumed[name]):
            raise Broken(f"{name} is another one where the run was broken off and gone on with")


class _BrokenOff(Exception):
    """As a crash would."""


def _break_off(event: Callable[..., None], run: Run, step: int, report: dict[str, Tensor]) -> None:
    event(run, step, report)
    if step == 3:
        raise _BrokenOff


@check
@alone
def warm(case: Case) -> None:
    """A run that begins with what the encoder knows (`start=warm`) trains too: `take_start` is handed on."""
    trained = case.train(start="warm", max_steps=2)
    for name, weight in trained.model.weights().items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise Broken(f"{name} is not finite after {len(trained.losses)} steps")
    for outermost in (trained.model.head, trained.model.shortlister):
        made = chain(outermost)[0]
        for name, buffer in made.named_buffers():
            if made.owner == BASE and name.endswith("centre_D") and not buffer.any():
                raise Broken(f"the {made.door} that it wraps was not given the start: call inner.take_start")


@check
@alone
def averaging(case: Case) -> None:
    """Weights can be averaged (`swa_start`) and held-out documents scored on the way: the model can be
    copied, with all that its parts hold, and the event `evaluated` comes to an end."""
    trained = case.train(swa_start=0, swa_every=2, validation=0.2, eval_every=2)
    assert trained.trainer.averaged is not None
    scores_BL = _scores_BL(trained.trainer.averaged.module.eval(), _documents(case))
    if not torch.isfinite(scores_BL).all():
        raise Broken("the average predicts what is not finite")


@check
def devices(case: Case) -> None:
    """A part moves with its model: tensors are parameters or buffers, or made on the device of what comes
    in; and a step never waits for the device: it looks at no number there (no item, unique or nonzero) and
    copies nothing to it (no torch.tensor, list as an index, or number set at indexed places)."""
    trainer = case.untrained
    batch = _batch(trainer)
    meta = torch.device("meta")
    trained = copy.deepcopy(case.first.model)
    for model in (trainer.model, trained) if case.alone else (trained,):
        model.train().to(meta)
        documents, training = batch.on(meta, torch.Generator())
        with NeverWaits():
            model.backward(model(documents, training))
        model.eval().rank(documents, 5)
    if torch.cuda.is_available():
        expected_BL = _scores_BL(case.first.model, _documents(case))
        documents = _documents(case).to(torch.device("cuda"))
        found_BL = _scores_BL(case.first.model.to("cuda"), documents).cpu()
        case.first.model.to("cpu")
        if not torch.allclose(expected_BL, found_BL, rtol=1e-2, atol=1e-3):
            raise Broken(f"scores on CUDA differ by up to {float((expected_BL - found_BL).abs().max()):g}")


@check
@alone
def compiling(case: Case) -> None:
    """torch.compile gives the same losses and gradients, or the plugin says `compiles = False`."""
    if not case.plugin.compiles:
        return
    found = []
    for compiled in (False, True):
        trainer = case.prepare(dropout=0.0)
        model, batch = trainer.model.train(), _batch(trainer)
        if compiled:
            # The encoder is no plugin's, and tracing it takes longest.
            model.encoder.forward = torch.compiler.disable(model.encoder.forward)  # type: ignore[method-assign]
            model.compile(backend="aot_eager")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own, which are errors in some test suites
            output = model(*batch.on(trainer.device, torch.Generator().manual_seed(0)))
            model.backward(output)
        unite_rows(row_parameters(model))
        gradients = {name: dense_gradient(p) for name, p in model.named_parameters()}
        gradients = {name: gradient for name, gradient in gradients.items() if gradient is not None}
        found.append({**{f"loss {name}": loss for name, loss in output.losses.items()}, **gradients})
    torch.compiler.reset()
    plain, compiled_ = found
    if plain.keys() != compiled_.keys():
        raise Broken(f"compiled, no gradient reaches {sorted(plain.keys() ^ compiled_.keys())[0]}")
    for name, value in plain.items():
        if not _close(value, compiled_[name]):
            raise Broken(f"{name} differs")


# ------------------------------------------------------------------------------------------ what they share


def own_parameters(model: Model, plugin: str) -> dict[str, Parameter]:
    """The parameters of the plugin's parts, by door and name, that are there to be learnt."""
    found: dict[str, Parameter] = {}
    for outermost in model.parts:
        for part in chain(outermost):
            if part.owner == plugin:
                others = set(part.inner.parameters()) if isinstance(part.inner, Part) else set()
                for name, weight in part.named_parameters():
                    if weight.requires_grad and weight not in others:
                        found[f"{part.door}/{name}"] = weight
    return found


def _has_gradient(weight: Parameter) -> bool:
    if (rows := row_gradient(weight)) is not None:
        return bool(rows.squared_norms_U().sum() > 0)
    return weight.grad is not None and bool(weight.grad.count_nonzero() > 0)


def _batch(trainer: Trainer) -> MicroBatch:
    return trainer.micro_batches(trainer.data.train_rows[:DOCUMENTS])[0]


def _texts() -> list[str]:
    """One empty, one longer than the window, the others between."""
    return ["", " ".join(texts(4, seed=3, longest=40)), *texts(DOCUMENTS - 2, seed=4)]


def _documents(case: Case, found: list[str] | None = None) -> Documents:
    reader = _reader(case, found)
    return reader.documents(np.arange(len(reader.store)))


def _reader(case: Case, found: list[str] | None = None) -> Reader:
    reader = case.first.trainer.data.reader
    store = tokenise(found or _texts(), tokenizer(), case.first.trainer.config.text_cap)
    return Reader(store, reader.template, reader.max_len)


def _scores_BL(model: Model, documents: Documents) -> Tensor:
    """Each label's score, 0 where it is no candidate."""
    scores_Bk, ids_Bk = model.rank(documents, model.num_labels)
    known_Bk = ids_Bk >= 0
    scores_BL = torch.zeros(len(scores_Bk), model.num_labels, device=scores_Bk.device)
    return scores_BL.scatter_reduce(1, ids_Bk.clamp(min=0), scores_Bk * known_Bk, "amax")


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal in float32, where a sum may be taken in another order."""
    return torch.allclose(one, other, rtol=1e-3, atol=1e-5)
