"""The Python that has a peer: this one where it meets the requirements, else one of a new environment.

Environments lie in the cache, `peers/NAME-KEY`, and are made once, by `venv` and pip.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement

from xmlkit.console import say
from xmlkit.data.cache import cache_folder, digest
from xmlkit.errors import UserError

MADE = "made.txt"  # in an environment that is whole: what it has
ASKS = "from importlib.metadata import version as v; import sys; print(*map(v, sys.argv[1:]), sep='\\n')"


class CannotBeMade(UserError):
    """An environment."""


def python_with(requirements: Sequence[str], name: str, alone: Sequence[str] = ()) -> str:
    """`alone`: distributions that are installed without what they ask for.

    Raises CannotBeMade where there is none and none can be made.
    """
    if all(map(_is_here, [*requirements, *alone])):
        return sys.executable
    key = digest(requirements, alone, platform.python_version())[:12]
    folder = cache_folder() / "peers" / f"{name}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / MADE).is_file():
            say(f"{name}: its environment is made, {' '.join([*requirements, *alone])}")
            _make(folder, requirements, alone)
    return str(_python(folder))


def versions(python: str, requirements: Sequence[str]) -> dict[str, str]:
    """Of the distributions that are required, as that Python has them."""
    names = [Requirement(one).name for one in requirements]
    asked = subprocess.run([python, "-c", ASKS, *names], check=True, capture_output=True, text=True)
    return dict(zip(names, asked.stdout.split(), strict=True))


def _is_here(requirement: str) -> bool:
    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _make(folder: Path, requirements: Sequence[str], alone: Sequence[str]) -> None:
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    pip = [str(_python(folder)), "-m", "pip", "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet"]
    if requirements:
        _run([*install, *requirements])
    if alone:
        _run([*install, "--no-deps", *alone])
    (folder / MADE).write_text(_run([*pip, "freeze"]))


def _run(command: list[str]) -> str:
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        lines = (found.stdout + found.stderr).strip().splitlines()
        why = next((line for line in lines[::-1] if line.startswith("ERROR")), lines[-1] if lines else "")
        raise CannotBeMade(f"its environment can't be made: {why or f'status {found.returncode}'}")
    return found.stdout


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"
