"""Adds the logarithm of the whole text's length to the document vector, and counts what it hears."""

import torch

from xmlkit import Representation, Vectors, hookimpl

heard = []


class WithLength(Representation):
    """One element wider than the inner representation."""

    def __init__(self, inner):
        super().__init__(inner, inner.recall_width + 1, inner.rank_width + 1)

    def forward(self, states):
        vectors = self.inner(states)
        length_B1 = states.documents.text.offsets.diff()[:, None].float().log1p()

        def widen(x_BD):
            return torch.cat([x_BD, length_B1], 1)

        return Vectors(widen(vectors.recall_BD), widen(vectors.rank_BD))


@hookimpl(wrapper=True)
def representation():
    """Around whatever the representation is."""
    return WithLength((yield))


@hookimpl
def run_started(run):
    """Remembers it."""
    heard.append(("run_started", run.num_steps))


@hookimpl
def step_ended(step, report):
    """Remembers it."""
    heard.append(("step_ended", step, sorted(report)))


@hookimpl
def evaluated(metrics):
    """Remembers it."""
    heard.append(("evaluated", "P@5" in metrics))


@hookimpl
def run_ended(outcome):
    """Remembers it."""
    heard.append(("run_ended", outcome))
