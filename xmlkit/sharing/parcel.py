"""What is given away of a run or an ensemble: the files that prediction needs, and its figures.

Nothing that training alone needs: no checkpoint, no log, nothing else that lies in the folder.
"""

from __future__ import annotations

from pathlib import Path

from xmlkit.blend.folder import DESCRIPTION, describe, files_of
from xmlkit.blend.member import kind
from xmlkit.blend.threshold import FILE as THRESHOLD
from xmlkit.blend.threshold import kept
from xmlkit.errors import UserError
from xmlkit.training.train import METRICS


def parcel(folder: Path) -> list[str]:
    """Names of files in the folder. Raises UserError where one is not as it was written."""
    files = files_of(folder)
    if (folder / METRICS).is_file():
        files.append(METRICS)
    if kept(folder) is not None:  # raises for one that belongs to other weights
        files.append(THRESHOLD)
    for name in files:
        place, target = folder.resolve(), (folder / name).resolve()
        in_cache = target.parent == place.parent.parent / "blobs"  # where the hub's cache has its files
        if not (target.is_relative_to(place) or in_cache):
            raise UserError(f"{folder / name} is a link to a file elsewhere: it is not given away")
    return sorted(files)


def members_with_texts(folder: Path) -> list[str]:
    """Those of an ensemble that keep texts, to look them up."""
    if not (folder / DESCRIPTION).is_file():
        return []
    return [member.name for member in describe(folder).members if kind(member.kind).keeps_texts]
