"""Ways to train with both losses, and what each of them asks of the document vector.

The seed's claim: Lg, the loss of the shortlist, holds nothing of the ranker, so the part before it is trained
by the ranker's loss Ld alone; Lg's gradient must be added where the shortlist begins. Under automatic
differentiation the sum Lg + Ld already does exactly that. What differs, and is offered here by `mode`:

    split        the seed's branch: a second AdamW steps the encoder, the representation and the shortlist
                 too, on the same summed gradient; its moments are those of the first, so that this is, but
                 for weight decay and rounding, the next:
    doubled      the control of `split`: one optimiser, at twice the learning rate there
    upstream     the seed's text: dLg + dLd at the boundary, which is the plain sum
    fixed        w_g Lg + w_d Ld with the weights `generator` and `ranker`
    uncertainty  sum of exp(-s_i) L_i + s_i / 2 with learnt s (Kendall, Gal, Cipolla, CVPR 2018, eq. 7 to 10)
    gradnorm     weights learnt so that the losses' gradients at the boundary keep pace with each other
                 (Chen et al., ICML 2018, eq. 1 and 2, with `alpha`)

The log has, for each loss as it is weighed, the norm of its gradient at the document vectors, and the cosine:
`loss-fix/norm/NAME`, `loss-fix/cosine`. Where shortlist and ranker read parted vectors the two never meet,
and where a plugin adds a third loss there is no one pair of them: there is no cosine.

Shapes: B documents, D document width (both vectors side by side where they differ), I losses.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from xmlkit import BuildContext, LossCombiner, hookimpl, say


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    mode: Literal["split", "doubled", "upstream", "fixed", "uncertainty", "gradnorm"] = Field(
        "split", description="how the losses are combined"
    )
    generator: float = Field(1.0, ge=0, description="weight of the shortlist's loss, with mode=fixed")
    ranker: float = Field(1.0, ge=0, description="weight of the ranker's loss, with mode=fixed")
    alpha: float = Field(1.5, ge=0, description="how strongly gradnorm favours the loss that lags behind")
    learning_rate: float = Field(1e-2, gt=0, description="of learnt weights")


class Watched(LossCombiner):
    """The inner combiner, with the gradients at the boundary measured."""

    def __init__(self, inner: LossCombiner, names: tuple[str, ...], options: Options):
        super().__init__(inner)
        self.names, self.mode = names, options.mode
        self._squares: dict[str, Tensor] = {}  # of the gradients' norms, and their product; of a step so far

    def upstream_BD(self, grads: dict[str, Tensor]) -> Tensor:
        """The inner combiner's."""
        for name, grad_BD in grads.items():
            self._add(name, grad_BD.square().sum())
        if len(self.names) == 2 and grads.keys() >= set(self.names):
            first_BD, second_BD = (grads[name] for name in self.names)
            self._add("product", (first_BD * second_BD).sum())
            self._add("overlap", ((first_BD != 0) & (second_BD != 0)).any().float())
        return self.inner.upstream_BD(grads)

    def second_step(self, model: nn.Module) -> list[nn.Module]:
        """With `split` all that stands before the ranker."""
        own = _before_the_ranker(model) if self.mode == "split" else []
        return [*self.inner.second_step(model), *own]

    def rate_factors(self, model: nn.Module) -> dict[nn.Module, float]:
        """With `doubled` twice the inner combiner's for the same modules."""
        factors = self.inner.rate_factors(model)
        own = _before_the_ranker(model) if self.mode == "doubled" else []
        return {**factors, **{module: 2 * factors.get(module, 1.0) for module in own}}

    def report(self) -> dict[str, Tensor]:
        """Norms and cosine over the documents of the step, however many micro-batches they came in."""
        seen, self._squares = self._squares, {}
        found = {f"loss-fix/norm/{name}": seen[name].sqrt() for name in self.names if name in seen}
        if "product" in seen:
            lengths = (seen[self.names[0]] * seen[self.names[1]]).sqrt()
            cosine = seen["product"] / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)
            found["loss-fix/cosine"] = torch.where(seen["overlap"] > 0, cosine, torch.nan)
        return {**super().report(), **found}

    def _add(self, name: str, value: Tensor) -> None:
        self._squares[name] = self._squares.get(name, 0.0) + value.detach()


class Fixed(Watched):
    """Weights that are set."""

    def __init__(self, inner: LossCombiner, names: tuple[str, ...], options: Options):
        super().__init__(inner, names, options)
        self.weights = {"generator": options.generator, "ranker": options.ranker}

    def forward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each loss times its weight; a loss of another plugin's making keeps 1."""
        return {name: self.weights.get(name, 1.0) * loss for name, loss in self.inner(losses).items()}


