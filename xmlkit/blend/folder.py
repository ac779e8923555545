"""An ensemble's folder: a run like any other, that holds its members.

ensemble.json       members, settings of the metrics, what was judged, and the digests of all files but those
                    of runs, which have their own
labels.json         ids, names and numbers of training documents, held out or not, and of those that are not,
                    in the order of label rows
fusion.safetensors  weights, trees where there are any, and calibration
members/0, 1, ...   what each member wrote
towers/0, 1, ...    the runs and encoders that members read texts with
threshold.json      where rankings are best cut, once that was asked for
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from xmlkit.blend.calibration import Calibration
from xmlkit.blend.fusion import Fusion, Weights
from xmlkit.blend.member import Member, kind
from xmlkit.blend.reranking import Reranked, num_shown
from xmlkit.blend.sums import sum_of
from xmlkit.blend.towers import Towers
from xmlkit.blend.trees import Trees
from xmlkit.config import DEEPEST, Precision
from xmlkit.data.corpus import Labels
from xmlkit.data.dialect import PLAIN, Dialect
from xmlkit.errors import UserError
from xmlkit.files import changed, digests, errors_named, inside
from xmlkit.measures.scoring import Scoring
from xmlkit.model.folder import DESCRIPTION as RUN
from xmlkit.model.folder import ENSEMBLE, files_of_run, is_ensemble, write_json
from xmlkit.model.tensor_file import load_tensors, save_tensors

DESCRIPTION = ENSEMBLE
LABELS, FUSION = "labels.json", "fusion.safetensors"


class _Recorded(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


RecordedT = TypeVar("RecordedT", bound=_Recorded)


Share = Annotated[float, Field(ge=0, lt=1)]  # of the training documents, held out
Most = Annotated[int, Field(ge=0)]  # of these


class RecordedLabels(_Recorded):
    """What labels.json holds."""

    ids: list[str]
    names: list[str] | None
    documents: list[Annotated[int, Field(ge=0, lt=2**63)]]
    seen: list[Annotated[int, Field(ge=0, lt=2**63)]]

    @model_validator(mode="after")
    def _fit(self) -> RecordedLabels:
        lengths = {len(self.ids), len(self.names or self.ids), len(self.documents), len(self.seen)}
        if len(lengths) > 1 or not self.ids:
            raise ValueError("columns are of unequal length, or empty")
        if len(set(self.ids)) < len(self.ids):
            raise ValueError("an id is there twice")
        return self


class RecordedMember(_Recorded):
    """One of the members, and what it was found to be worth."""

    name: str
    kind: str
    alone: dict[str, float]  # its own metrics on the held-out documents, in percent
    loss_without: list[float]  # of the metric that was fitted for: points lost, and a 95% interval


class Description(_Recorded):
    """What ensemble.json holds."""

    source: str | None
    dialect: Dialect = PLAIN
    corpus: str
    training_documents: Annotated[int, Field(ge=1, lt=2**63)]
    held_out_documents: Annotated[int, Field(ge=0)]
    validation: list[tuple[Share, Most]] = []  # `validation` and `validation_max` of each run
    fusion: Literal["fitted", "sum"]
    metric: str
    ks: Annotated[list[Annotated[int, Field(ge=1, le=DEEPEST)]], Field(min_length=1)]
    propensity_a: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    propensity_b: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    shrink: float | None
    trees: bool = False
    rare: float = 0.0
    judged: dict[str, float]  # on held-out documents, each by weights that had not seen it
    members: Annotated[list[RecordedMember], Field(min_length=1)]
    files: dict[Annotated[str, AfterValidator(inside)], str]


def write(
    folder: Path,
    described: dict[str, Any],
    labels: Labels,
    scoring: Scoring,
    seen_L: np.ndarray,
    members: list[Member],
    towers: Towers,
    fusion: Fusion,
    calibration: Calibration,
) -> None:
    """Fills the folder; what says that it is whole comes last."""
    counts = {"documents": scoring.counts_L.tolist(), "seen": seen_L.tolist()}
    write_json(folder / LABELS, {"ids": labels.ids, "names": labels.names, **counts})
    tensors = vars(calibration) | fusion.arrays
    save_tensors(folder / FUSION, {name: torch.tensor(array) for name, array in tensors.items()}, {})
    towers.save(folder / "towers", {member.tower_number for member in members})
    for number, member in enumerate(members):
        own = folder / "members" / str(number)
        own.mkdir(parents=True)
        with errors_named(own):
            member.save(own)
    of_runs = {path.parent for path in folder.glob(f"towers/*/{RUN}")}
    paths = [path for part in ("members", "towers") for path in (folder / part).rglob("*") if path.is_file()]
    # What a run's model.json is, its other files are held to by it.
    kept = [path for path in paths if path.name == RUN or not of_runs.intersection(path.parents)]
    names = [path.relative_to(folder).as_posix() for path in kept]
    files = digests(folder, [LABELS, FUSION, *sorted(names)])
    write_json(folder / DESCRIPTION, Description(**described, files=files).model_dump())


def describe(folder: Path) -> Description:
    """Raises UserError where it is damaged."""
    return _read(folder / DESCRIPTION, Description)


def documents_of_labels(folder: Path) -> list[int]:
    """How many training documents each label has, held out or not. Raises UserError where it is damaged."""
    return _read(folder / LABELS, RecordedLabels).documents


def files_of(folder: Path) -> list[str]:
    """The names of all files that opening a run or an ensemble needs.

    Raises UserError where one is not as it was written.
    """
    if not is_ensemble(folder):
        return files_of_run(folder)
    described = describe(folder)
    _check(folder, described)
    runs = [Path(name).parent for name in described.files if Path(name).name == RUN]
    inside = [(run / name).as_posix() for run in runs for name in files_of_run(folder / run)]
    return sorted({DESCRIPTION, *described.files, *inside})


def _check(folder: Path, described: Description) -> None:
    if (name := changed(folder, described.files)) is not None:
        state = "not as it was written" if (folder / name).is_file() else "missing"
        raise UserError(f"{folder / name} is {state}: put the file back")


def _read(path: Path, kind_: type[RecordedT]) -> RecordedT:
    try:
        return kind_.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is damaged, or another version's: {where}: {first['msg']}") from None


class Whole:
    """All that an ensemble's folder holds. Raises UserError where a file is not as it was written."""

    def __init__(self, folder: Path, precision: Precision | None = None):
        self.described = described = describe(folder)
        _check(folder, described)
        if not {LABELS, FUSION} <= described.files.keys():
            raise UserError(f"{folder / DESCRIPTION} is damaged: it names neither labels nor weights")
        labels = _read(folder / LABELS, RecordedLabels)
        self.labels, self.seen_L = Labels(labels.ids, labels.names), np.array(labels.seen, np.int64)
        self.scoring = Scoring(
            np.array(labels.documents, np.int64),
            described.training_documents,
            tuple(described.ks),
            described.propensity_a,
            described.propensity_b,
        )
        self.towers = Towers(folder / "towers", precision)
        self.members = [
            _opened(folder / "members" / str(number), member.kind, self.labels, self.towers)
            for number, member in enumerate(described.members)
        ]
        path, count = folder / FUSION, len(self.labels)
        self.fusion, self.calibration = _fusion(path, described, self.members, count)


