"""Promises of the contracts in doors.py: what a method returns, looked at at each call of each override.

A plugin that breaks one hears which promise, where and how it was broken, at the first step. Only shapes and
types are looked at, which costs no waiting for a device.

Shapes: B documents, D document width, K clusters, C candidates, E label width, U unique labels.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from xmlkit.errors import UserError

if TYPE_CHECKING:
    from xmlkit.doors import Head, LossCombiner, Part, Representation, Shortlister
    from xmlkit.passing import Documents, LayerStates, Training, Vectors

Promise = Callable[..., str]  # (part, what was returned, the arguments): what is wrong with it, or nothing
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def promises(promise: Promise) -> Callable[[MethodT], MethodT]:
    """Holds a contract's method to a promise, and with it whatever overrides it.

    What breaks the promise is a UserError that names the plugin, the hook, and what was expected. An override
    may call what it overrides, which then promises nothing: the part as a whole does.
    """

    count = len(inspect.signature(promise).parameters) - 2  # of the contract's arguments

    def hold(method: MethodT) -> MethodT:
        name = method.__name__

        @wraps(method)
        def checked(part: Part, *arguments: Any, **named: Any) -> Any:
            found = method(part, *arguments, **named)
            if getattr(type(part), name) is not checked:
                return found
            if wrong := promise(part, found, *(*arguments, *named.values())[:count]):
                by = f"plugin {part.owner!r}, {part.door}" if part.owner else part.door
                raise UserError(f"{by}: {type(part).__name__}.{name}: {wrong}")
            return found

        checked.promise = promise  # type: ignore[attr-defined]  # a function may have attributes
        return checked  # type: ignore[return-value]  # of the same signature

    return hold


def hold_to_promises(part_class: type[Part]) -> None:
    """Has a part's overrides of the contract's methods keep the contract's promises, wherever they come from.

    One need not take what has a default: it isn't given that. Raises TypeError for one that can't take the
    contract's other arguments, that overrides what is final, or that has almost the name of a contract's
    method and is not used by the class itself: nothing would call it.
    """
    contract = next((base for base in part_class.__mro__[1:] if vars(base).get("door")), None)
    if contract is None:
        return
    of_all_doors = {name: value for name, value in vars(contract.__base__).items() if _promise(value)}
    for name, above in {**of_all_doors, **vars(contract)}.items():
        method = getattr(part_class, name)
        if getattr(above, "__final__", False) and method is not above:
            raise TypeError(f"{part_class.__name__}.{name} overrides what is final")
        promise = _promise(above)
        if promise and not _promise(method):
            own, asked = inspect.signature(method), inspect.signature(above)
            needed = [name for name, one in asked.parameters.items() if one.default is one.empty]
            try:
                own.bind(*needed)
            except TypeError as error:
                raise TypeError(
                    f"{part_class.__name__}.{name}{own} can't be called as {name}{asked}: {error}"
                ) from None
            method.__name__ = name
            if lacks := asked.parameters.keys() - own.parameters.keys() - set(needed):
                method = _without(method, len(needed), lacks)
            setattr(part_class, name, promises(promise)(method))
    _refuse_what_nothing_calls(part_class, [name for name in vars(contract) if not name.startswith("_")])


def left_out(method: Any) -> set[str]:
    """What a contract's method may be given, and this override of it is not."""
    found: set[str] = getattr(method, "left_out", set())
    return found


def _without(method: MethodT, count: int, lacks: set[str]) -> MethodT:
    """Called with the first arguments alone."""

    @wraps(method)
    def shorter(*arguments: Any, **named: Any) -> Any:
        given = {name: value for name, value in named.items() if name not in lacks}
        return method(*arguments[:count], **given)

    shorter.left_out = lacks  # type: ignore[attr-defined]  # a function may have attributes
    return shorter  # type: ignore[return-value]  # of the same signature


def _promise(method: Any) -> Promise | None:
    return getattr(method, "promise", None)


def _refuse_what_nothing_calls(part_class: type[Part], known: list[str]) -> None:
    functions = {name: value for name, value in vars(part_class).items() if inspect.isfunction(value)}
    used = {name for function in functions.values() for name in inspect.unwrap(function).__code__.co_names}
    for name in functions:
        if name.startswith("_") or name in known or name in used:
            continue
        if meant := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            raise TypeError(
                f"{part_class.__name__}.{name}: nothing of this name is called; did you mean {meant[0]}? "
                f"If not, call it _{name}"
            )


# ------------------------------------------------------------------------------------------ the promises


