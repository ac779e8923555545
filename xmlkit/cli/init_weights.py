"""`xmlkit init-weights`."""

from __future__ import annotations

from xmlkit.cli.options import (
    DEMO,
    ConfigOption,
    DataArgument,
    EncoderOption,
    MemberOption,
    OutOption,
    PluginOption,
    PresetOption,
    RecipeOption,
    SetOption,
    settings_of,
)
from xmlkit.cli.saying import say_demo
from xmlkit.config import resolve
from xmlkit.console import say


def init_weights(
    data: DataArgument = None,
    plugin: PluginOption = None,
    encoder: EncoderOption = None,
    recipe: RecipeOption = None,
    preset: PresetOption = None,
    member: MemberOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    out_: OutOption = None,
) -> None:
    """Stores the weights that `train` with these arguments would begin with, for runs to share.

    Example: `xmlkit init-weights FOLDER --set seed=3 --out runs/start`, then
    `xmlkit train FOLDER --config runs/start/config.json --init-from runs/start --plugin A`
    """
    settings = resolve(settings_of(plugin, encoder, recipe, preset, member, config, set_), data or DEMO)
    if not data:
        say_demo()
    from xmlkit.data.corpus import load_corpus
    from xmlkit.training.train import store_start

    folder = store_start(load_corpus(data or DEMO), settings, out_)
    settings_file = folder / "config.json"
    say(f"start: {folder}; next: xmlkit train {data or DEMO} --config {settings_file} --init-from {folder}")
