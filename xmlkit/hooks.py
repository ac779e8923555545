"""The four doors of a run, and the contracts of what passes through them.

    texts -> tokens -> encoder -> [representation] -> | [shortlist] -> [head] -> [loss]
                                         the boundary: each loss is differentiated down to here first

A plugin is a module with a docstring, hook implementations and, where it has settings, a pydantic
model called `Options`. An entry point in the group `xmlkit` gives it its name:

    from pydantic import BaseModel, Field
    from xmlkit import LossCombiner, hookimpl

    class Options(BaseModel, extra="forbid"):
        weight: float = Field(2.0, gt=0, description="what a true label costs beside a false one")

    class Weighted(LossCombiner):
        def __init__(self, inner, options):
            super().__init__(inner)
            self.options = options

        def when_true(self, z, ids):
            return self.options.weight * self.inner.when_true(z, ids)

    @hookimpl(wrapper=True)
    def loss(build):
        inner = yield
        return Weighted(inner, build.options(Options))

Wrap (as above: `inner = yield` comes first) rather than make a part anew (a plain `@hookimpl` that
returns one). `--plugin a,b` is the order in which plugins wrap: b around a. What a wrapper leaves out,
its `inner` does. A hook implementation may leave out arguments that it does not need.

passing.py has what passes, doors.py what stands at a door: the contracts of what a hook returns.

A plugin module may say four more things: `hooks_version = 2`, the HOOKS_VERSION that it was written for (1
where it doesn't say); from version 2 on `settings = {"clustered": False}`, defaults of a run with it;
`compiles = False`, that torch.compile can't trace it; and `tiny_options`, its options in tiny models.

A maker may return None: then the base's part stands. Within `plugins/` there is one for each contract.

Shapes: B documents, H encoder width, L labels, C candidates, N documents of a set, K ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import pluggy
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from xmlkit.doors import Head, LossCombiner, Part, Representation, Shortlister
from xmlkit.errors import UserError
from xmlkit.passing import Documents, LayerStates, RaggedLabels, RaggedTokens, Vectors
from xmlkit.tables import ClusterTable

if TYPE_CHECKING:
    from xmlkit.config import Config

PROJECT = "xmlkit"
HOOKS_VERSION = 2  # one more when a plugin that was written for it might not work any longer
OLDEST_HOOKS = 1  # that plugins may be written for: what else they must change is told where it is met
DOORS = ("representation", "shortlist", "head", "loss")
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
OptionsT = TypeVar("OptionsT", bound=BaseModel)


def _no_encoder(documents: Documents) -> LayerStates:
    raise AssertionError("a build without an encoder")


@dataclass
class BuildContext:
    """What a hook may know when it builds its part: sizes and resolved options, saved with the model."""

    num_layers: int  # N
    hidden: int  # H
    num_labels: int  # L
    clusters: ClusterTable | None  # None: every label is scored
    shortlist: int  # S, the clusters that a document's candidates come from
    cluster_power: float  # exponent of a cluster's probability in the scores of its labels
    cluster_width: int | None  # the space in which clusters are scored; None: the document vector's
    label_width: int  # E, where there are clusters
    reduction: Literal["sum", "mean"]  # of a document's loss
    pooling: Literal["first", "mean"]  # what the default representation reads
    dropout: float  # on the document vector
    start: Literal["warm", "prior", "random"]  # how the default label rows and biases begin
    row_dtype: torch.dtype = torch.float32  # of the default label rows
    spell: Callable[[], tuple[str, ...]] = tuple  # what `vocabulary` is read by
    label_ids: Sequence[str] = ()  # as in the corpus, by row number
    train_labels: RaggedLabels | None = None  # None when a saved model is opened
    read_text: Callable[[], RaggedTokens] | None = None  # likewise
    read_documents: Callable[[], list[str]] | None = None  # likewise
    read_unlabelled: Callable[[], list[str]] | None = None  # likewise, and where there are none
    encode_names: Callable[[], Tensor] | None = None  # as `train_labels`, and when a run goes on
    encode: Callable[[Documents], LayerStates] = _no_encoder  # without a gradient also without dropout
    read_names: Callable[[int], Documents] | None = None  # None: labels have no names
    parts: dict[str, Part] = field(default_factory=dict)  # by door, what stands there so far
    given: dict[type[BaseModel], BaseModel] = field(default_factory=dict)  # options, by their class

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens' spellings by id, " " before what is marked to begin a word; "" is a special token's."""
        return self.spell()

    @property
    def has_label_text(self) -> bool:
        """Whether labels have names besides their ids."""
        return self.read_names is not None

    @property
    def train_text(self) -> RaggedTokens | None:
        """The tokens of the whole training texts, read anew at each call; None as `train_labels` is."""
        return self.read_text() if self.read_text else None

    @property
    def train_documents(self) -> list[str] | None:
        """The training texts as they are in the corpus; None as `train_labels` is."""
        return self.read_documents() if self.read_documents else None

    @property
    def unlabelled_documents(self) -> list[str]:
        """The texts without labels that steps read, too; none when a saved model is opened."""
        return self.read_unlabelled() if self.read_unlabelled else []

    @cached_property
    def label_text_LH(self) -> Tensor | None:
        """The labels' names by the encoder before training, its token means.

        None as `train_labels` is, and when a run goes on: a part that needs it keeps it in a buffer.
        """
        if self.encode_names is None or not (self.has_label_text and self.num_layers):
            return None
        return self.encode_names()

    def name_documents(self, longest: int) -> Documents | None:
        """The labels' names as the encoder reads them, each cut to so many tokens, by label; on the host.

        There when a saved model is opened, too. A label without a name is an empty text. None where no label
        has a name, and without an encoder.
        """
        return self.read_names(longest) if self.read_names and self.num_layers else None

    def options(self, kind: type[OptionsT]) -> OptionsT:
        """The resolved options of a plugin, by its own options class. Raises UserError for another class."""
        if kind not in self.given:
            raise UserError(
                f"build.options({kind.__name__}): no plugin in use has these options; a plugin's settings "
                f"are the class `Options` of its module (this one is of {kind.__module__})"
            )
        options = self.given[kind]
        assert isinstance(options, kind)
        return options


