"""Writes a new plugin's folder: what pip and pytest need, and a module that works."""

from __future__ import annotations

import datetime
import importlib.util
import re
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from string import Template

from xmlkit.discovery import installed
from xmlkit.distribution import DISTRIBUTION
from xmlkit.errors import UserError
from xmlkit.hooks import HOOKS_VERSION
from xmlkit.plugins import RESERVED
from xmlkit.scaffold.hooks import EXAMPLES

FILES = resources.files("xmlkit.scaffold") / "files"


def new_plugin(name: str, hooks: Sequence[str], license_: str | None) -> Path:
    """Writes the distribution `xmlkit-NAME` into a folder of that name in the present one, and returns it.

    `license_` is one of those in files/licenses. Raises UserError for a name that can't be one or is taken,
    and for a folder that is there already.
    """
    _check_name(name)
    distribution, module = f"xmlkit-{name}", f"xmlkit_{name.replace('-', '_')}"
    if importlib.util.find_spec(module):
        raise UserError(f"{name}: its module would be {module}, which is installed; choose another name")
    folder = Path(distribution)
    if folder.exists():
        raise UserError(f"{folder}: is there already; remove it or choose another name")
    examples = [EXAMPLES[hook] for hook in dict.fromkeys(hooks)]
    words = {
        "name": name,
        "title": name.replace("-", " ").capitalize(),
        "distribution": distribution,
        "module": module,
        "xmlkit_distribution": DISTRIBUTION,
        "xmlkit_version": metadata.version(DISTRIBUTION),
        "hooks_version": str(HOOKS_VERSION),
        "year": str(datetime.date.today().year),
        "license_lines": f'license = "{license_}"\nlicense-files = ["LICENSE"]\n' if license_ else "",
        "imports": _imports([example.imports for example in examples]),
        "options": "\n".join(f"    {example.option}" for example in examples),
        "code": "\n\n\n".join(example.code for example in examples),
        "other_value": examples[0].other_value,
        "option_tests": "\n\n\n".join(_option_test(name, example.other_value) for example in examples),
    }
    files = {
        "pyproject.toml": "pyproject.toml.in",
        f"{module}.py": "module.py.in",
        "tests/test_plugin.py": "test_plugin.py.in",
        "README.md": "README.md.in",
        ".gitignore": "gitignore.in",
    }
    if license_:
        files["LICENSE"] = f"licenses/{license_}"
    (folder / "tests").mkdir(parents=True)
    for file, source in files.items():
        text = Template((FILES / source).read_text(encoding="utf-8")).substitute(words)
        (folder / file).write_text(text, encoding="utf-8")
    return folder


def _check_name(name: str) -> None:
    """It must do as the argument of --plugin, as a table in a config file and as part of a module's name."""
    if name.startswith(("xmlkit-", "xmlkit_")):
        raise UserError(f"{name}: leave out xmlkit; it is put before NAME in the distribution's name")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(f"{name}: expected lower-case letters, digits and single hyphens, as in my-idea")
    if f"xmlkit-{name}" == DISTRIBUTION:
        raise UserError(f"{name}: {DISTRIBUTION} is xmlkit's own distribution; choose another name")
    if name in RESERVED:
        raise UserError(f"{name}: is {RESERVED[name]}; choose another name")
    if name in installed():
        raise UserError(f"{name}: a plugin of that name is installed; choose another name")


def _imports(wanted: Sequence[dict[str, list[str]]]) -> str:
    """Import lines, each module once, as a formatter has them: Python's own first."""
    names: dict[str, set[str]] = {
        "collections.abc": {"Generator"},
        "pydantic": {"BaseModel", "Field"},
        "xmlkit": {"BuildContext", "hookimpl"},
    }
    for imports in wanted:
        for module, more in imports.items():
            names.setdefault(module, set()).update(more)
    groups = (["collections.abc", "dataclasses"], ["pydantic", "torch", "xmlkit"])
    return "\n\n".join(
        "\n".join(_import_line(module, names[module]) for module in group if module in names)
        for group in groups
    )


def _import_line(module: str, names: set[str]) -> str:
    ordered = sorted(names, key=lambda name: (name.islower(), name))  # classes before functions
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= 88:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in ordered), ")"])


def _option_test(name: str, other_value: str) -> str:
    option, _, value = other_value.partition("=")
    return (
        f"def test_{option}_tells() -> None:\n"
        f'    assert tiny_run(["{name}"], {{"{name}": {{"{option}": {value}}}}}) != tiny_run()'
    )
