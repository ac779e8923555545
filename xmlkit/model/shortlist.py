"""The default shortlist: none."""

from __future__ import annotations

from xmlkit.hooks import Documents, Shortlist, Shortlister, Training, Vectors


class EveryLabel(Shortlister):
    """Every label is scored. An object, since pluggy takes None for "no answer"."""

    every_label = True
    loss_name = None

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> Shortlist:
        """Never called: the model sees `every_label`."""
        raise AssertionError("with every label scored there is no shortlist to make")
