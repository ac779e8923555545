"""From a built wheel to a plugin of one's own and back, in a fresh virtual environment, as strangers go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from installing import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PACKAGED = ("xmlkit", "plugins", "pyproject.toml", "README.md", "LICENSE")


class Stranger:
    """Someone with a virtual environment; the packages that xmlkit needs are lent from the present one.

    xmlkit itself is not, so that pip sees none but what it has put there.
    """

    def __init__(self, place: Path):
        self.place, self.bin = place, place / "venv" / "bin"
        self(sys.executable, "-m", "venv", "--without-pip", place / "venv")
        (site,) = (place / "venv").glob("lib/python*/site-packages")
        (site / "lent.pth").write_text(f"{place / 'lent'}\n")
        (place / "lent").mkdir()
        for package in Path(sysconfig.get_path("purelib")).iterdir():
            if not package.name.startswith("xmlkit"):
                (place / "lent" / package.name).symlink_to(package)

    def __call__(self, *command, cwd=None, stdin="", code=0):
        """Runs a command, their own where there is one of that name; returns what it printed."""
        own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        program, *arguments = map(str, command)
        program = str(self.bin / program) if (self.bin / program).exists() else program
        done = subprocess.run(
            [program, *arguments],
            cwd=cwd or self.place,
            env={**own, "COLUMNS": "200", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def build(self, source: Path) -> None:
        """A wheel, beside those built before."""
        out = self.place / "wheels"
        self("python", "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, source)

    def install(self, distribution: str, wheels: Path) -> set[str]:
        """By its name, from a folder alone; returns what was installed with it."""
        said = self("python", "-m", "pip", "install", "--no-index", "--find-links", wheels, distribution)
        (done,) = (line for line in said.splitlines() if line.startswith("Successfully installed "))
        return set(done.split()[2:])


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """With xmlkit installed from a wheel."""
    place = tmp_path_factory.mktemp("stranger")
    (place / "source").mkdir()
    for name in PACKAGED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / "source" / name)
    one = Stranger(place)
    one.build(place / "source")
    assert one.install("xmlkit-xmc", place / "wheels") == {f"xmlkit-xmc-{VERSION}"}
    return one


def test_the_wheel_holds_what_it_should_and_nothing_else(stranger):
    (wheel,) = (stranger.place / "wheels").glob("xmlkit_xmc-*.whl")
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for folder, package in (("xmlkit", "xmlkit"), ("plugins", "xmlkit_plugins")):
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")
        expected |= {f"{package}/{path.relative_to(ROOT / folder).as_posix()}" for path in files}
    expected -= {"xmlkit_plugins/README.md", "xmlkit/README.md"}
    assert found == expected
    assert {"xmlkit/py.typed", "xmlkit_plugins/py.typed", "xmlkit/presets/eurlex4k.toml"} <= found


def test_nothing_that_it_needs_is_missing(stranger):
    done = subprocess.run(
        [stranger.bin / "python", "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert not [line for line in done.stdout.splitlines() if line.startswith("xmlkit")], done.stdout
    where = stranger("python", "-c", "import xmlkit, xmlkit_plugins; print(xmlkit.__file__)")
    assert str(stranger.place) in where


@pytest.mark.slow
def test_from_nothing_to_a_plugin_and_back(stranger, tmp_path):
    """Whoever installs the plugin gets xmlkit with it, and no other distribution that is called so."""
    assert "plugin: xmlkit-my-idea; next: cd xmlkit-my-idea" in stranger("xmlkit", "plugin", "new", "my-idea")
    folder, wheels = stranger.place / "xmlkit-my-idea", stranger.place / "wheels"
    stranger.build(folder)
    stranger = Stranger(tmp_path)
    both = {"xmlkit-my-idea-0.1.0", f"xmlkit-xmc-{VERSION}"}
    assert stranger.install("xmlkit-my-idea", wheels) == both
    code = "from importlib.metadata import requires; print(requires('xmlkit-my-idea')[0])"
    assert stranger("python", "-c", code) == f"xmlkit-xmc>={VERSION}\n"
    assert "3 passed" in stranger("python", "-m", "pytest", "-p", "no:cacheprovider", cwd=folder)
    listed = stranger("xmlkit", "plugins", "--verbose", "--plugin", "my-idea")
    assert "xmlkit-my-idea 0.1.0" in listed and "my-idea.scale=1.0" in listed
    assert "Scaled (my-idea) around it" in listed
    few = ["--set", "max_steps=2", "--set", "batch_size=8"]
    said = stranger("xmlkit", "train", "demo", "--plugin", "my-idea", *few)
    assert "representation: TokenMean (lightxml), Scaled (my-idea) around it" in said
    assert "demo, test split" in said
    assert stranger("xmlkit", "predict", "runs/demo", "--top-k", "1", stdin="Open a file.\n").count("\n") == 3
    stranger("python", "-m", "pip", "uninstall", "-y", "xmlkit-my-idea")
    assert "my-idea" not in stranger("xmlkit", "plugins")
    assert stranger("xmlkit", "predict", "runs/demo", stdin="Open a file.\n", code=1) == (
        "error: runs/demo needs the plugin 'my-idea', which is not installed; "
        "by what the run says it comes with 'xmlkit-my-idea' '0.1.0': install that if you trust it\n"
    )
