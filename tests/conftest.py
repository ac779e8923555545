"""What tests share: a cache of their own, example plugins as installed distributions, tiny models."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each worker: torch takes all of them otherwise
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import tiny
from hypothesis import settings
from installing import EXAMPLES, GUIDE, install

from xmlkit import train
from xmlkit.testing.checks import CHECKS

# What takes seconds to make, for the tests of a file or a folder.
DEAR = ("found", "place", "reported", "server", "telling")

settings.register_profile("xmlkit", deadline=None)  # the first call of a kernel is slow
settings.load_profile("xmlkit")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are cores: tests wait for processes of theirs a sixth of the time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests that share something dear go to one worker, which makes it once."""
    for item in items:
        for name in DEAR:
            if name in item.fixturenames:
                item.add_marker(pytest.mark.xdist_group(f"{name} of {item.path.parent.name}"))
                break


@pytest.fixture(scope="session", autouse=True)
def hears_ctrl_c():
    """A background job ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """The command line hears some of its own, and tests may call it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """No test reads or fills the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["XMLKIT_CACHE"] = str(folder)
    return folder


@pytest.fixture
def plugin_folder(tmp_path, monkeypatch):
    """A folder on the import path to `install` plugins in; they are forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def example_plugins(plugin_folder):
    """Those of the guide and of tests/example_plugins, installed."""
    for name, source in (EXAMPLES | GUIDE).items():
        install(plugin_folder, name, source)
    return plugin_folder


@pytest.fixture(params=["quick", pytest.param("all", marks=pytest.mark.slow)])
def checks(request, monkeypatch):
    """Those of the kit; the quick ones are without the compiler, which takes ten seconds a model."""
    if request.param == "quick":
        monkeypatch.delitem(CHECKS, "compiling")
    return request.param


@pytest.fixture(scope="session")
def stored_run(tmp_path_factory):
    """A run with clusters, to be opened; `copied_run` is one to be changed."""
    folder = tmp_path_factory.mktemp("stored")
    given = {"encoder": tiny.save_encoder(folder / "encoder"), "max_len": 16, "max_steps": 1}
    given |= {"device": "cpu", "start": "random", "clustered": True, "cluster_size": 3, "label_width": 8}
    train(tiny.learnable_corpus(), given, folder / "run")
    return folder / "run"


@pytest.fixture
def copied_run(stored_run, tmp_path):
    return Path(shutil.copytree(stored_run, tmp_path / "run"))