@dataclass
class Run:
    """A training run, as events see it."""

    folder: Path
    config: Config
    model: nn.Module
    num_steps: int
    corpus: str = ""  # its name
    is_first: bool = (
        True  # False in all but one of several processes: events come to each, and one writes files
    )
    steps_done: int = 0
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    rate_factor: float = 1.0  # an event may set it: what all rates are multiplied by from the next step on
    stops: bool = False  # likewise: the step that has ended is the last, which is then scored

    def rate_of(self, parameter: nn.Parameter) -> float:
        """The learning rate of this step; the sum of both where two optimisers step the parameter."""
        groups = (group for optimizer in self.optimizers for group in optimizer.param_groups)
        return sum(group["lr"] for group in groups if any(p is parameter for p in group["params"]))


class DocumentSet(Protocol):
    """Documents of a run, in their order: N of them, by their places 0 to N - 1."""

    labels: RaggedLabels  # of all N, on the host

    def batches(self, places: Tensor | None = None) -> Iterator[tuple[Tensor, Documents, Vectors]]:
        """Places (B,), on the host, with the documents there and their vectors, on the device.

        All documents, or those at these places, in batches of like length: not in order. The model is in eval
        mode, and there is no gradient.
        """


class Reading(Protocol):
    """What a plugin may read when a run is trained: each document is encoded when it is asked for.

    There are no gradients. Here N are the documents of a set, and K the ranks of a ranking.
    """

    @property
    def training(self) -> DocumentSet:
        """Those that were trained on."""

    @property
    def held_out(self) -> DocumentSet:
        """The validation documents; there may be none."""

    def logits_BC(self, rank_BD: Tensor, ids_BC: Tensor) -> Tensor:
        """The head's logits of each document's own candidates, without votes."""

    def rank(self, vectors: Vectors, documents: Documents, k: int) -> tuple[Tensor, Tensor]:
        """Scores and label ids as the model predicts them now, best first, both (B, k) or narrower.

        The id is -1 where there are fewer. Label vectors that a head computes are those of the first call.
        """

    def metrics(self, ids_NK: Tensor) -> dict[str, float]:
        """How good a ranking of the held-out documents is, in percent: `P@5`, `nDCG@5` and so on; ids (N, K).

        Raises UserError where none are held out.
        """


class Hooks(Protocol):
    """The four doors, called in this order when a model is built, and the events of a run."""

    @hookspec(firstresult=True)
    def representation(self, build: BuildContext) -> Representation:
        """From the encoder's layer states to the document vectors."""

    @hookspec(firstresult=True)
    def shortlist(self, build: BuildContext, recall_width: int, rank_width: int) -> Shortlister:
        """From the document vectors to the candidates."""

    @hookspec(firstresult=True)
    def head(self, build: BuildContext, rank_width: int) -> Head:
        """From document vectors and candidates to scores."""

    @hookspec(firstresult=True)
    def loss(self, build: BuildContext, names: tuple[str, ...]) -> LossCombiner:
        """From scores to losses and their gradient; `names` are those of the shortlist and the ranker."""

    # An event changes nothing by what it draws: the generators are afterwards as they were before.

    @hookspec
    def run_started(self, run: Run) -> None:
        """Training is about to begin, or to go on."""

    @hookspec
    def step_ended(self, run: Run, step: int, report: dict[str, Tensor]) -> None:
        """An optimiser step is done; `report` holds its losses, on the device. Step 1 is the first."""

    @hookspec
    def logged(self, run: Run, step: int, figures: dict[str, float]) -> None:
        """The run's log has these figures of this step, by these names; what is undefined is left out.

        It has losses and speed every `log_every` steps, and figures of each evaluation.
        """

    @hookspec
    def evaluated(self, run: Run, metrics: dict[str, float]) -> None:
        """The validation documents have been scored, in percent."""

    @hookspec
    def trained(self, run: Run, read: Reading) -> None:
        """Training has ended, not by Ctrl-C, and `run.model` has the best weights.

        After this they are saved once more, and the validation documents scored.
        """

    @hookspec
    def run_ended(
        self, run: Run, outcome: Literal["finished", "stopped early", "interrupted", "failed"]
    ) -> None:
        """Training is over and the best weights are in the run's folder, unless it has "failed".

        Then an error or a second Ctrl-C has broken it off, be it in `run_started` or in one process of
        several: what is open can be closed. That error is what is told, and none that comes here.
        """
