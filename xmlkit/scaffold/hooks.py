"""For each hook a wrapper that works and, as its option is set at first, changes nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """What a generated module holds for one hook."""

    option: str  # of class Options
    other_value: str  # of that option, with which the model is another one
    imports: dict[str, list[str]]  # names by module
    code: str


REPRESENTATION = Example(
    option='scale: float = Field(default=1.0, gt=0, description="of document vectors")',
    other_value="scale=2.0",
    imports={"torch": ["Tensor"], "xmlkit": ["LayerStates", "Representation", "Vectors"]},
    code='''class Scaled(Representation):
    """Multiplies the document vectors."""

    def __init__(self, inner: Representation, options: Options):
        super().__init__(inner)
        self.scale = options.scale

    def forward(self, states: LayerStates) -> Vectors:
        """As wide as without it; `states` has all that the encoder gives."""

        def scaled(x_BD: Tensor) -> Tensor:
            return self.scale * x_BD

        vectors: Vectors = self.inner(states)
        return vectors.map(scaled, scaled)


@hookimpl(wrapper=True)
def representation(
    build: BuildContext,
) -> Generator[None, Representation, Representation]:
    """Around whatever the representation is."""
    inner = yield
    return Scaled(inner, build.options(Options))''',
)

SHORTLIST = Example(
    option='power: float = Field(default=1.0, ge=0, description="of the priors")',
    other_value="power=0.1",
    imports={
        "dataclasses": ["replace"],
        "xmlkit": ["Documents", "Shortlist", "Shortlister", "Training", "Vectors"],
    },
    code='''class Powered(Shortlister):
    """Raises what multiplies the candidates' scores at prediction to a power."""

    def __init__(self, inner: Shortlister, options: Options):
        super().__init__(inner)
        self.power = options.power

    def forward(
        self, vectors: Vectors, documents: Documents, training: Training | None
    ) -> Shortlist:
        """The inner candidates; `Shortlist.extended` adds others."""
        short: Shortlist = self.inner(vectors, documents, training)
        return replace(short, prior_BC=short.prior_BC**self.power)


@hookimpl(wrapper=True)
def shortlist(build: BuildContext) -> Generator[None, Shortlister, Shortlister]:
    """Around whatever the shortlist is; where every label is scored there is none."""
    inner = yield
    return inner if inner.every_label else Powered(inner, build.options(Options))''',
)

HEAD = Example(
    option='temperature: float = Field(default=1.0, gt=0, description="divides scores")',
    other_value="temperature=2.0",
    imports={"torch": ["Tensor"], "xmlkit": ["Head"]},
    code='''class Cooled(Head):
    """Divides the document side; `label_vectors_UE`, `label_bias_U` are the labels'."""

    def __init__(self, inner: Head, options: Options):
        super().__init__(inner)
        self.temperature = options.temperature

    def query_BE(self, rank_BD: Tensor) -> Tensor:
        """The document vector as labels see it."""
        return self.inner.query_BE(rank_BD) / self.temperature


@hookimpl(wrapper=True)
def head(build: BuildContext) -> Generator[None, Head, Head]:
    """Around whatever the head is."""
    inner = yield
    return Cooled(inner, build.options(Options))''',
)

LOSS = Example(
    option='weight: float = Field(default=1.0, gt=0, description="of true labels")',
    other_value="weight=2.0",
    imports={"torch": ["Tensor"], "xmlkit": ["LossCombiner"]},
    code='''class Weighted(LossCombiner):
    """Multiplies what a true label costs; `when_false` is what the others cost."""

    def __init__(self, inner: LossCombiner, options: Options):
        super().__init__(inner)
        self.weight = options.weight

    def when_true(self, z: Tensor, ids: Tensor | slice) -> Tensor:
        """Elementwise, of logits z."""
        return self.weight * self.inner.when_true(z, ids)


@hookimpl(wrapper=True)
def loss(build: BuildContext) -> Generator[None, LossCombiner, LossCombiner]:
    """Around whatever the loss is."""
    inner = yield
    return Weighted(inner, build.options(Options))''',
)

EXAMPLES = {"representation": REPRESENTATION, "shortlist": SHORTLIST, "head": HEAD, "loss": LOSS}
