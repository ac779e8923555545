"""The four parts of a model: how they are built, and which plugins each of them is made of."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xmlkit.config import Config
from xmlkit.distributed.share import rows_to_come
from xmlkit.doors import Head, LossCombiner, Part, Representation, Shortlister
from xmlkit.errors import Incompatible, UserError
from xmlkit.hooks import DOORS, BuildContext
from xmlkit.passing import Documents, LayerStates, RaggedLabels, RaggedTokens
from xmlkit.plugins import Active, activate
from xmlkit.tables import ClusterTable

RANKER = "ranker"


class Parts(NamedTuple):
    """What stands at each door, in the doors' order: the outermost wrapper."""

    representation: Representation
    shortlister: Shortlister
    head: Head
    combiner: LossCombiner


def build_parts(build: BuildContext, active: Active, seed: int) -> Parts:
    """Builds the parts in the doors' order, each from its own seed.

    The default parts therefore start equal to the bit whatever is wrapped around them.
    """
    doors = active.doors
    with rows_to_come(False):  # each of several ranks may be about to read documents with it
        representation = build_representation(build, active, seed)
    widths = {"recall_width": representation.recall_width, "rank_width": representation.rank_width}
    with seeded(seed, "shortlist"):
        shortlister = doors["shortlist"](build=build, **widths)
    with seeded(seed, "head"):
        head = doors["head"](build=build, rank_width=widths["rank_width"])
    with seeded(seed, "loss"):
        combiner = doors["loss"](build=build, names=loss_names(shortlister))
    _check_costs(combiner)
    names = (*loss_names(shortlister), *combiner.loss_names)
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"two losses are called {twice[0]!r}: of the shortlist and the loss combiner")
    return Parts(representation, shortlister, head, combiner)


def build_representation(build: BuildContext, active: Active, seed: int) -> Representation:
    """The first of them alone, the same as among all four."""
    with seeded(seed, "representation"):
        representation: Representation = active.doors["representation"](build=build)
    if not (representation.recall_width and representation.rank_width):
        raise UserError(
            "--encoder none: no plugin makes document vectors; add one that does, such as --plugin lexical"
        )
    return representation


def loss_names(shortlister: Shortlister) -> tuple[str, ...]:
    """The losses that there are to combine: the shortlist's, and the ranker's."""
    return (*shortlister.loss_names, RANKER)


def _check_costs(combiner: LossCombiner) -> None:
    """Refuses a label's cost around a part that costs whole documents: nobody would ask for it."""
    maker, parts = combiner.cost_maker, chain(combiner)
    if maker is None:
        return
    for part in parts[parts.index(maker) + 1 :]:
        for name in ("when_true", "when_false"):
            if getattr(type(part), name) is not getattr(LossCombiner, name):
                raise Incompatible(
                    f"plugin {part.owner!r}, loss: {type(part).__name__}.{name} is never asked, since "
                    f"{maker.owner!r} within it costs whole documents: name {part.owner!r} before it in "
                    "--plugin"
                )


@dataclass(frozen=True)
class Known:
    """What a corpus or a saved model knows besides its sizes; see BuildContext."""

    clusters: ClusterTable | None = None
    spell: Callable[[], tuple[str, ...]] = tuple
    label_ids: Sequence[str] = ()
    read_names: Callable[[int], Documents] | None = None
    # In training alone:
    train_labels: RaggedLabels | None = None
    encode_names: Callable[[], Tensor] | None = None
    read_text: Callable[[], RaggedTokens] | None = None
    read_documents: Callable[[], list[str]] | None = None
    read_unlabelled: Callable[[], list[str]] | None = None


def build_context(
    config: Config,
    active: Active,
    num_layers: int,
    hidden: int,
    num_labels: int,
    known: Known,
    encode: Callable[[Documents], LayerStates],
) -> BuildContext:
    """What the hooks may know."""
    assert config.dropout is not None  # the settings are resolved
    return BuildContext(
        num_layers=num_layers,
        hidden=hidden,
        num_labels=num_labels,
        shortlist=config.shortlist,
        cluster_power=config.cluster_power,
        cluster_width=config.cluster_width,
        label_width=config.label_width,
        row_dtype=getattr(torch, config.row_precision),
        reduction=config.reduction,
        pooling=config.pooling,
        dropout=config.dropout,
        start=config.start,
        given=active.options_by_class,
        **vars(known),
        encode=encode,
    )


def chain(part: Part) -> list[Part]:
    """The parts that it is made of, the innermost first: that one makes it, and each other wraps it."""
    inner = chain(part.inner) if isinstance(part.inner, Part) else []
    return [*inner, part]


def chains(parts: Parts) -> dict[str, list[str]]:
    """Who makes what stands at each door, and then who wraps it, in order, in words."""

    def name(part: Part) -> str:
        return f"{type(part).__name__} ({part.owner})"

    found = {}
    for door, outermost in zip(DOORS, parts, strict=True):
        maker, *wrappers = chain(outermost)
        found[door] = [name(maker), *(f"{name(part)} around it" for part in wrappers)]
    return found


def chains_of_settings(config: Config, clustered: bool) -> dict[str, list[str]]:
    """The same before there is a corpus, for made-up sizes: the parts are built for no other end."""
    active = activate(config.plugins, config.options)
    clusters = ClusterTable(torch.tensor([0, 2, 4])) if clustered else None
    known = Known(clusters, read_names=lambda longest: Documents.none(4))

    def encode(documents: Documents) -> LayerStates:
        return LayerStates((torch.zeros(*documents.tokens_BT.shape, 768),) * config.layers, documents)

    build = build_context(config, active, config.layers, 768, 4, known, encode=encode)
    return chains(build_parts(build, active, config.seed))


@contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Torch's host generator at a state that follows from seed and name alone, put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
        yield
