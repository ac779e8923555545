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
from xmlkit.cli.saying import say_demo
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
    if not data:
        say_demo()
    from xmlkit.data.corpus import load_corpus
    from xmlkit.training.train import store_start

    folder = store_start(load_corpus(data or DEMO, read.dialect()), settings, out_)
    words = " ".join(["xmlkit train", data or DEMO, *read.words])
    say(f"start: {folder}; next: {words} --config {folder / 'config.json'} --init-from {folder}")
