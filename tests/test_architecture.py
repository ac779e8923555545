"""Who may import whom; what every module must not do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_imports_point_one_way():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_style():
    for command in (["check"], ["format", "--check"]):
        ruff = [str(Path(sys.executable).with_name("ruff")), *command, "--no-cache", "."]
        done = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_types():
    mypy = str(Path(sys.executable).with_name("mypy"))
    done = subprocess.run([mypy], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_pickle_anywhere():
    found = [
        (path.name, match)
        for path in (ROOT / "xmlkit").rglob("*.py")
        for match in re.findall(r"pickle|torch\.load\(|torch\.save\(|allow_pickle", path.read_text())
    ]
    assert found == []


def test_plugins_use_no_private_names():
    """Nor attributes set on what they are handed."""
    found = [
        (path.name, match)
        for path in (ROOT / "plugins").glob("*.py")
        for match in re.findall(
            r"\b(?!self\b|cls\b)\w+\._[a-z]\w*|from \w+ import _\w+|\bbuild\.\w+ = .*|object\.__setattr__.*",
            path.read_text(),
        )
    ]
    assert found == []


def test_what_is_imported_is_asked_for():
    """By the package or one of its extras, but for those of its tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [needs for name, needs in project["optional-dependencies"].items() if name != "test"]
    asked = {re.split(r"[<>=\[]", one)[0] for one in chain(project["dependencies"], *extras)}
    found = {
        name.partition(".")[0]
        for path in chain((ROOT / "xmlkit").rglob("*.py"), (ROOT / "plugins").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported(node)
    }
    others = found - sys.stdlib_module_names - {"xmlkit", "xmlkit_plugins"}
    names = {"sklearn": "scikit-learn", "faiss": "faiss-cpu", "vl_convert": "vl-convert-python"}
    names |= {"markupsafe": "jinja2", "starlette": "fastapi", "tokenizers": "transformers"}  # parts of them
    assert {names.get(name, name.replace("_", "-")) for name in others} <= asked


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module] if node.module and not node.level else []
    return [one.name for one in node.names] if isinstance(node, ast.Import) else []


def test_the_help_page_needs_no_torch():
    code = "import sys, xmlkit.cli.entry; sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_are_there():
    import xmlkit

    assert all(getattr(xmlkit, name) is not None for name in xmlkit.__all__)
    typed = (ROOT / "xmlkit" / "__init__.py").read_text()
    assert all(f"import {name} as {name}\n" in typed for name in xmlkit.__all__)