class Uncertainty(Watched):
    """s_i = log sigma_i^2, learnt; a loss that cannot be made small is trusted less."""

    def __init__(self, inner: LossCombiner, names: tuple[str, ...], options: Options):
        super().__init__(inner, names, options)
        self.learning_rate, self.weight_decay = options.learning_rate, 0.0
        self.log_variance_I = nn.Parameter(torch.zeros(len(names)))

    def forward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """exp(-s_i) L_i + s_i / 2."""
        losses = self.inner(losses)
        logs = dict(zip(self.names, self.log_variance_I, strict=True))
        return {**losses, **{name: torch.exp(-s) * losses[name] + s / 2 for name, s in logs.items()}}

    def report(self) -> dict[str, Tensor]:
        """The weights too."""
        weights = torch.exp(-self.log_variance_I.detach())
        return {**super().report(), **_named(self.names, weights)}


class GradNorm(Watched):
    """Weights that sum to the number of losses, moved by the gradients' norms at the boundary.

    G_i = w_i |dL_i|, r_i = (L_i / L_i(0)) / their mean; the weights descend on sum |G_i - mean(G) r_i^alpha|,
    with the mean taken as constant. No second derivative is needed, since the norms come from the boundary.
    """

    counted = ("first_I",)
    first_I: Tensor

    def __init__(self, inner: LossCombiner, names: tuple[str, ...], options: Options):
        super().__init__(inner, names, options)
        self.learning_rate, self.weight_decay, self.alpha = options.learning_rate, 0.0, options.alpha
        self.raw_I = nn.Parameter(torch.zeros(len(names)))
        self.register_buffer("first_I", torch.zeros(len(names)))  # the losses of the first step; 0: not yet
        self._losses_I = torch.zeros(len(names))  # of a micro-batch
        self._noted_I: list[Tensor] = []  # those of the step so far, times their documents
        self._documents = 0

    def forward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """w_i L_i."""
        losses = self.inner(losses)
        self._losses_I = torch.stack([losses[name].detach() for name in self.names])
        weights_I = self._weights_I().detach()
        weighed = {name: w * losses[name] for name, w in zip(self.names, weights_I, strict=True)}
        return {**losses, **weighed}

    def upstream_BD(self, grads: dict[str, Tensor]) -> Tensor:
        """The inner combiner's; the micro-batch is noted."""
        documents = len(next(iter(grads.values())))
        self._documents += documents
        self._noted_I.append(documents * self._losses_I)
        return super().upstream_BD(grads)

    def before_step(self) -> None:
        """The gradient of the weights, from the losses and norms of the whole step."""
        super().before_step()
        now_I = sum(self._noted_I, torch.zeros_like(self._losses_I)) / self._documents
        self._noted_I, self._documents = [], 0
        self.first_I.copy_(torch.where(self.first_I == 0, now_I, self.first_I))
        progress_I = now_I / self.first_I.clamp(min=torch.finfo(now_I.dtype).tiny)
        rates_I = progress_I / progress_I.mean()
        weights_I = self._weights_I()
        none = torch.zeros_like(now_I[0])  # of a loss that does not reach the document vectors
        norms_I = torch.stack([self._squares.get(name, none) for name in self.names]).sqrt()
        paces_I = weights_I * (norms_I / weights_I.detach())
        goal_I = paces_I.detach().mean() * rates_I**self.alpha
        with torch.enable_grad():
            (paces_I - goal_I).abs().sum().backward()

    def report(self) -> dict[str, Tensor]:
        """The weights too."""
        return {**super().report(), **_named(self.names, self._weights_I().detach())}

    def _weights_I(self) -> Tensor:
        return len(self.names) * self.raw_I.softmax(0)


def _before_the_ranker(model: nn.Module) -> list[nn.Module]:
    return [model.get_submodule(name) for name in ("encoder", "representation", "shortlister")]


KINDS = {"fixed": Fixed, "uncertainty": Uncertainty, "gradnorm": GradNorm}


def _named(names: tuple[str, ...], weights_I: Tensor) -> dict[str, Tensor]:
    return {f"loss-fix/weight/{name}": weight for name, weight in zip(names, weights_I, strict=True)}


@hookimpl(wrapper=True)
def loss(build: BuildContext, names: tuple[str, ...]) -> Generator[None, LossCombiner, LossCombiner]:
    """Around whatever the loss is; where there is one loss alone, there is nothing to combine."""
    inner = yield
    options = build.options(Options)
    training = build.train_labels is not None
    if len(names) < 2:
        if training:
            say("loss-fix: nothing to do, since without a shortlist there is one loss alone")
        return inner
    if training and options.mode == "upstream":
        say("loss-fix: mode=upstream gives the plain sum's gradient: it trains as without the plugin")
    return KINDS.get(options.mode, Watched)(inner, names, options)
