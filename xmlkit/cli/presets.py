"""`xmlkit presets`."""

from __future__ import annotations

from xmlkit.cli.saying import out


def presets() -> None:
    """Lists the presets: the data sets of the LightXML paper, its settings and its figures."""
    from xmlkit.cli.display import preset_table

    out.print(preset_table())
