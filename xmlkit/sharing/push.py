"""A run or an ensemble with its card: into a repository of the Hugging Face hub, or into a folder alone."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from xmlkit.blend.folder import DESCRIPTION as ENSEMBLE
from xmlkit.console import say
from xmlkit.errors import UserError
from xmlkit.files import copy_files, whole_folder
from xmlkit.hub import OF_RUNS, ON_HUB, checked_name, is_silent, told_by_hub
from xmlkit.model.folder import DESCRIPTION
from xmlkit.sharing.card import CARD, card
from xmlkit.sharing.parcel import members_with_texts, parcel


def write(folder: Path, name: str, out: Path) -> list[str]:
    """Into a new folder or an empty one what `push` would upload; returns the files' names.

    Raises UserError where there is something already, or the run is not whole.
    """
    checked_name(name)
    files, text = parcel(folder), card(folder, name)
    with whole_folder(out) as unfinished:
        copy_files(folder, unfinished, files)
        (unfinished / CARD).write_text(text, encoding="utf-8")
    return [CARD, *files]


def push(folder: Path, name: str, private: bool = False) -> str:
    """Uploads it in one commit, and makes the repository where there is none; returns where it is.

    Files of the model of xmlkit that was there before go. A card that is there already is kept: its owner may
    have written in it. Raises UserError where the hub does not take it, or the run is not whole.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    checked_name(name)
    files, text = parcel(folder), card(folder, name)
    if is_silent():
        raise UserError(f"{ON_HUB}{name}: the hub cannot be reached")
    with told_by_hub(name, "log in with `hf auth login` as somebody who may write there"):
        api = HfApi()
        url = api.create_repo(name, private=private, exist_ok=True)
        if private and not api.repo_info(name).private:
            raise UserError(f"{name} is there already and is public: make it private first, or name another")
        there = api.list_repo_files(name)
        if CARD in there and members_with_texts(folder):
            raise UserError(f"{name} has a card that may say that no text is held: remove it there first")
        old = {file for file in there if _is_ours(file)} if {DESCRIPTION, ENSEMBLE} & set(there) else set()
        changes: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(file, str((folder / file).resolve())) for file in files),
            *(CommitOperationDelete(file) for file in sorted(old.difference(files))),
        ]
        if CARD not in there:
            changes.append(CommitOperationAdd(CARD, text.encode()))
        api.create_commit(name, changes, commit_message="A model of xmlkit")
    if CARD in there:
        say(f"{name} keeps its card, whose figures may be of another model")
    return str(url)


def _is_ours(file: str) -> bool:
    return any(fnmatchcase(file, name) for name in OF_RUNS)
