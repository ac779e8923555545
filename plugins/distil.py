"""Knowledge distillation: a smaller student learns a teacher's scores beside the true labels.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv 1503.02531), section 2,
with a sigmoid for each label in place of one softmax, as labels are independent. The teacher names for each
training document its best labels l, `top_k` at most, with scores p_l from 0 to 1. With the student's logits
z_l and the temperature T, the cross-entropy of the softened scores is what a document costs:

    q_l = sigmoid(logit(p_l) / T)
    distil = T^2 sum over these l of  q_l softplus(-z_l / T) + (1 - q_l) softplus(z_l / T)

T^2 keeps its gradient, T (sigmoid(z_l / T) - q_l), from vanishing as T grows. With `reduction=mean` it is the
mean over these labels. `weight` times its mean over the batch's documents is added to the other losses. What
labels the teacher doesn't name cost, and documents that it has no scores of, is for the other losses alone.
Texts of the setting `unlabelled` cost this, and no more.

The teacher is a run or an ensemble, which is asked when training begins (its answers are kept in the cache
folder); or a file of answers, which find their documents by the text, be its white space as it may (`predict`
reads one text a line):

    xmlkit train DATA --encoder SMALL --plugin distil --set distil.teacher=runs/TEACHER
    xmlkit predict runs/TEACHER TEXTS --top-k 20 --format jsonl --out scores.jsonl

and then `distil.teacher=scores.jsonl`. `--distil runs/TEACHER` is the first of these, and says at the end how
much was kept. A teacher that has learnt from the very training documents is surer of their labels than of
others'; where it looks documents up, it leaves out the one that it is asked about. A trained student needs no
teacher.

Shapes: N training documents and texts without labels behind them, M of these documents, G different ones of
all N, B documents, K labels that the teacher names.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, field_validator
from torch import Tensor

from xmlkit import BuildContext, LossCombiner, Training, UserError, hookimpl, lessons, read_scores, say

NAME = "distil"
Answer = tuple[str, dict[str, float]]  # a text, and the scores of its labels


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    teacher: str = Field(
        "",
        description="a run's folder, or scores: .jsonl, as predict writes it, or .tsv (or .gz added)",
    )
    top_k: int = Field(20, ge=1, description="labels of a document that are learnt from: the teacher's best")
    weight: float = Field(1.0, gt=0, description="of this loss beside the others")
    temperature: float = Field(1.0, ge=1, le=100, description="the higher, the nearer to a half the scores")

    @field_validator("teacher")
    @classmethod
    def _from_anywhere(cls, teacher: str) -> str:
        """The run remembers it, and may go on from another folder."""
        return str(Path(teacher).resolve()) if teacher else ""


class Distilled(LossCombiner):
    """Adds the loss; `scores_NK` are the teacher's, of the labels `ids_NK`, -1 where there are fewer."""

    ids_NK: Tensor
    soft_NK: Tensor

    def __init__(
        self, inner: LossCombiner, build: BuildContext, options: Options, ids_NK: Tensor, scores_NK: Tensor
    ):
        super().__init__(inner)
        self.options, self.reduction = options, build.reduction
        self.num_documents = 0 if build.train_labels is None else len(build.train_labels)
        soft_NK = (scores_NK.double().logit() / options.temperature).sigmoid().float()
        # Not persistent: they move with the model, and are in no file.
        self.register_buffer("ids_NK", ids_NK, persistent=False)
        self.register_buffer("soft_NK", soft_NK, persistent=False)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """One more."""
        return (*self.inner.loss_names, NAME)

    def own_losses(self, scores_BX: Callable[[Tensor], Tensor], training: Training) -> Mapping[str, Tensor]:
        """The formula above, without `weight`; there are no scores of a label's name."""
        losses, rows_B = self.inner.own_losses(scores_BX, training), training.rows_B
        at_B = torch.where(rows_B < -1, self.num_documents - 2 - rows_B, rows_B.clamp(min=0))
        ids_BK = self.ids_NK[at_B].long().masked_fill((rows_B == -1)[:, None], -1)
        mask_BK, temperature = ids_BK >= 0, self.options.temperature
        # Padding is a label of the batch: a row that nobody else reads would decay for nothing.
        ids_BK = torch.where(mask_BK, ids_BK, ids_BK.amax().clamp(min=0))
        z_BK = scores_BX(ids_BK) / temperature
        cost_BK = F.binary_cross_entropy_with_logits(z_BK, self.soft_NK[at_B].to(z_BK), reduction="none")
        cost_B = temperature**2 * (cost_BK * mask_BK).sum(1)
        if self.reduction == "mean":
            cost_B = cost_B / mask_BK.sum(1).clamp(min=1)
        return {**losses, NAME: cost_B.mean()}

    def forward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """This one times `weight`."""
        losses = self.inner(losses)
        return {**losses, NAME: self.options.weight * losses[NAME]}


