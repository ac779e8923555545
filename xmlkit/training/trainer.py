"""The training loop: steps, evaluations, the best weights.

B documents, D document width, L labels.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, tee

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from xmlkit.config import Config
from xmlkit.console import say
from xmlkit.data.batches import training_steps
from xmlkit.discovery import Plugin
from xmlkit.distributed import collectives, ranks
from xmlkit.errors import UserError
from xmlkit.hooks import Run
from xmlkit.model.folder import WEIGHTS, read_weights, save_weights
from xmlkit.model.model import Model
from xmlkit.model.ranking import rank_documents
from xmlkit.tables import shares_of
from xmlkit.training.checkpoint import (
    CHECKPOINT,
    below,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    restore_schedule,
    save_checkpoint,
)
from xmlkit.training.claim import LOG
from xmlkit.training.events import Events
from xmlkit.training.feed import MicroBatch, TrainingData, fed, micro_batches_of
from xmlkit.training.finite import FiniteWatch
from xmlkit.training.freeze import with_means
from xmlkit.training.in_runs import step_in_runs
from xmlkit.training.memory import give_back, hold_on
from xmlkit.training.optim import clip_gradients, optimizers, schedule, set_rates
from xmlkit.training.reading import RunReading
from xmlkit.training.report import Outcome, Report
from xmlkit.training.rows import forget_rows, row_parameters, unite_rows
from xmlkit.training.shortlists import ShortlistWatch
from xmlkit.training.stopping import stops_noted

CHOSEN_BY = ("P@5", "nDCG@5")  # the second where the first is equal, as with five labels or fewer
CHECKPOINT_SECONDS = 300.0


def count_steps(num_documents: int, config: Config) -> int:
    """Optimiser steps of a run that is not stopped early."""
    steps = config.epochs * math.ceil(num_documents / config.batch_size)
    return min(steps, config.max_steps or steps)


class Trainer:
    """Trains a model in place, and keeps the best weights in the run's folder."""

    def __init__(self, run: Run, data: TrainingData, plugins: Sequence[Plugin]):
        assert isinstance(run.model, Model)
        self.run, self.data = run, data
        self.model, self.config = run.model, run.config
        self.device = next(self.model.parameters()).device
        self.events = Events(plugins, self.device)
        self.rng = torch.Generator(self.device).manual_seed(self.config.seed)
        hold_on()
        self.rows = row_parameters(self.model)
        split = {*self.rows, *shares_of(self.model)}
        self.dense = [weight for weight in self.model.parameters() if weight not in split]
        # Learnt weights of losses are left out: large as their gradients are, they would shrink all steps.
        weights = set(self.model.combiner.parameters())
        self.clipped = [p for p in self.model.parameters() if p not in weights]
        modules: list[list[nn.Module]] = [[self.model], self.model.combiner.second_step(self.model)]
        factors = self.model.combiner.rate_factors(self.model)
        self.optimizers = [o for some in modules for o in optimizers(some, self.config, factors)]
        run.optimizers = self.optimizers
        self.schedules = [schedule(o, self.config, run) for o in self.optimizers]
        self.averaged = Average(self.model) if self.config.swa_start is not None else None
        self.watch = ShortlistWatch(data.reader, data.labels, data.validation_rows)
        self.finite = FiniteWatch(self.config, run.folder, data.num_documents)
        self.losses = ("loss", *self.model.loss_names)
        torch.manual_seed(self.config.seed)  # dropout draws from torch's own generator
        self.step_number = 0
        self.seconds = 0.0  # of steps, without evaluations and checkpoints
        self.stop_asked: signal.Signals | None = None  # be it in the last step
        self.best: list[float] | None = None  # the figures of CHOSEN_BY, and below the step that they are of
        self.best_step = 0
        self.evaluations_since_best = 0
        self._saved = time.monotonic(), 0.0  # when the last checkpoint was written, and how long that took

    def fit(self) -> Outcome:
        """Trains to the end, to an early stop or to Ctrl-C; weights are saved in each case.

        The first Ctrl-C lets the step end and saves a checkpoint; the second one stops at once. SIGTERM and
        SIGHUP likewise, and then do what they would have done at once.
        """
        self.data = with_means(self.model, self.data, self.config)
        self.watch.reader = self.data.reader
        self.run.steps_done = self.step_number
        try:
            outcome = self._fit()
        except BaseException:  # of Ctrl-C and of an exit, too
            self.events.run_failed(self.run)
            raise
        self.events.run_ended(self.run, outcome)
        if self.stop_asked is not None and self.stop_asked != signal.SIGINT:
            over = outcome != "interrupted"
            what = "the training is over; score the test split" if over else "interrupted; go on"
            say(f"{what} with: xmlkit train --resume {self.run.folder}")
            signal.raise_signal(self.stop_asked)
        return outcome

    def _fit(self) -> Outcome:
        self.events.run_started(self.run)
        self._agree()
        if not self.step_number:
            self.save()  # from here on there is a checkpoint until the training is over
            ranks.remember(str(self.run.folder))
        done, logged = (self.step_number, self.seconds), partial(self.events.logged, self.run)
        with Report(self.run.folder / LOG, self.run.num_steps, *done, logged) as report:
            outcome = self._train(report)
            if self.best is None:
                self.finite.check(self._evaluated_model().weights())
                save_weights(self.run.folder, self._evaluated_model())
            else:
                say(f"best weights: those of step {self.best_step:,}")
            if outcome != "interrupted":
                if self.events.awaits_trained:
                    self.save()  # it takes its time: what breaks it off can be made up for
                    self._call_trained(report)
                report.ended(self.step_number, outcome)
        if outcome == "interrupted":
            self.save()
        elif ranks.is_first():
            (self.run.folder / CHECKPOINT).unlink(missing_ok=True)
        return outcome

    def _train(self, report: Report) -> Outcome:
        if self.step_number and (self.run.stops or self._out_of_patience()):  # what came after was broken off
            return "finished" if self.step_number == self.run.num_steps else "stopped early"
        config, documents = self.config, self.data.steps
        lengths = documents.reader.lengths[documents.rows]
        steps_an_epoch = math.ceil(len(lengths) / config.batch_size)
        order = (
            rows
            for epoch in range(config.epochs)
            for rows in training_steps(lengths, config.batch_size, config.seed, epoch)
        )
        with stops_noted() as asked:
            left = islice(order, self.step_number, self.run.num_steps)
            steps, their_rows = tee(documents.rows[rows] for rows in left)
            if not self.run.num_steps:  # the start is the model
                self._evaluate(report)
                self.stop_asked = asked.by
            begun = time.perf_counter()
            for batches, rows in zip(fed(self.data, steps, config, self.device), their_rows):
                self.model.train(not self._dropout_is_off(steps_an_epoch))
                losses = self.step(batches)
                self.finite.note(self.step_number, rows, {name: losses[name] for name in self.losses})
                report.advance(sum(len(batch.labels) for batch in batches))
                done = self.step_number / steps_an_epoch
                last = self.step_number == self.run.num_steps
                if self.step_number == 1 or self._is_due(config.log_every) or last or self.run.stops:
                    self._log(report, losses, done, self.seconds + time.perf_counter() - begun)
                    self._agree()
                    give_back()
                last = last or self.run.stops
                if self.averaged is not None and self._averages(done):
                    self.averaged.update_parameters(self.model)
                self.seconds += time.perf_counter() - begun
                evaluates = self._is_due(config.eval_every or steps_an_epoch) or last
                if evaluates:
                    self._evaluate(report)
                    self._agree()
                asked_by, saves = ranks.greatest(asked.by or 0, self._checkpoint_is_due())
                self.stop_asked = signal.Signals(int(asked_by)) if asked_by else None
                if asked_by and ranks.are_several():
                    asked.agree()
                if (evaluates and self._out_of_patience() and not last) or self.run.stops:
                    return "stopped early"
                if (evaluates or saves) and not last:
                    self.save()
                if self.stop_asked and not last:
                    return "interrupted"
                begun = time.perf_counter()
        return "finished"

    def micro_batches(self, rows: np.ndarray) -> list[MicroBatch]:
        """What `step` takes, of these documents."""
        return micro_batches_of(self.data, rows, self.config, self.device)

    def step(self, batches: list[MicroBatch]) -> dict[str, Tensor]:
        """One optimiser step; its losses, means over the documents."""
        config = self.config
        forget_rows(self.rows)  # of a step that was broken off
        set_rates(self.schedules)
        self.rate = float(self.schedules[0].optimizer.param_groups[0]["lr"])
        in_runs = self.model.in_runs
        if in_runs:
            in_runs.forget()
        totals: dict[str, Tensor] = {}
        for batch in batches:
            output = self.model(*batch.on(self.device, self.rng))
            found = {"loss": self.model.backward(output, batch.share)}
            found |= {name: loss.detach() * batch.share for name, loss in output.losses.items()}
            totals = {name: totals.get(name, 0.0) + value for name, value in found.items()}
        collectives.sum_gradients(self.dense)
        self.model.combiner.before_step()
        unite_rows(self.rows)
        if config.clip is not None:
            clip_gradients(self.clipped, config.clip)
        with ranks.own_draws(self.device):  # rows are rounded at random
            if in_runs:  # before all else moves that label vectors are made of
                step_in_runs(in_runs, self.rows, self.optimizers)
            # The second optimiser's modules step first, as the first one's step is the whole model's.
            for optimizer in reversed(self.optimizers):
                optimizer.step()
        self.model.zero_grad(set_to_none=True)
        forget_rows(self.rows)
        self.step_number += 1
        self.run.steps_done = self.step_number
        losses = {**self.model.report(), **totals}
        self.events.step_ended(self.run, self.step_number, losses)
        self._agree()
        for rate in self.schedules:
            rate.step()
        return losses

    def _agree(self) -> None:
        """What events have asked one of several ranks for is asked of all."""
        if ranks.are_several():
            of_first = self.run.rate_factor if ranks.is_first() else -math.inf
            stops, self.run.rate_factor = ranks.greatest(self.run.stops, of_first)
            self.run.stops = bool(stops)

    def _checkpoint_is_due(self) -> bool:
        """By the settings; else every few minutes, at a fiftieth of the time at most."""
        if every := self.config.checkpoint_every:
            return self._is_due(every)
        ended, took = self._saved
        return time.monotonic() - ended > max(CHECKPOINT_SECONDS, 50 * took)

    def save(self) -> None:
        """Replaces the run's checkpoint by the present state."""
        begun = time.monotonic()
        tensors = {f"model/{name}": tensor for name, tensor in self.model.weights().items()}
        if self.averaged is not None:
            averaged = self.averaged.module.weights()
            tensors |= {f"averaged/{name}": tensor for name, tensor in averaged.items()}
            tensors["averaged"] = self.averaged.n_averaged
        for i, optimizer in enumerate(self.optimizers):
            moments = optimizer_tensors(optimizer, shares_of(self.model))
            tensors |= {f"optimizer/{i}/{name}": tensor for name, tensor in moments.items()}
        tensors |= {"random/torch": torch.get_rng_state(), "random/run": self.rng.get_state()}
        tensors |= {f"parts/{name}": tensor for name, tensor in self.model.between_steps().items()}
        tensors |= {f"watch/{kind}": clusters_NS for kind, clusters_NS in self.watch.last.items()}
        if self.device.type == "cuda":
            tensors["random/cuda"] = torch.cuda.get_rng_state(self.device)
        self.finite.check(tensors)
        numbers = {
            "device": self.device.type,
            "step": self.step_number,
            "seconds": self.seconds,
            "best": self.best,
            "best_step": self.best_step,
            "evaluations_since_best": self.evaluations_since_best,
            "schedules": [rate.state_dict() for rate in self.schedules],
            "rate_factor": self.run.rate_factor,
            "stops": bool(self.run.stops),
            "unlabelled": self.data.unlabelled and self.data.unlabelled.digest,
        }
        save_checkpoint(self.run.folder, tensors, numbers)
        self._saved = time.monotonic(), time.monotonic() - begun

    def restore(self) -> None:
        """Takes over the state of the run's checkpoint."""
        tensors, numbers = load_checkpoint(self.run.folder)
        if numbers["device"] != self.device.type:
            raise UserError(
                f"{self.run.folder} was trained on {numbers['device']}: it can't go on on {self.device.type}"
            )
        if numbers.get("unlabelled") != (self.data.unlabelled and self.data.unlabelled.digest):
            raise UserError(
                f"{self.config.unlabelled} has other texts than when {self.run.folder} was begun, or other "
                "ones are test documents: put it back"
            )
        self.model.load_weights(below("model/", tensors))
        if self.averaged is not None:
            self.averaged.module.load_weights(below("averaged/", tensors))
            self.averaged.n_averaged.copy_(tensors["averaged"])
        for i, (optimizer, rate) in enumerate(zip(self.optimizers, self.schedules, strict=True)):
            restore_optimizer(optimizer, below(f"optimizer/{i}/", tensors), shares_of(self.model))
            restore_schedule(rate, numbers["schedules"][i])
            for group, last in zip(optimizer.param_groups, rate.get_last_lr(), strict=True):
                group["lr"] = last
        self.model.take_between_steps(below("parts/", tensors))
        self.watch.last = below("watch/", tensors)
        torch.set_rng_state(tensors["random/torch"])
        self.rng.set_state(tensors["random/run"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random/cuda"], self.device)
        self.step_number, self.best, self.best_step = (numbers[key] for key in ("step", "best", "best_step"))
        self.seconds, self.run.rate_factor = numbers["seconds"], numbers["rate_factor"]
        if self.best is not None or (self.run.folder / WEIGHTS).is_file():
            read_weights(self.run.folder)  # of which damage is better told now than at the end
        self.evaluations_since_best = numbers["evaluations_since_best"]
        self.run.stops = numbers.get("stops", False)

    def _is_due(self, every: int) -> bool:
        return self.step_number % every == 0

    def _dropout_is_off(self, steps_an_epoch: int) -> bool:
        """With `dropout_off_after_eval`: from the first evaluation inside an epoch to its end."""
        every, done = self.config.eval_every, self.step_number
        if not (self.config.dropout_off_after_eval and every and len(self.data.validation_rows)):
            return False
        return done // every * every > done // steps_an_epoch * steps_an_epoch

    def _averages(self, epochs_done: float) -> bool:
        start = self.config.swa_start
        return start is not None and epochs_done > start and self._is_due(self.config.swa_every)

    def _evaluated_model(self) -> Model:
        """The averaged weights once there are any, as in LightXML; else the live ones."""
        if self.averaged is not None and self.averaged.n_averaged > 0:
            return self.averaged.module
        return self.model

    def _log(self, report: Report, losses: dict[str, Tensor], epochs_done: float, seconds: float) -> None:
        self.finite.check({})
        figures = {name: float(value) for name, value in losses.items()}
        report.figures(self.step_number, epochs_done, seconds, self.rate, figures)

    def _call_trained(self, report: Report) -> None:
        """The plugins' event, with the best weights, which then are saved and scored once more."""
        model = self._evaluated_model().eval()
        if self.best is not None and self.best_step != self.step_number:
            model.load_weights(read_weights(self.run.folder))
        with torch.no_grad():
            read = RunReading(model, self.data, self.config)
            self.events.trained(replace(self.run, model=model), read)
        self.finite.check(model.weights())
        save_weights(self.run.folder, model)
        if len(self.data.validation_rows):
            metrics = self.scores(model)
            watch = ShortlistWatch(self.data.reader, self.data.labels, self.data.validation_rows)
            shortlists = watch.look("shortlist", model, self.config.tokens_at_once)
            report.scores(self.step_number, metrics, shortlists, when="trained")
            self.events.evaluated(self.run, metrics)

    def scores(self, model: Model) -> dict[str, float]:
        """The metrics on the validation part, in percent."""
        data, by, head = self.data, self.data.scoring(self.config), model.head_for_prediction()
        rows, most = data.validation_rows, self.config.tokens_at_once
        _, ids_NK = rank_documents(model, head, data.reader, rows, max(by.ks), most)
        return by.scores(ids_NK, data.labels.take(rows))

    def _evaluate(self, report: Report) -> None:
        if not len(self.data.validation_rows):
            return
        model = self._evaluated_model()
        self.finite.check(model.weights())
        metrics = self.scores(model)
        report.scores(self.step_number, metrics, self._look_at_shortlists())
        self.events.evaluated(self.run, metrics)
        found = [metrics[name] for name in CHOSEN_BY]
        better = self.best is None or found > self.best
        self.evaluations_since_best = 0 if better else self.evaluations_since_best + 1
        if better or found == self.best:  # of equals the one that has learnt longer
            self.best, self.best_step = found, self.step_number
            save_weights(self.run.folder, model)

    def _look_at_shortlists(self) -> dict[str, float]:
        """Of the live weights, which choose the training negatives, and of the averaged ones."""
        most = self.config.tokens_at_once
        figures = self.watch.look("shortlist", self.model, most)
        if self._evaluated_model() is not self.model:
            figures |= self.watch.look("averaged_shortlist", self._evaluated_model(), most)
        return figures

    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.evaluations_since_best >= self.config.patience


class Average(AveragedModel):
    """A running mean (SWA) of each weight, in float32: bfloat16 would lose what a weight adds to it."""

    module: Model

    def __init__(self, model: Model):
        super().__init__(model, avg_fn=_mean)
        for weight in row_parameters(self.module):
            weight.data = weight.data.float()


def _mean(average: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    return average.lerp_(new.to(average.dtype), (1 / (torch.as_tensor(count) + 1)).to(average.dtype))
