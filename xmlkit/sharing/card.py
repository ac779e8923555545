"""A model card: what a run or an ensemble was made of, and how good it is, in Markdown as the hub has it.

All of it is read from the folder. The licence is left open: that is its owner's to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xmlkit.blend.folder import LABELS, describe
from xmlkit.blend.member import kind, kinds, parted
from xmlkit.console import visible
from xmlkit.discovery import OF_A_FILE
from xmlkit.distribution import DISTRIBUTION, FORMER
from xmlkit.errors import UserError
from xmlkit.metrics import METRICS as KINDS
from xmlkit.model.encoder import NONE, SCRATCH
from xmlkit.model.folder import DESCRIPTION, description_of, is_ensemble, read_config
from xmlkit.sharing.parcel import members_with_texts
from xmlkit.training.train import metrics_of

CARD = "README.md"
BUILT_IN = (SCRATCH, NONE)


def card(folder: Path, name: str) -> str:
    """The card of this folder as the repository `name`. Raises UserError where a file is damaged."""
    facts = _of_ensemble(folder) if is_ensemble(folder) else _of_run(folder)
    return "\n".join([_front_matter(facts.pop("base", None)), *_body(folder, name, **facts)]) + "\n"


def _front_matter(base: str | None) -> str:
    from huggingface_hub import ModelCardData

    tags = ["xmlkit", "extreme-multi-label-classification", "multi-label-classification"]
    data = ModelCardData(
        library_name="xmlkit", pipeline_tag="text-classification", tags=tags, base_model=base
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _body(
    folder: Path,
    name: str,
    source: str | None,
    digest: str,
    documents: int,
    labels: int,
    packages: Sequence[str],
    made: Sequence[str],
    figures: Mapping[str, float],
    figures_of: str,
) -> list[str]:
    named = ", ".join(_code(_last(name)) for name in members_with_texts(folder))
    held = (
        f"**It holds texts**, and scores of them, in the members {named}."
        if named
        else "No text of a training document is in it."
    )
    return [
        f"# {visible(name.rpartition('/')[2])}",
        "",
        f"Gives a text the few right labels out of {labels:,}. Made with xmlkit.",
        "",
        "```",
        f"pip install {' '.join([DISTRIBUTION, *packages])}",
        f'echo "some text" | xmlkit predict hub:{name}',
        "```",
        "",
        "```python",
        "import xmlkit",
        "",
        f'xmlkit.load("hub:{name}").predict(["some text"])',
        "```",
        "",
        "## Data",
        "",
        f"- corpus: {_code(_name(source)) if source else 'made in memory'} (digest `{digest}`)",
        f"- training documents, held-out ones included: {documents:,}",
        f"- labels: {labels:,}",
        "",
        "## Figures",
        "",
        *_table(figures, figures_of),
        "",
        "## How it was made",
        "",
        *made,
        "",
        "## What is in it",
        "",
        f"{held} Ids and names of labels are, with the number of training documents of each, and where the",
        "corpus and the encoder lay on the machine that trained it. No file is code, and none is run.",
    ]


def _table(figures: Mapping[str, float], of: str) -> list[str]:
    known = {name: value for name, value in figures.items() if name.partition("@")[0] in KINDS}
    if not known:
        return ["None were taken."]
    kinds = list(dict.fromkeys(name.partition("@")[0] for name in known))
    ks = list(dict.fromkeys(name.partition("@")[2] for name in known))
    rows = [[kind, *(f"{known[f'{kind}@{k}']:.2f}" for k in ks)] for kind in kinds]
    head = [["%", *(f"@{k}" for k in ks)], ["---", *("---:" for _ in ks)]]
    return [f"{of}:", "", *(f"| {' | '.join(row)} |" for row in head + rows)]


def _of_run(folder: Path) -> dict[str, Any]:
    described, config = description_of(folder), read_config(folder)
    options = config.options
    assigned = [f"{name} = {_value(value)}" for name, value in config.changed.items() if name not in options]
    assigned += [f"{of}.{name} = {_value(value)}" for of in options for name, value in options[of].items()]
    machine = ", ".join(f"{what} {which}" for what, which in described.machine.items())
    start = described.init_from
    begun = f", from the weights of {_code(_name(start))} (`--init-from`)" if start else ""
    return {
        "base": None if config.encoder in BUILT_IN or _is_path(config.encoder) else config.encoder,
        "source": described.source,
        "digest": described.corpus,
        "documents": described.training_documents,
        "labels": described.labels,
        "packages": sorted(_distributions([folder])),
        "made": [
            f"`xmlkit train FOLDER --config config.json` with the file of that name here{begun}, begun on",
            f"{_code(machine)}. Settings that differ from the defaults:",
            "",
            *_block(assigned or ["none"]),
        ],
        "figures": _figures(folder),
        "figures_of": "Of the test split, in percent",
    }


def _of_ensemble(folder: Path) -> dict[str, Any]:
    described, figures = describe(folder), _figures(folder)
    members = [f"{_last(member.name)}: {member.kind}" for member in described.members]
    packages = _distributions([path.parent for path in folder.glob(f"towers/*/{DESCRIPTION}")])
    used = {member.kind for member in described.members}
    packages.update(*(kind(name).needs for name in used))
    packages |= {entry.dist.name for name, entry in kinds().items() if name in used and entry.dist}
    return {
        "source": described.source,
        "digest": described.corpus,
        "documents": described.training_documents,
        "labels": len(json.loads((folder / LABELS).read_bytes())["ids"]),
        "packages": sorted(packages - {DISTRIBUTION}),
        "made": ["By `xmlkit ensemble` of these members, their names and kinds:", "", *_block(members)],
        "figures": figures or described.judged,
        "figures_of": "Of the test split, in percent"
        if figures
        else f"Of the {described.held_out_documents:,} held-out documents, in percent",
    }


def _distributions(runs: Iterable[Path]) -> set[str]:
    """Those that bring plugins of these runs. Raises UserError where a plugin is of none."""
    plugins = [plugin for run in runs for plugin in description_of(run).plugins]
    if of_files := [plugin.name for plugin in plugins if plugin.version.startswith(OF_A_FILE)]:
        raise UserError(
            f"plugin {of_files[0]!r} is a file that nobody else has: make it a distribution (xmlkit plugin "
            "new) and train with that"
        )
    return {plugin.distribution for plugin in plugins} - {DISTRIBUTION, FORMER}


def _figures(folder: Path) -> dict[str, float]:
    return {name: float(value) for name, value in metrics_of(folder).items() if "@" in name}


def _block(lines: Sequence[str]) -> list[str]:
    return ["```", *(visible(line).replace("`", "'") for line in lines), "```"]


def _code(text: str) -> str:
    return f"`{visible(text).replace('`', chr(39))}`"


def _value(value: Any) -> str:
    return _name(value) if isinstance(value, str) else json.dumps(_without_folders(value))


def _without_folders(value: Any) -> Any:
    """Paths without the folders that they lay in."""
    if isinstance(value, str):
        return _name(value)
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    return {key: _without_folders(part) for key, part in value.items()} if isinstance(value, dict) else value


def _last(member: str) -> str:
    """`kind:PATH` and a path without the folders that it lay in."""
    kind, path = parted(member)
    return kind + _name(path)


def _is_path(name: str) -> bool:
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or Path(name).exists()


def _name(path: str) -> str:
    return Path(path).name if _is_path(path) else path
