"""Every label scored in training, however many there are: no clusters, no negatives to choose.

Renee (Jain et al., MLSys 2023) trains a one-versus-all head over millions of labels end to end, and ELMO
(ICML 2025) one with rows of low precision and an optimiser without momentum. What makes that possible is that
neither the scores of a batch, (B, L), nor the gradient of all label rows, (L, E), is ever held: labels are
taken a run at a time,

    z_BU = x_BE W_UE^T + b_U     G_BU = d cost / d z_BU     dx_BE += G_BU W_UE     dW_UE = G_BU^T x_BE

and the rows of a run are stepped before those of the next have a gradient. Their state is one number a row
with the core's `row_state=compact`, and half the memory is theirs with `row_precision=bfloat16`, to which
steps are rounded up or down at random. Unlike in the papers the loss itself is computed too, so that it can
be looked at, and scores are computed twice, so that a row is stepped once, however many micro-batches a step
has. `clip` is for the other weights: the norm of all rows' gradient would be known too late.

Shapes: B documents, L labels, U labels of a run, E label width.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from xmlkit import BuildContext, Documents, Shortlister, Training, Vectors, hookimpl, say

hooks_version = 2
settings = {"clustered": False}  # at any number of labels
tiny_options = {"labels_at_once": 5}
compiles = False  # autograd is called within a step's forward pass


class Options(BaseModel, extra="forbid"):
    """Settings."""

    labels_at_once: int = Field(
        16_384, ge=1, description="labels in a run: more take more memory, fewer take more time"
    )


class FullHead(Shortlister):
    """There is no shortlist: every label is scored, so many at a time."""

    every_label = True
    loss_names = ()

    def __init__(self, options: Options):
        super().__init__()
        self.at_once = options.labels_at_once

    @property
    def labels_at_once(self) -> int:
        """As the option says."""
        return self.at_once

    def forward(self, vectors: Vectors, documents: Documents, training: Training | None) -> None:
        """None: it has no votes."""
        return None


@hookimpl
def shortlist(build: BuildContext) -> Shortlister:
    """In place of the base's."""
    if build.clusters is not None and build.train_labels is not None:
        say("full-head: clusters are not read: add --set clustered=false, if label_width is not wanted")
    return FullHead(build.options(Options))
