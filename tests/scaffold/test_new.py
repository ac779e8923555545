"""What `xmlkit plugin new` writes: complete, tidy, and the base's equal; and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from installing import ROOT, install

import xmlkit
from xmlkit.errors import UserError
from xmlkit.scaffold.hooks import EXAMPLES
from xmlkit.scaffold.new import new_plugin
from xmlkit.testing import check_plugin, tiny_run

HOOKS = list(EXAMPLES)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to be in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def tool(*command):
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_whole_distribution(here):
    folder = new_plugin("my-idea", ["head"], "BSD-3-Clause")
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == [
        *(".gitignore", "LICENSE", "README.md", "pyproject.toml"),
        *("tests/test_plugin.py", "xmlkit_my_idea.py"),
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["xmlkit"] == {"my-idea": "xmlkit_my_idea"}
    assert project["project"]["name"] == "xmlkit-my-idea"
    assert project["project"]["dependencies"] == [f"xmlkit-xmc>={xmlkit.__version__}"]
    assert project["project"]["license"] == "BSD-3-Clause"
    assert "The authors of xmlkit-my-idea" in (folder / "LICENSE").read_text()
    assert not any("$" in path.read_text() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("license_", ["MIT", "BSD-3-Clause", "Apache-2.0"])
def test_licences_are_named_as_spdx_has_them(here, license_):
    folder = new_plugin("my-idea", ["head"], license_)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["license"] == license_ and project["license-files"] == ["LICENSE"]


def test_no_licence_is_a_choice_too(here):
    folder = new_plugin("my-idea", ["head"], None)
    assert "license" not in tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert not (folder / "LICENSE").exists()


@pytest.mark.slow
def test_it_is_as_a_linter_a_formatter_and_a_type_checker_want_it(here, monkeypatch):
    for number, hooks in enumerate([*([hook] for hook in HOOKS), HOOKS, ["loss", "shortlist", "loss"]]):
        new_plugin(f"idea-{number}", hooks, "MIT")
    tool(
        "ruff", "check", "--isolated", "--no-cache", "--select", "E,F,I,UP,B,D1", "--ignore", "D103,D107", "."
    )
    tool("ruff", "format", "--isolated", "--no-cache", "--check", ".")
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    quietly = ["--follow-imports", "silent", "--cache-dir", str(ROOT / ".mypy_cache")]
    tool("mypy", *quietly, "--disallow-untyped-defs", *map(str, here.glob("*/*.py")))


@pytest.mark.parametrize("hooks", [*([hook] for hook in HOOKS), HOOKS])
def test_it_changes_nothing_until_its_option_is_set(here, plugin_folder, hooks):
    folder = new_plugin("my-idea", hooks, "MIT")
    install(plugin_folder, "my-idea", (folder / "xmlkit_my_idea.py").read_text())
    base = tiny_run()
    assert tiny_run(["my-idea"]) == base
    assert tiny_run(["my-idea"], clustered=False) == tiny_run(clustered=False)
    for hook in hooks:
        option, _, value = EXAMPLES[hook].other_value.partition("=")
        assert tiny_run(["my-idea"], {"my-idea": {option: float(value)}}) != base


@pytest.mark.slow
def test_it_keeps_the_contracts(here, plugin_folder):
    folder = new_plugin("my-idea", HOOKS, "MIT")
    install(plugin_folder, "my-idea", (folder / "xmlkit_my_idea.py").read_text())
    check_plugin("my-idea")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("My-Idea", "lower-case letters"),
        ("my_idea", "lower-case letters"),
        ("my--idea", "lower-case letters"),
        ("3d", "lower-case letters"),
        ("a.b", "lower-case letters"),
        ("../a", "lower-case letters"),
        ("", "lower-case letters"),
        ("xmlkit-idea", "leave out xmlkit"),
        ("xmc", "xmlkit-xmc is xmlkit's own distribution"),
        ("se", "is installed"),
        ("lightxml", "is installed"),
        ("schedule", "name of a setting"),
        ("plugins", "name of a setting"),
        ("base", "name of the model without plugins"),
        ("taken", "xmlkit_taken, which is installed"),
    ],
)
def test_names_that_will_not_do(here, plugin_folder, name, expected):
    (plugin_folder / "xmlkit_taken.py").write_text("")
    with pytest.raises(UserError, match=expected) as error:
        new_plugin(name, ["head"], "MIT")
    assert "\n" not in str(error.value) and not list(here.iterdir())


def test_an_existing_folder_is_left_alone(here):
    (here / "xmlkit-my-idea").mkdir()
    (here / "xmlkit-my-idea" / "work").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        new_plugin("my-idea", ["head"], "MIT")
    assert [path.name for path in here.rglob("*")] == ["xmlkit-my-idea", "work"]


def test_the_command_line_offers_what_there_is():
    from xmlkit.cli.plugins import Hook, License

    assert [str(hook) for hook in Hook] == HOOKS
    files = ROOT / "xmlkit" / "scaffold" / "files" / "licenses"
    assert sorted({*get_args(License)} - {"none"}) == sorted(p.name for p in files.iterdir())
