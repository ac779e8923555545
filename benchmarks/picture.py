"""What a command says, as a picture: a file that opens offline, with the fonts that are there.

COLUMNS=104 TTY_COMPATIBLE=1 TTY_INTERACTIVE=0 xmlkit train 2>&1 | python -m benchmarks.picture TITLE OUT.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

CONTROL = re.compile(r"\x1b\[\?\d+[hl]")  # shows and hides the cursor
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # fetched from a network


def picture(said: str, title: str) -> str:
    """An SVG of what was said in colours, empty lines left out."""
    lines = [line for line in CONTROL.sub("", said).splitlines() if line.strip()]
    text = Text.from_ansi("\n".join(lines))
    width = max(line.cell_len for line in text.split())
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(text)
    return FONTS.sub("", console.export_svg(title=title))


if __name__ == "__main__":
    title, file = sys.argv[1:]
    Path(file).write_text(picture(sys.stdin.read(), title), encoding="utf-8")
