"""One learned number a layer, times its states."""

import torch
from torch import nn

from xmlkit import Representation, hookimpl


class LayerGain(Representation):
    """Scales the layers that the inner representation reads."""

    learning_rate = 0.05
    weight_decay = 0.0

    def __init__(self, inner, num_layers):
        super().__init__(inner)
        self.gain_N = nn.Parameter(torch.ones(num_layers))

    def forward(self, states):
        batch = len(states.documents.tokens_BT)
        return self.inner(states.scaled(self.gain_N.expand(batch, -1)[..., None]))


@hookimpl(wrapper=True)
def representation(build):
    """Around whatever the representation is."""
    inner = yield
    return LayerGain(inner, build.num_layers)