def vectors(part: Representation, found: Any, states: LayerStates) -> str:
    """Both vectors, as wide as the part says."""
    batch = len(states.documents.tokens_BT)
    return (
        _unless_it_has(found, "Vectors", "recall_BD", "rank_BD")
        or _tensor("recall_BD", found.recall_BD, (batch, part.recall_width), like=states.layers)
        or _tensor("rank_BD", found.rank_BD, (batch, part.rank_width), like=states.layers)
    )


def contributions(part: Representation, found: Any, states: LayerStates, directions_UD: Tensor) -> str:
    """Spans within the text, and what each adds for each direction."""
    if found is None:
        return ""
    if wrong := _unless_it_has(found, "Contributions", "spans_P2", "adds_PU"):
        return wrong
    spans = len(found.spans_P2) if isinstance(found.spans_P2, Tensor) else 0
    return _tensor("spans_P2", found.spans_P2, (spans, 2), "int64") or _tensor(
        "adds_PU", found.adds_PU, (spans, len(directions_UD)), like=(directions_UD,)
    )


def voters(part: Shortlister, found: Any, vectors: Vectors, documents: Documents) -> str:
    """Documents with a likeness, a share of the vote and labels each."""
    if found is None:
        return ""
    if wrong := _unless_it_has(found, "Voters", "places_N", "kept", "likeness_N", "share_N", "labels"):
        return wrong
    count = len(found.places_N) if isinstance(found.places_N, Tensor) else 0
    if len(found.labels) != count:
        return f"labels are of {len(found.labels)} documents, expected {count}"
    return (
        _tensor("places_N", found.places_N, (count,), "int64")
        or _tensor("likeness_N", found.likeness_N, (count,), like=(vectors.rank_BD,))
        or _tensor("share_N", found.share_N, (count,), like=(vectors.rank_BD,))
    )


def directions(part: Head, found: Any, rank_1D: Tensor, vectors_UE: Tensor) -> str:
    """(U, D)."""
    return "" if found is None else _tensor("it", found, (len(vectors_UE), rank_1D.shape[1]), like=(rank_1D,))


def cluster_logits(part: Shortlister, found: Any, recall_BD: Tensor) -> str:
    """(B, K)."""
    return _tensor("it", found, (len(recall_BD), part.clusters.num_clusters if part.clusters else 0))


def shortlist(
    part: Shortlister, found: Any, vectors: Vectors, documents: Documents, training: Training | None
) -> str:
    """Candidates of one shape; in training with their truth, and with the losses that were announced.

    Where every label is scored, candidates with votes or None.
    """
    if found is None and part.every_label:
        return ""
    if wrong := _unless_it_has(
        found, "Shortlist", "rank_BD", "ids_BC", "mask_BC", "prior_BC", "truth_BC", "losses", "votes_BC"
    ):
        return wrong
    batch, width = vectors.rank_BD.shape
    has_votes = found.votes_BC is not None
    candidates = found.ids_BC.shape[-1] if isinstance(found.ids_BC, Tensor) and found.ids_BC.ndim else 1
    if wrong := _tensor("ids_BC", found.ids_BC, (batch, candidates), "int64"):
        return wrong
    shape = tuple(found.ids_BC.shape)
    if training is None and found.truth_BC is not None:
        return "truth_BC is there, expected None: at prediction there is no truth"
    if training is not None and (wrong := _unless_announced(part, found.losses)):
        return wrong
    if part.every_label and found.votes_BC is None:
        return "votes_BC is None, expected votes: every label is scored, so that candidates add nothing else"
    return (
        _tensor("rank_BD", found.rank_BD, (batch, width), like=(vectors.rank_BD,))
        or _tensor("mask_BC", found.mask_BC, shape, "bool")
        or _tensor("prior_BC", found.prior_BC, shape, like=(vectors.rank_BD,))
        or (_tensor("truth_BC", found.truth_BC, shape, "bool") if training is not None else "")
        or _scalars(found.losses)
        or (_tensor("votes_BC", found.votes_BC, shape, like=(vectors.rank_BD,)) if has_votes else "")
    )


def query(part: Head, found: Any, rank_BD: Tensor) -> str:
    """(B, E)."""
    return _tensor("it", found, (len(rank_BD), part.width), like=(rank_BD,))


def label_vectors(part: Head, found: Any, rows_U: Tensor | slice) -> str:
    """(U, E)."""
    return _tensor("it", found, (_count(rows_U, found), part.width))


