"""An ensemble's folder: a run like any other, that holds its members.

ensemble.json       members, settings of the metrics, what was judged, and the digests of all files but those
                    of runs, which have their own
labels.json         ids, names and numbers of training documents, in the order of label rows
fusion.safetensors  weights and calibration
members/0, 1, ...   what each member wrote
towers/0, 1, ...    the runs and encoders that members read texts with
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from xmlkit.blend.calibration import Calibration
from xmlkit.blend.fusion import Weights
from xmlkit.blend.member import Member, kind
from xmlkit.blend.sums import Sum
from xmlkit.blend.towers import Towers
from xmlkit.data.corpus import Labels
from xmlkit.errors import UserError
from xmlkit.files import changed, digests, errors_named
from xmlkit.inference.predict import Scoring
from xmlkit.model.folder import DESCRIPTION as RUN
from xmlkit.model.folder import write_json
from xmlkit.model.tensor_file import load_tensors, save_tensors

DESCRIPTION = "ensemble.json"
LABELS, FUSION = "labels.json", "fusion.safetensors"


class _Recorded(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RecordedMember(_Recorded):
    """One of the members, and what it was found to be worth."""

    name: str
    kind: str
    alone: dict[str, float]  # its own metrics on the held-out documents, in percent
    loss_without: list[float]  # of the metric that was fitted for: points lost, and a 95% interval


class Description(_Recorded):
    """What ensemble.json holds."""

    source: str | None
    corpus: str
    training_documents: int
    held_out_documents: int
    fusion: Literal["fitted", "sum"]
    metric: str
    ks: list[int]
    propensity_a: float
    propensity_b: float
    shrink: float | None
    judged: dict[str, float]  # on held-out documents, each by weights that had not seen it
    members: list[RecordedMember]
    files: dict[str, str]


def write(
    folder: Path,
    described: dict[str, Any],
    labels: Labels,
    scoring: Scoring,
    members: list[Member],
    towers: Towers,
    fusion: Weights | Sum,
    calibration: Calibration,
) -> None:
    """Fills the folder; what says that it is whole comes last."""
    documents = scoring.counts_L.tolist()
    write_json(folder / LABELS, {"ids": labels.ids, "names": labels.names, "documents": documents})
    tensors = vars(fusion) | vars(calibration)
    save_tensors(folder / FUSION, {name: torch.tensor(array) for name, array in tensors.items()}, {})
    towers.save(folder / "towers", {member.tower_number for member in members})
    for number, member in enumerate(members):
        own = folder / "members" / str(number)
        own.mkdir(parents=True)
        with errors_named(own):
            member.save(own)
    of_runs = {path.parent for path in folder.glob(f"towers/*/{RUN}")}
    paths = [path for part in ("members", "towers") for path in (folder / part).rglob("*") if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in paths if not of_runs.intersection(path.parents)]
    files = digests(folder, [LABELS, FUSION, *sorted(names)])
    write_json(folder / DESCRIPTION, Description(**described, files=files).model_dump())


def is_ensemble(folder: Path) -> bool:
    """Whether it is the folder of one."""
    return (folder / DESCRIPTION).is_file()


def describe(folder: Path) -> Description:
    """Raises UserError where it is damaged."""
    path = folder / DESCRIPTION
    try:
        return Description.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is damaged, or another version's: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


class Whole:
    """All that an ensemble's folder holds. Raises UserError where a file is not as it was written."""

    def __init__(self, folder: Path):
        self.described = described = describe(folder)
        if (name := changed(folder, described.files)) is not None:
            state = "not as it was written" if (folder / name).is_file() else "missing"
            raise UserError(f"{folder / name} is {state}: put the file back")
        if not {LABELS, FUSION} <= described.files.keys():
            raise UserError(f"{folder / DESCRIPTION} is damaged: it names neither labels nor weights")
        document = json.loads((folder / LABELS).read_bytes())
        self.labels = Labels(document["ids"], document["names"])
        self.scoring = Scoring(
            np.array(document["documents"], np.int64),
            described.training_documents,
            tuple(described.ks),
            described.propensity_a,
            described.propensity_b,
        )
        tensors, _ = load_tensors(folder / FUSION)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.fusion: Weights | Sum = Sum()
        if described.fusion == "fitted":
            self.fusion = Weights(arrays["w_F"], arrays["known_U"], arrays["d_UF"])
        self.calibration = Calibration(arrays["z_X"], arrays["chance_X"])
        self.towers = Towers(folder / "towers")
        self.members = [
            kind(member.kind).open(folder / "members" / str(number), self.labels, self.towers)
            for number, member in enumerate(described.members)
        ]
