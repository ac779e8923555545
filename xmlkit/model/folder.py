"""A run's folder: all that is needed to open its model again, wherever the folder is moved.

config.json        the settings, as a config file
model.json         versions, plugins in order, sizes
labels.jsonl       id, name, number of training documents and cluster of each label, one a line
encoder/           the encoder's configuration and its tokenizer
model.safetensors  the weights: `encoder/...`, or door / plugin / name
log.jsonl          what the training reported
metrics.json       figures on the test split, where there is one
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xmlkit.config import Config, resolve
from xmlkit.console import say
from xmlkit.data.corpus import Labels
from xmlkit.data.spelling import spellings
from xmlkit.data.template import Template
from xmlkit.discovery import installed
from xmlkit.errors import UserError
from xmlkit.model.encoder import NONE, Encoder, NoEncoder, load_config, load_tokenizer, new_backbone
from xmlkit.model.model import Model, new_model
from xmlkit.plugins import Active, activate
from xmlkit.tables import ClusterTable

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Opened:
    """A saved model and what it was trained on."""

    model: Model
    active: Active
    tokenizer: PreTrainedTokenizerBase
    config: Config
    labels: Labels
    counts_L: np.ndarray  # training documents of each label, the validation part included
    num_documents: int  # training documents, the validation part included
    corpus_digest: str
    clusters: ClusterTable | None  # labels lie in the order of these


def describe_run(folder: Path, opened: Opened, source: str | None, start: Path | None) -> None:
    """Writes everything but the weights.

    `source` is where the corpus was read from, `start` the run whose weights it began with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", opened.config.as_document())
    plugins = [
        {"name": p.name, "version": p.version, "distribution": p.distribution} for p in opened.active.plugins
    ]
    description = {
        "source": source,
        "init_from": start and str(start),
        "corpus": opened.corpus_digest,
        "labels": len(opened.labels),
        "training_documents": opened.num_documents,
        "plugins": plugins,
    }
    write_json(folder / "model.json", description)
    _write_labels(folder / "labels.jsonl", opened)
    if opened.config.encoder != NONE:
        opened.model.encoder.backbone.config.save_pretrained(folder / "encoder")
    opened.tokenizer.save_pretrained(folder / "encoder")


def save_weights(folder: Path, model: Model) -> None:
    """Writes the weights; a reader sees the old file or the new one, never a part."""
    unfinished = folder / f".{WEIGHTS}"
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in model.weights().items()}, unfinished
    )
    shutil.copymode(folder / "model.json", unfinished)  # safetensors lets no one else read its files
    os.replace(unfinished, folder / WEIGHTS)


def open_run(folder: Path) -> Opened:
    """The model of a run's folder with its weights, on the host.

    Raises UserError where the folder holds no finished run, or needs a plugin that is not installed.
    """
    opened = open_description(folder)
    weights = read_weights(folder)
    try:
        opened.model.load_weights(weights)
    except UserError as error:
        raise UserError(f"{folder / WEIGHTS}: {error}") from None
    opened.model.eval()
    return opened


def open_description(folder: Path) -> Opened:
    """All of a run's folder but the weights: the model's are random."""
    description = _read_json(folder / "model.json")
    _check_plugins(folder, description["plugins"])
    config = read_config(folder)
    active = activate(config.plugins, config.options)
    labels, counts_L, clusters = read_labels(folder)
    tokenizer, encoder = open_encoder(folder, config.layers)
    known = (clusters, partial(spellings, tokenizer), labels.names is not None)
    model = new_model(encoder, len(labels), active, config, *known)
    num_documents, corpus_digest = description["training_documents"], description["corpus"]
    return Opened(model, active, tokenizer, config, labels, counts_L, num_documents, corpus_digest, clusters)