def label_bias(part: Head, found: Any, rows_U: Tensor | slice) -> str:
    """(U,), or one number for all."""
    if isinstance(found, int | float) or (isinstance(found, Tensor) and found.ndim == 0):
        return ""
    return _tensor("it", found, (_count(rows_U, found),))


def products(part: Head, found: Any, query_BE: Tensor, rows_U: Tensor | slice) -> str:
    """(B, U)."""
    return _tensor("it", found, (len(query_BE), _count(rows_U, found, dimension=-1)), like=(query_BE,))


def cost(part: Part, found: Any, z: Tensor, ids: Tensor | slice) -> str:
    """Of z's shape."""
    return _tensor("it", found, tuple(z.shape), like=(z,))


def costs(
    part: LossCombiner, found: Any, z_BC: Tensor, truth_BC: Tensor, mask_BC: Tensor, ids_BC: Tensor | slice
) -> str:
    """(B,)."""
    return _tensor("it", found, (len(z_BC),), like=(z_BC,))


def cluster_cost(part: LossCombiner, found: Any, z_BK: Tensor, truth_BK: Tensor) -> str:
    """0-d."""
    return _tensor("it", found, (), like=(z_BK,))


def own_losses(
    part: LossCombiner, found: Any, scores_BX: Callable[[Tensor], Tensor], training: Training
) -> str:
    """0-d losses by the names that were announced."""
    return _unless_announced(part, found) or _scalars(found)


def weighed(part: Part, found: Any, losses: dict[str, Tensor]) -> str:
    """0-d losses by name, every one that came in."""
    if not isinstance(found, Mapping) or not found:
        return f"it is {_kind(found)}, expected the losses by name"
    if missing := losses.keys() - found.keys():
        return f"{sorted(missing)[0]!r} is missing, expected each of {', '.join(losses)}"
    return _scalars(found)


def upstream(part: Part, found: Any, grads: dict[str, Tensor]) -> str:
    """Of the gradients' shape."""
    return _tensor("it", found, tuple(next(iter(grads.values())).shape))


def factors(part: Part, found: Any, model: Any) -> str:
    """Numbers by module."""
    if not isinstance(found, Mapping):
        return f"it is {_kind(found)}, expected factors by module"
    for module, factor in found.items():
        if not (isinstance(module, torch.nn.Module) and isinstance(factor, int | float) and factor >= 0):
            return f"the factor of {type(module).__name__} is {factor!r}, expected a number from 0 up"
    return ""


def reported(part: Part, found: Any) -> str:
    """0-d figures by name."""
    if not isinstance(found, Mapping):
        return f"it is {_kind(found)}, expected figures by name"
    return _scalars(found)


def _tensor(
    name: str, found: Any, shape: tuple[int, ...], kind: str = "float", like: tuple[Tensor, ...] = ()
) -> str:
    if not isinstance(found, Tensor):
        return f"{name} is {_kind(found)}, expected a tensor {shape}"
    if tuple(found.shape) != shape:
        return f"{name} is {tuple(found.shape)}, expected {shape}"
    if found.dtype == torch.float64 and like and all(tensor.dtype != torch.float64 for tensor in like):
        return f"{name} is of torch.float64, expected float32 (is there a NumPy number in it?)"
    if found.is_floating_point() if kind == "float" else str(found.dtype) == f"torch.{kind}":
        return ""
    return f"{name} is of {found.dtype}, expected {kind}"


def _scalars(found: Mapping[str, Any]) -> str:
    return next((wrong for name, value in found.items() if (wrong := _tensor(name, value, ()))), "")


def _unless_announced(part: Shortlister | LossCombiner, losses: Any) -> str:
    if isinstance(losses, Mapping) and tuple(losses) == part.loss_names:
        return ""
    names = list(losses) if isinstance(losses, Mapping) else _kind(losses)
    return f"losses are {names}, expected {list(part.loss_names)} as loss_names has it"


def _unless_it_has(found: Any, kind: str, *fields: str) -> str:
    if all(hasattr(found, name) for name in fields):
        return ""
    return f"it is {_kind(found)}, expected a {kind}"


def _kind(found: Any) -> str:
    return "None (is a `return` missing?)" if found is None else f"of type {type(found).__name__}"


def _count(rows_U: Tensor | slice, found: Any, dimension: int = 0) -> int:
    """U; where an open slice doesn't say, what was returned has it right."""
    if isinstance(rows_U, Tensor):
        return len(rows_U)
    if rows_U.start is None or rows_U.stop is None:
        return found.shape[dimension] if isinstance(found, Tensor) and found.ndim else 0
    return rows_U.stop - rows_U.start
