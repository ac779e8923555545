"""What a command waits for before it does anything: what it imports, in a process of its own."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from commands import QUICK, xmlkit
from packaging.version import Version

from xmlkit.quick import uncollected

LIGHT = pytest.mark.skipif(
    Version(version("transformers")) < Version("5.21"),
    reason="until 5.21 transformers imports scikit-learn and PyTorch's compiler",
)
# Slow to import, and needed where models are trained, compared, drawn or served.
NOT_TO_ASK = {"sklearn", "scipy.stats", "pyarrow", "fastapi", "xmlkit.comparison", "xmlkit.blend.ensemble"}


def imported(*arguments, cwd=None, path="", stdin=""):
    """The names of all modules that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "xmlkit", *arguments]
    environment = dict(os.environ, PYTHONPATH=str(path))
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, cwd=cwd, env=environment, check=True
    )
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "xmlkit.cli" in names
    return names


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_need_no_library_of_numbers(option):
    assert not imported(option) & {"torch", "transformers", "numpy", "scipy", "sklearn"}


@LIGHT
def test_predict_imports_nothing_that_only_training_needs(place):
    names = imported("predict", "run", cwd=place, path=place / "site", stdin="w3 w44\n")
    assert "transformers.modeling_utils" in names and not names & NOT_TO_ASK


@LIGHT
def test_a_bag_alone_is_asked_without_any_transformer(place, tmp_path):
    xmlkit(
        *["train", "corpus", "--encoder", "none", "--plugin", "lexical", "--set", "lexical.buckets=64"],
        *["--set", "max_steps=2", "--out", tmp_path / "bag", *QUICK[2:]],
        cwd=place,
    )
    names = imported("predict", tmp_path / "bag", cwd=place, stdin="w3 w44\n")
    assert "tokenizers" in names
    assert not names & {
        *NOT_TO_ASK,
        "transformers.modeling_utils",
        "torch._dynamo",
        "torch.distributed.tensor",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch has GNU's OpenMP on Linux alone")
@pytest.mark.parametrize(
    "load, given, count",
    [
        (0.4, {}, "10000"),
        pytest.param(1.4, {}, "1000", marks=pytest.mark.slow),
        pytest.param(1.4, {"GOMP_SPINCOUNT": "77"}, "77", marks=pytest.mark.slow),
        pytest.param(1.4, {"OMP_WAIT_POLICY": "active"}, None, marks=pytest.mark.slow),
    ],
    ids=["by default", "beside others", "one's own", "a policy"],
)
def test_threads_let_go_of_their_cores_unless_asked_otherwise(place, load, given, count):
    """As OpenMP itself tells it, on a machine with few cores."""
    code = f"import os, sys; os.cpu_count = lambda: 2; os.getloadavg = lambda: ({load}, 0, 0)"
    code += "; sys.argv[1:] = ['predict', 'run']; import xmlkit.__main__; xmlkit.__main__.main()"
    without = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    environment = {**without, "PYTHONPATH": str(place / "site"), "OMP_DISPLAY_ENV": "verbose", **given}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, input="w3\n", capture_output=True, text=True, cwd=place, env=environment, check=True
    )
    told = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert told and (told[1] == count if count else int(told[1]) > 10000)


def test_the_collector_rests_at_the_start_and_works_afterwards():
    with uncollected():
        assert not gc.isenabled()
        kept = [[]]
    assert gc.isenabled() and all(kept is not one for one in gc.get_objects())
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled()
    gc.unfreeze()
