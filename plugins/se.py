"""Squeeze-and-excitation over the encoder's layers.

Hu et al., CVPR 2018, eq. 2 to 4, with the N kept layers as channels:

    z_BN = the squeeze: one number a layer and document, from the classification token's state
    g_BN = sigmoid(W2 relu(W1 z_BN))              `activation=paper`
    g_BN = W2 (W1 z_BN)                           `activation=linear`, as the seed's branch has it

Layer n's states are scaled by g_BN[:, n] before the representation inside reads them.

The squeeze is `learned`, a projection H -> 1 of its own for each layer, since the mean and the maximum of
what a LayerNorm gives hardly vary from document to document: a gate that sees no difference makes none. How
much it differs between documents stands in the log as `se/deviation`, its mean as `se/gate/1` (of the lowest
kept layer) to `se/gate/N`.

`expand` widens the channels by one more convolution before they are narrowed (the seed: five channels reduced
to two say little). `per_element` gates every element of every layer instead, from all of them, through
`element_width` channels; its squeeze would leave nothing to gate by, so it has none.

Shapes: B documents, N layers, H encoder width.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from xmlkit import BuildContext, LayerStates, Representation, Vectors, hookimpl, say


class Options(BaseModel, extra="forbid", allow_inf_nan=False):
    """Settings."""

    squeeze: Literal["learned", "max", "mean"] = Field("learned", description="a layer's state to one number")
    activation: Literal["paper", "linear"] = Field("paper", description="ReLU and sigmoid, or neither")
    reduction: int = Field(2, ge=1, description="channels between the two convolutions")
    expand: int = Field(1, ge=1, description="times as many channels before they are reduced; 1: as many")
    per_element: bool = Field(False, description="a gate for each element of each layer")
    element_width: int = Field(256, ge=1, description="channels between, with per_element")
    learning_rate: float = Field(1e-3, gt=0, description="of the gate")

    @model_validator(mode="after")
    def _fits(self) -> Options:
        if self.per_element and self.expand > 1:
            raise ValueError("per_element has its width in element_width: leave expand at 1")
        return self


class LayerGate(Representation):
    """Scales what the inner representation reads by a gate that depends on the document."""

    def __init__(self, inner: Representation, build: BuildContext, options: Options):
        super().__init__(inner)
        self.learning_rate = options.learning_rate
        self.squeeze, self.per_element = options.squeeze, options.per_element
        layers, hidden = build.num_layers, build.hidden
        relu, sigmoid = (nn.ReLU(), nn.Sigmoid()) if options.activation == "paper" else (nn.Identity(),) * 2
        channels = layers * (hidden if self.per_element else 1)
        narrow = options.element_width if self.per_element else options.reduction
        wide = channels * options.expand
        first = [nn.Linear(channels, wide), relu] if options.expand > 1 else []
        to_narrow, to_gates = nn.Linear(wide, narrow), nn.Linear(narrow, channels)
        self.gate = nn.Sequential(*first, to_narrow, relu, to_gates, sigmoid)
        if options.activation == "linear":
            nn.init.ones_(to_gates.bias)  # an unbounded gate begins around 1
        if self.squeeze == "learned" and not self.per_element:
            self.look_NH = nn.Parameter(torch.randn(layers, hidden) / hidden**0.5)
            self.look_bias_N = nn.Parameter(torch.zeros(layers))
        self._seen: list[Tensor] = []  # the gates of a step so far

    def forward(self, states: LayerStates) -> Vectors:
        """The inner representation's, of gated layers."""
        first_BNH = states.first_BNH
        if self.per_element:
            gain_BNH = self.gate(first_BNH.flatten(1)).unflatten(1, first_BNH.shape[1:])
        else:
            gain_BNH = self.gate(self._squeezed_BN(first_BNH))[..., None]
        if torch.is_grad_enabled():
            self._seen.append(gain_BNH.detach().float())
        return self.inner(states.scaled(gain_BNH))

    def report(self) -> dict[str, Tensor]:
        """Over the documents of the step each layer's mean gate, and the gates' mean standard deviation."""
        seen, self._seen = self._seen, []
        if not seen:
            return super().report()
        gain_BNH = torch.cat(seen)
        means = {f"se/gate/{n}": mean for n, mean in enumerate(gain_BNH.mean((0, 2)), 1)}
        return {**super().report(), "se/deviation": gain_BNH.std(0, correction=0).mean(), **means}

    def _squeezed_BN(self, first_BNH: Tensor) -> Tensor:
        if self.squeeze == "max":
            return first_BNH.amax(2)
        if self.squeeze == "mean":
            return first_BNH.mean(2)
        return (first_BNH * self.look_NH).sum(2) + self.look_bias_N


@hookimpl(wrapper=True)
def representation(build: BuildContext) -> Generator[None, Representation, Representation]:
    """Around whatever the representation is."""
    inner = yield
    if not build.num_layers:
        if build.train_labels is not None:
            say("se: nothing to do, since without an encoder there are no layers")
        return inner
    if build.pooling == "mean" and build.train_labels is not None:
        say("se: pooling=mean reads the last layer alone, so one gate is all that counts; try pooling=first")
    return LayerGate(inner, build, build.options(Options))
