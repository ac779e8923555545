"""`xmlkit init-weights`."""

from __future__ import annotations

from xmlkit.cli.options import (
    DEMO,
    Chosen,
    DataArgument,
    OutOption,
    PluginOption,
    Read,
    spread,
)
from xmlkit.cli.saying import corpus_of
from xmlkit.config import resolve
from xmlkit.console import say


@spread
def init_weights(
    data: DataArgument = None,
    plugin: PluginOption = None,
    *,
    chosen: Chosen,
    read: Read,
    out_: OutOption = None,
) -> None:
    """Stores the weights that `train` with these arguments would begin with, for runs to share.

    Example: `xmlkit init-weights FOLDER --set seed=3 --out runs/start`, then
    `xmlkit train FOLDER --config runs/start/config.json --init-from runs/start --plugin A`
    """
    settings = resolve(chosen.settings(plugin), data or DEMO)
    from xmlkit.training.train import store_start

    folder = store_start(corpus_of(data, read), settings, out_)
    words = " ".join(["xmlkit train", data or DEMO, *read.words])
    say(f"start: {folder}; next: {words} --config {folder / 'config.json'} --init-from {folder}")