def open_encoder(folder: Path, layers: int) -> tuple[PreTrainedTokenizerBase, Encoder]:
    """A run's tokenizer, and its encoder with random weights."""
    _require(folder / "encoder" / "tokenizer.json")
    if read_config(folder).encoder == NONE:
        tokenizer = load_tokenizer(folder / "encoder")
        return tokenizer, NoEncoder(Template.of(tokenizer))
    _require(folder / "encoder" / "config.json")
    tokenizer = load_tokenizer(folder / "encoder")
    backbone = new_backbone(load_config(folder / "encoder"))
    return tokenizer, Encoder(backbone, Template.of(tokenizer), layers)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """A run's weights by name. Raises UserError where none were saved or the file is damaged."""
    path = folder / WEIGHTS
    _require(folder / "model.json")
    if not path.is_file():
        raise UserError(f"{folder} holds no {WEIGHTS}: its training ended before any weights were saved")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: {error}") from None


def read_config(folder: Path) -> Config:
    """A run's settings."""
    return resolve(_read_json(folder / "config.json"))


def read_labels(folder: Path) -> tuple[Labels, np.ndarray, ClusterTable | None]:
    """A run's labels in the order of its rows, the training documents of each, and its clusters."""
    path = folder / "labels.jsonl"
    _require(path)
    lines = [_parse(path, line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    try:
        columns = {key: [line[key] for line in lines] for key in (lines[0] if lines else ("id", "documents"))}
        labels, counts_L = Labels(columns["id"], columns.get("name")), np.array(columns["documents"])
    except KeyError as error:
        raise UserError(f"{path} is damaged: a line lacks {error}") from None
    clusters = None
    if "cluster" in columns:
        sizes = np.bincount(columns["cluster"])
        clusters = ClusterTable(torch.from_numpy(np.concatenate([[0], sizes.cumsum()])))
    return labels, counts_L, clusters


def run_source(folder: Path) -> str:
    """The corpus that a run was trained on: a folder, or `demo`. Raises UserError for one made in memory."""
    source = _read_json(folder / "model.json")["source"]
    if source is None:
        raise UserError(f"{folder} was trained on a corpus made in memory: name DATA")
    if source != "demo" and not Path(source).is_dir():
        raise UserError(f"{folder} was trained on {source}, which is not there any more: name DATA")
    return source


def write_json(path: Path, document: Any) -> None:
    """Indented, as people read it."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_plugins(folder: Path, recorded: list[dict[str, str]]) -> None:
    """Refuses a plugin that is missing; another version than at training is worth a remark."""
    entries = installed()
    for plugin in recorded:
        distribution, version = plugin["distribution"], plugin["version"]
        if plugin["name"] not in entries:
            raise UserError(
                f"{folder} needs the plugin {plugin['name']!r}, which is not installed: "
                f"pip install {distribution}=={version}"
            )
        dist = entries[plugin["name"]].dist
        if dist and dist.version != version:
            say(f"{folder} was trained with {distribution} {version}; installed is {dist.version}")


def _require(path: Path) -> None:
    folder = path.parent.parent if path.parent.name == "encoder" else path.parent
    if not (folder / "model.json").is_file():
        raise UserError(f"{folder} is not a run: it holds no model.json")
    if not path.is_file():
        raise UserError(f"{path} is missing: the run is not whole")


def _read_json(path: Path) -> dict[str, Any]:
    _require(path)
    return _parse(path, path.read_text(encoding="utf-8"))


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _write_labels(path: Path, opened: Opened) -> None:
    columns: dict[str, list[Any]] = {"id": opened.labels.ids}
    if opened.labels.names:
        columns["name"] = opened.labels.names
    columns["documents"] = opened.counts_L.tolist()
    if opened.clusters:
        every = torch.arange(len(opened.labels), device=opened.clusters.starts.device)
        columns["cluster"] = opened.clusters.of(every).tolist()
    with path.open("w", encoding="utf-8") as lines:
        for values in zip(*columns.values(), strict=True):
            lines.write(json.dumps(dict(zip(columns, values)), ensure_ascii=False) + "\n")