def _fusion(
    path: Path, described: Description, members: list[Member], num_labels: int
) -> tuple[Fusion, Calibration]:
    tensors, _ = load_tensors(path)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    width = len(members) + 2
    try:
        calibration = Calibration(arrays["z_X"], arrays["chance_X"])
        fits = calibration.z_X.shape == calibration.chance_X.shape and bool(len(calibration.z_X))
        fits &= all(np.isfinite(array).all() for array in arrays.values())
        if described.fusion == "sum":
            fusion: Fusion = sum_of(members)
            fits &= not described.trees
        else:
            fusion = weights = Weights(arrays["w_F"], known_U := arrays["known_U"], arrays["d_UF"])
            fits &= weights.w_F.shape == (width,) and weights.d_UF.shape == (len(known_U), width)
            fits &= bool((np.diff(known_U) > 0).all()) and known_U.max(initial=0) < num_labels
            if described.trees:
                trees = Trees(**{field.name: arrays[field.name] for field in fields(Trees)})
                fits &= trees.fits(num_shown(len(members)))
                fusion = Reranked(weights, trees)
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise UserError(f"{path} is not of this ensemble: put the file back")
    return fusion, calibration


def _opened(folder: Path, name: str, labels: Labels, towers: Towers) -> Member:
    try:
        return kind(name).open(folder, labels, towers)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, RecursionError, RuntimeError) as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UserError(f"{folder} holds no member of the kind {name} ({what}): put its files back") from None
