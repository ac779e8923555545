"""Where the project lies, and plugins of its tests and guide as installed distributions."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    path.stem.replace("_", "-"): path.read_text()
    for path in (Path(__file__).parent / "example_plugins").glob("*.py")
}
# The examples of the author's guide: `### NAME`, some words, a module.
GUIDE = dict(
    re.findall(
        r"^### ([a-z-]+)\n\n[^#]*?^```python\n(.*?)^```",
        (ROOT / "plugins" / "README.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
DATA = ROOT.parent / "shared" / "data"


def install(folder: Path, name: str, source: str, version: str = "1.2") -> None:
    """Lays a module and the metadata that pip would write into a folder of the import path."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"xmlkit_{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: xmlkit-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[xmlkit]\n{name} = {module}\n")
