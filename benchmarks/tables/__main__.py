"""Draws the tables of pages anew from the results.

    python -m benchmarks.tables [--check] [PAGE ...]

Without pages, of README.md, of those of this folder and of the results' own. `--check` writes nothing, and
ends with 1 where a table would change. What a page says, see drawing.py; what kinds there are, see kinds.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.tables.drawing import NotDrawn, redrawn

BENCHMARKS = Path(__file__).parents[1]
PAGES = (
    BENCHMARKS.parent / "README.md",
    BENCHMARKS.parent / "plugins/README.md",
    *sorted(BENCHMARKS.glob("*.md")),
    BENCHMARKS / "results/README.md",
)


def main() -> None:
    """Ends with 1 for a page that differs, 2 for one that can't be drawn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 for what is not so")
    parser.add_argument("pages", type=Path, nargs="*", metavar="PAGE")
    given = parser.parse_args()
    differing = []
    for page in given.pages or PAGES:
        try:
            said = page.read_text(encoding="utf-8")
            drawn = redrawn(said, page, BENCHMARKS / "results")
        except (OSError, NotDrawn) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        if drawn != said:
            differing.append(page)
            if not given.check:
                page.write_text(drawn, encoding="utf-8")
    for page in differing:
        print(f"{page}: {'tables are not those of the results' if given.check else 'drawn anew'}")
    sys.exit(int(given.check and bool(differing)))


if __name__ == "__main__":
    main()
