"""The Hugging Face hub: which encoder to begin with, where the user has named none, and models on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from xmlkit.console import say
from xmlkit.errors import UserError

if TYPE_CHECKING:
    from huggingface_hub import CachedRevisionInfo

AUTO = "auto"
SMALL = "sentence-transformers/all-MiniLM-L6-v2"
SMALL_SIZE = "90 MB"
WITHOUT = "--encoder none --plugin lexical, for a first result without one"
FILES = {"config.json", "tokenizer.json", "model.safetensors"}
OF_SENTENCES = "modules.json"  # of models that were trained to tell sentences apart
ENCODERS = {
    "bert",
    "deberta-v2",
    "distilbert",
    "electra",
    "modernbert",
    "mpnet",
    "nomic_bert",
    "roberta",
    "xlm-roberta",
    "xlnet",
}
PATIENCE = 3.0  # seconds
TOO_MANY_REQUESTS = 429
ON_HUB = "hub:"
# Of a run or an ensemble; what else a repository has is left there.
OF_RUNS = [
    *("model.json", "config.json", "labels.jsonl", "model.safetensors", "encoder/*"),
    *("ensemble.json", "labels.json", "fusion.safetensors", "members/*", "towers/*"),
    *("metrics.json", "threshold.json"),
]
NAME = r"\w[\w.-]*/\w[\w.-]*"


@cache
def chosen_encoder(encoder: str) -> str:
    """The name, but for `auto`: the small sentence encoder, be it in the hub's cache or still to be fetched;
    where the hub cannot be reached, what its cache holds.

    Raises UserError where there is neither.
    """
    if encoder != AUTO:
        return encoder
    kept = in_cache()
    if SMALL in kept:
        return SMALL
    if is_reachable():
        say(f"encoder: {SMALL}, which is fetched from the hub once ({SMALL_SIZE})")
        return SMALL
    if kept:
        say(f"encoder: {kept[0]}, from the hub's cache, as the hub cannot be reached")
        return kept[0]
    raise UserError(
        "--encoder auto: the hub cannot be reached, and its cache holds no encoder; "
        f"name a folder, or take {WITHOUT}"
    )


def proposal() -> str:
    """What to add to a command that names no encoder; nothing is fetched."""
    if kept := in_cache():
        return f"--encoder {kept[0]}, which is in the hub's cache"
    if is_reachable():
        return f"--encoder auto, which fetches {SMALL} ({SMALL_SIZE})"
    return f"--encoder FOLDER, or {WITHOUT}"


def in_cache() -> list[str]:
    """The encoders in the hub's cache: the one that `auto` means first, then those of sentences, the smaller
    ones first."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        repositories = [
            repository for repository in scan_cache_dir().repos if repository.repo_type == "model"
        ]
    except CacheNotFound:
        return []
    found = []
    for repository in repositories:
        for revision in repository.revisions:
            names = {file.file_name for file in revision.files}
            if "main" in revision.refs and names >= FILES and _is_encoder(revision):
                order = (repository.repo_id != SMALL, OF_SENTENCES not in names, revision.size_on_disk)
                found.append((*order, repository.repo_id))
    return [name for *_, name in sorted(found)]


def _is_encoder(revision: CachedRevisionInfo) -> bool:
    try:
        return json.loads((revision.snapshot_path / "config.json").read_text())["model_type"] in ENCODERS
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_reachable() -> bool:
    """Whether the hub answers, within seconds; not where HF_HUB_OFFLINE is set."""
    return _has_small() is True


def is_silent() -> bool:
    """Whether nothing answers in its place: its own library would try for minutes, or wait for good."""
    return _has_small() is None


@cache
def _has_small() -> bool | None:
    """None: no answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(SMALL, timeout=PATIENCE)
    except HfHubHTTPError:
        return False
    except Exception:  # of whichever library speaks with it, or of what stands between
        return None
    return True


def local(run: str | Path) -> Path:
    """The folder of a run; of `hub:user/name` (`@revision` may follow) what the hub has, in its cache.

    What is fetched is data, read like any other run. Raises UserError where there is none.
    """
    name = Path(run).as_posix()
    if not name.startswith(ON_HUB):
        return Path(run)
    from huggingface_hub import snapshot_download

    repository, _, revision = name.removeprefix(ON_HUB).partition("@")
    checked_name(repository)
    with told_by_hub(repository, "is the name right, and may you read it (`hf auth login`)?"):
        found = snapshot_download(
            repository, revision=revision or None, allow_patterns=OF_RUNS, local_files_only=is_silent()
        )
    if is_silent():
        say(f"{name}: from the hub's cache, as the hub cannot be reached")
    folder = Path(found)
    if not any((folder / file).is_file() for file in ("model.json", "ensemble.json")):
        raise UserError(f"{name} holds no run of xmlkit: name one that `xmlkit push` has made")
    return folder


def checked_name(name: str) -> None:
    """Raises UserError where it is no repository's."""
    if not re.fullmatch(NAME, name, re.ASCII):
        raise UserError(f"{name}: no name on the hub; write user/name, as in {ON_HUB}{SMALL}")


@contextmanager
def told_by_hub(name: str, advice: str) -> Iterator[None]:
    """What goes wrong between here and the hub, in one line."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,  # of httpx or httpx2, whichever that version speaks by
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status >= 500 or status == TOO_MANY_REQUESTS:
            advice = "try again later"
        raise UserError(f"{ON_HUB}{name}: {_first_line(error)}; {advice}") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError) as error:
        kept = ", and its cache does not have all of it" if isinstance(error, LocalEntryNotFoundError) else ""
        raise UserError(f"{ON_HUB}{name}: the hub cannot be reached{kept}") from None
    except (HFValidationError, EntryNotFoundError) as error:
        raise UserError(f"{ON_HUB}{name}: {_first_line(error)}; {advice}") from None


def _first_line(error: Exception) -> str:
    return next((line.strip(" .") for line in str(error).splitlines() if line.strip()), type(error).__name__)