def answers_of(teacher: Path, documents: list[str], top_k: int) -> Iterator[Answer]:
    """Asks a run about these documents, or reads what a file has, be it about others.

    Raises UserError where it is neither, or is damaged: with file and line.
    """
    if teacher.is_dir():
        asked = list(dict.fromkeys(documents))
        say(f"distil: {teacher} is asked about {len(asked):,} texts")
        yield from zip(asked, lessons(teacher, asked, top_k), strict=True)
        return
    if not teacher.exists():
        raise UserError(f"distil.teacher={teacher}: no such folder or file; name a run or scores")
    yield from read_scores(teacher)


def taught(build: BuildContext, documents: list[str], options: Options) -> tuple[Tensor, Tensor]:
    """Of each text the teacher's best labels that have a row, and their scores, both (N, K).

    The id -1 is padding. Of several answers about one text the last one counts. Says how many texts have
    scores; raises UserError where none has.
    """
    what = "training documents"
    if bare := build.unlabelled_documents:
        documents, what = documents + bare, f"{what} and texts without labels"
    group_of: dict[bytes, int] = {}
    groups_N = [group_of.setdefault(_key(text), len(group_of)) for text in documents]
    row_of, strangers = {label: row for row, label in enumerate(build.label_ids)}, set[str]()
    ids_GK = np.full((len(group_of), min(options.top_k, len(row_of))), -1, np.int32)
    scores_GK = np.zeros(ids_GK.shape, np.float32)
    for text, scores in answers_of(Path(options.teacher), documents, options.top_k):
        if (group := group_of.get(_key(text))) is not None:
            strangers.update(label for label in scores if label not in row_of)
            ranked = sorted(scores, key=scores.__getitem__, reverse=True)
            best = [label for label in ranked if label in row_of][: ids_GK.shape[1]]
            ids_GK[group] = -1
            ids_GK[group, : len(best)] = [row_of[label] for label in best]
            scores_GK[group, : len(best)] = [scores[label] for label in best]
    ids_NK = torch.from_numpy(ids_GK[groups_N])
    count, total = int((ids_NK >= 0).any(1).sum()), int((ids_NK >= 0).sum())
    found, others = f"{count:,} of {len(documents):,} {what} have its scores", ""
    if strangers:
        others = f"; labels that the student doesn't know: {len(strangers):,}, such as {min(strangers)!r}"
    if not total:
        why = others or "; their texts are not among those that it labels"
        raise UserError(f"distil.teacher={options.teacher}: {found}{why}")
    say(f"distil.teacher={options.teacher}: {found}, of {total / count:.1f} labels each{others}")
    return ids_NK, torch.from_numpy(scores_GK[groups_N])


def _key(text: str) -> bytes:
    """The same for texts that differ in white space alone."""
    return blake2b(" ".join(text.split()).encode(errors="surrogatepass"), digest_size=16).digest()


@hookimpl(wrapper=True)
def loss(build: BuildContext) -> Generator[None, LossCombiner, LossCombiner]:
    """Around whatever the loss is. A saved model is opened without its teacher, which may be gone."""
    inner = yield
    options, documents = build.options(Options), build.train_documents
    if not options.teacher:
        if documents is not None:
            say("distil: nothing to do without a teacher: name one with --set distil.teacher=FOLDER")
        return inner
    ids_NK, scores_NK = torch.zeros(0, 1, dtype=torch.int32), torch.zeros(0, 1)
    if documents is not None:
        ids_NK, scores_NK = taught(build, documents, options)
    return Distilled(inner, build, options, ids_NK, scores_NK)
