from __future__ import annotations

import subprocess
import sys

import xmlkit


def test_python_m_is_the_command() -> None:
    def said(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "xmlkit", *arguments], capture_output=True, text=True)

    assert said("--version").stdout.strip() == xmlkit.__version__
    mistyped = said("trian")
    assert mistyped.returncode == 2 and "Did you mean 'train'" in mistyped.stderr
