"""A run's folder: all that is needed to open its model again, wherever the folder is moved.

config.json        the settings, as a config file
labels.jsonl       id, name, further names, number of training documents and cluster of each label, one a line
encoder/           the encoder's configuration and its tokenizer
model.json         machine, plugins in order, sizes, and the digests of all files above
model.safetensors  the weights: `encoder/...`, or door / plugin / name; the digests of these and of model.json
log.jsonl          what the training reported
metrics.json       figures on the test split, where there is one
threshold.json     where rankings are best cut, once that was asked for

So each file is told that is not as the run wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xmlkit.config import Config, resolve
from xmlkit.console import say
from xmlkit.data.corpus import Corpus, Labels
from xmlkit.data.dialect import PLAIN, Dialect, Source
from xmlkit.data.lines import is_unicode
from xmlkit.data.spelling import spellings
from xmlkit.data.template import Template
from xmlkit.discovery import OF_A_FILE, installed, version_here
from xmlkit.distributed import ranks
from xmlkit.distribution import DISTRIBUTION, FORMER
from xmlkit.errors import UserError
from xmlkit.files import changed, copy_files, digests, errors_named, inside, replaced
from xmlkit.model.encoder import NONE, Encoder, NoEncoder, load_config, load_tokenizer, new_backbone
from xmlkit.model.finite import not_finite
from xmlkit.model.inputs import names_of
from xmlkit.model.machine import machine
from xmlkit.model.model import Model, new_model
from xmlkit.model.parts import Known
from xmlkit.model.split import make_room, without_rows
from xmlkit.model.tensor_file import load_note, load_sizes, load_tensors, save_tensors
from xmlkit.plugins import Active, activate
from xmlkit.tables import ClusterTable

DESCRIPTION = "model.json"
ENSEMBLE = "ensemble.json"  # what the folder of an ensemble has in its place
WEIGHTS = "model.safetensors"


class _Recorded(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RecordedPlugin(_Recorded):
    """A plugin that a run was trained with."""

    name: str
    version: str
    distribution: str


class Description(_Recorded):
    """What model.json holds."""

    source: str | None  # the folder that the corpus was read from, `demo`, or none
    dialect: Dialect = PLAIN  # how it was read
    init_from: str | None
    corpus: str
    labels: int
    training_documents: Annotated[int, Field(ge=1, lt=2**63)]
    machine: dict[str, str]  # that it was begun on
    plugins: list[RecordedPlugin]
    files: dict[Annotated[str, AfterValidator(inside)], str]  # digests, of what was written before this one


@dataclass(frozen=True)
class Recorded:
    """What a model was made of and trained on."""

    encoder: Encoder
    active: Active
    tokenizer: PreTrainedTokenizerBase
    config: Config
    labels: Labels
    counts_L: np.ndarray  # training documents of each label, the validation part included
    num_documents: int  # training documents, the validation part included
    corpus_digest: str
    clusters: ClusterTable | None  # labels that were trained lie in the order of these


@dataclass(frozen=True)
class Opened(Recorded):
    """A saved model, too."""

    model: Model

    @classmethod
    def of(cls, recorded: Recorded, model: Model) -> Opened:
        """Both in one."""
        return cls(**vars(recorded), model=model)


def describe_run(
    folder: Path, opened: Recorded, corpus: Corpus, start: Path | None, device: torch.device
) -> None:
    """Writes everything but the weights; `start` is the run whose weights it began with."""
    write_json(folder / "config.json", opened.config.as_document())
    _write_labels(folder / "labels.jsonl", opened)
    with errors_named(folder / "encoder"):
        if opened.config.encoder != NONE:
            opened.encoder.backbone.config.save_pretrained(folder / "encoder")
        opened.tokenizer.save_pretrained(folder / "encoder")
    encoder = sorted(p.relative_to(folder).as_posix() for p in (folder / "encoder").rglob("*") if p.is_file())
    description = Description(
        source=corpus.source,
        dialect=corpus.dialect,
        init_from=None if start is None else str(start),
        corpus=opened.corpus_digest,
        labels=len(opened.labels),
        training_documents=opened.num_documents,
        machine=machine(device),
        plugins=[
            RecordedPlugin(name=p.name, version=p.version, distribution=p.distribution)
            for p in opened.active.plugins
        ],
        files=digests(folder, ["config.json", "labels.jsonl", *encoder]),
    )
    write_json(folder / DESCRIPTION, description.model_dump())


def describe_again(folder: Path, run: Path, opened: Recorded) -> None:
    """Writes everything but the weights of a run that differs from `run` in its labels alone."""
    description = description_of(run)
    encoder = {p.relative_to(run).as_posix() for p in (run / "encoder").rglob("*") if p.is_file()}
    copied = ["config.json", *sorted(encoder & description.files.keys())]  # no names but those that we found
    _check(run, *copied)
    copy_files(run, folder, copied)
    _write_labels(folder / "labels.jsonl", opened)
    files = digests(folder, [*copied, "labels.jsonl"])
    new = description.model_copy(update={"labels": len(opened.labels), "files": files})
    write_json(folder / DESCRIPTION, new.model_dump())


def save_weights(folder: Path, model: Model) -> None:
    """Writes the weights; a reader sees the old file or the new one, never a part."""
    write_tensors(folder, WEIGHTS, model.weights())
    ranks.meet()  # others may be about to read them


def write_tensors(
    folder: Path, name: str, tensors: Mapping[str, Tensor], note: Mapping[str, Any] | None = None
) -> None:
    """Replaces a file of a run's tensors, which knows what run it belongs to; of several ranks the first."""
    if ranks.is_first():
        save_tensors(folder / name, tensors, {**digests(folder, [DESCRIPTION]), **(note or {})})


def read_tensors(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Such a file's tensors and its note. Raises UserError where it is damaged or another run's."""
    tensors, note = load_tensors(folder / name)
    _check_belongs(folder, name, note)
    return tensors, note


def open_run(folder: Path) -> Opened:
    """The model of a run's folder with its weights, on the host.

    Raises UserError where the folder holds no finished run, or needs a plugin that is not installed.
    """
    check_is_run(folder)
    _check_has_weights(folder)
    return with_weights(folder, open_description(folder))


def with_weights(folder: Path, recorded: Recorded, added: int = 0) -> Opened:
    """The model of what is recorded with the weights of a run's folder, on the host.

    The last `added` labels may be more than the run has: their rows are as a new model has them. Raises
    UserError where the weights do not fit, or aren't there.
    """
    make = partial(_model, recorded)
    opened = Opened.of(recorded, without_rows(make) if ranks.are_several() else make())
    make_room(opened.model)
    weights = read_weights(folder)
    if (name := not_finite(weights)) is not None:
        raise UserError(f"{folder / WEIGHTS}: {name!r} is not finite: train it again")
    try:
        opened.model.load_weights(weights, added)
    except UserError as error:
        why = f" (with {added:,} more labels than it was trained with)" if added else ""
        raise UserError(f"{folder / WEIGHTS}: {error}{why}") from None
    opened.model.eval()
    return opened


def open_description(folder: Path) -> Recorded:
    """All of a run's folder but the weights: the encoder's are random."""
    description = description_of(folder)
    _check_plugins(folder, description.plugins)
    config = read_config(folder)
    active = activate(config.plugins, config.options)
    labels, counts_L, clusters = read_labels(folder)
    tokenizer, encoder = open_encoder(folder, config)
    counted = (labels, counts_L, description.training_documents, description.corpus)
    return Recorded(encoder, active, tokenizer, config, *counted, clusters)


def _model(recorded: Recorded) -> Model:
    """With random weights, and without what its parts may know in training."""
    labels, tokenizer = recorded.labels, recorded.tokenizer
    known = Known(
        recorded.clusters,
        spell=partial(spellings, tokenizer),
        label_ids=labels.ids,
        read_names=names_of(labels, tokenizer, recorded.encoder.template, recorded.encoder.longest_input),
    )
    return new_model(recorded.encoder, len(labels), recorded.active, recorded.config, known)


def open_encoder(folder: Path, config: Config) -> tuple[PreTrainedTokenizerBase, Encoder]:
    """A run's tokenizer, and its encoder with random weights, for settings with the run's encoder."""
    _check(folder, *(name for name in description_of(folder).files if name.startswith("encoder/")))
    tokenizer = load_tokenizer(folder / "encoder")
    try:
        template = Template.of(tokenizer)
    except UserError as error:
        raise UserError(f"{folder / 'encoder'}: {error}") from None
    if config.encoder == NONE:
        return tokenizer, NoEncoder(template)
    try:
        shape = load_config(folder / "encoder")
        _check_size(folder, shape)
        backbone = new_backbone(shape)
    except UserError:
        raise
    except Exception as error:  # whatever a library makes of sizes that don't go together
        first = str(error).partition("\n")[0]
        raise UserError(
            f"{folder}: encoder/config.json makes no model ({first}): put the file back"
        ) from None
    return tokenizer, Encoder(backbone, template, config.layers)


LAYERS = 100  # that may share their weights, as ALBERT's do: more than any has


def _check_size(folder: Path, shape: Any) -> None:
    """Raises UserError where the encoder's configuration asks for far more than its weights are."""
    if not (folder / WEIGHTS).is_file():
        return
    sizes = load_sizes(folder / WEIGHTS)
    held = [size for name, size in sizes.items() if name.startswith("encoder/")]
    fits = shape.num_hidden_layers <= max(len(held), LAYERS)
    if fits:
        with torch.device("meta"):  # which takes no memory
            fits = sum(p.numel() for p in new_backbone(shape).parameters()) <= 2 * sum(held)
    if not fits:
        raise UserError(
            f"{folder}: encoder/config.json asks for more than {WEIGHTS} has: put both files back"
        )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """A run's weights by name. Raises UserError where none were saved or the file is damaged."""
    description_of(folder)
    _check_has_weights(folder)
    return read_tensors(folder, WEIGHTS)[0]


def _check_has_weights(folder: Path) -> None:
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} holds no {WEIGHTS}: its training ended before any weights were saved")


def read_config(folder: Path) -> Config:
    """A run's settings."""
    document = _parse(folder / "config.json", _read(folder, "config.json"))
    if not isinstance(document, dict):
        raise UserError(f"{folder / 'config.json'} is damaged: no settings by name")
    return resolve(document)


def read_labels(folder: Path) -> tuple[Labels, np.ndarray, ClusterTable | None]:
    """A run's labels in the order of its rows, the training documents of each, and its clusters."""
    path = folder / "labels.jsonl"
    lines = [_parse(path, line) for line in _read(folder, "labels.jsonl").split(b"\n") if line]
    try:
        columns = {key: [line[key] for line in lines] for key in (lines[0] if lines else ("id", "documents"))}
        further = columns.get("alternatives")
        labels = Labels(columns["id"], columns.get("name"), further and [tuple(names) for names in further])
        counts_L = np.array(columns["documents"], np.int64)
        numbers = np.array(columns.get("cluster", []), np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    texts = [*labels.ids, *(labels.names or []), *chain.from_iterable(labels.alternatives or [])]
    are_texts = all(isinstance(text, str) and is_unicode(text) for text in texts)
    are_texts = are_texts and all(isinstance(names, list) for names in further or [])
    if not (are_texts and len(labels.rows) == len(labels) > 0 and counts_L.ndim == 1):
        raise UserError(f"{path} is damaged: labels are texts, and each is there once")
    clusters = None
    if "cluster" in columns:
        if not np.array_equal(found := np.unique(numbers), np.arange(len(found))):
            raise UserError(f"{path} is damaged: clusters are numbered from 0 on, and none is empty")
        clusters = ClusterTable.of_labels(torch.from_numpy(numbers))
    return labels, counts_L, clusters


def is_ensemble(folder: Path) -> bool:
    """Whether it is the folder of one, and so no run's."""
    return (folder / ENSEMBLE).is_file()


def files_of_run(folder: Path) -> list[str]:
    """The names of all files that opening a run needs. Raises UserError where one is not as it wrote it."""
    described = list(description_of(folder).files)
    _check(folder, *described)
    _check_has_weights(folder)
    return [*described, DESCRIPTION, WEIGHTS]


def run_source(folder: Path) -> Source:
    """The corpus that a run was trained on. Raises UserError for one made in memory, or gone."""
    described = description_of(folder)
    return source_there(folder, described.source, described.dialect)


def source_there(folder: Path, source: str | None, dialect: Dialect) -> Source:
    """A recorded source. Raises UserError where it is none, or gone."""
    if source is None:
        raise UserError(f"{folder} was trained on a corpus made in memory: name DATA")
    if source != "demo" and not Path(source).exists():
        raise UserError(f"{folder} was trained on {source}, which is not there any more: name DATA")
    return Source(source, dialect)


def write_json(path: Path, document: Any) -> None:
    """Indented, as people read it. Of several ranks the first does."""
    if not ranks.is_first():
        return
    with replaced(path) as unfinished:
        unfinished.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_plugins(folder: Path, recorded: list[RecordedPlugin]) -> None:
    """Refuses a plugin that is missing; another version than at training is worth a remark."""
    entries = installed()
    for plugin in recorded:
        distribution, version = plugin.distribution, plugin.version
        if distribution == FORMER:  # which would be a stranger's to whoever installs it
            distribution = DISTRIBUTION
        if plugin.name not in entries:
            raise UserError(
                f"{folder} needs the plugin {plugin.name!r}, which is not installed; by what the run says it "
                f"comes with {distribution!r} {version!r}: install that if you trust it"
            )
        here = version_here(plugin.name, entries[plugin.name])
        if version.startswith(OF_A_FILE) and here != version:
            raise UserError(
                f"{folder} was trained with another file as the plugin {plugin.name!r} ({distribution}, "
                f"{version}; here {here}): add that one, or train anew"
            )
        if here not in (None, version):
            say(f"{folder} was trained with {distribution} {version}; installed is {here}")


def check_is_run(folder: Path) -> None:
    """Raises UserError where it is no run's folder."""
    if not (folder / DESCRIPTION).is_file():
        check_no_ensemble(folder)
        raise UserError(f"{folder} is not a run: it holds no {DESCRIPTION}")


def check_no_ensemble(folder: Path) -> None:
    """Raises UserError where it is the folder of one."""
    if is_ensemble(folder):
        raise UserError(f"{folder} is an ensemble, where a single run is asked for")


def description_of(folder: Path) -> Description:
    """What model.json holds.

    Raises UserError where it is no run's folder, or the file is not what its weights belong to.
    """
    check_is_run(folder)
    path = folder / DESCRIPTION
    if (folder / WEIGHTS).is_file():
        _check_belongs(folder, WEIGHTS, load_note(folder / WEIGHTS))
    try:
        return Description.model_validate(_parse(path, path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path} is damaged, or another version's: {where}: {first['msg']}; put the file back"
        ) from None


def _check_belongs(folder: Path, name: str, note: Mapping[str, Any]) -> None:
    if digests(folder, [DESCRIPTION])[DESCRIPTION] != note.get(DESCRIPTION):
        raise UserError(
            f"{folder / name} and {DESCRIPTION} are not of one run, or one is damaged or another "
            "version's: put both files back"
        )


def _check(folder: Path, *names: str) -> None:
    """Raises UserError where one of these files is not as the run wrote it."""
    files = description_of(folder).files
    name = changed(folder, {name: files.get(name, "") for name in names})
    if name is None:
        return
    if not (folder / name).is_file():
        raise UserError(f"{folder / name} is missing: the run is not whole")
    advice = (
        f"; to train with other settings: --config {folder / name} --out NEW" if name == "config.json" else ""
    )
    raise UserError(f"{folder / name} is not as the run wrote it: put the file back{advice}")


def _read(folder: Path, name: str) -> bytes:
    _check(folder, name)
    return (folder / name).read_bytes()


def _parse(path: Path, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _write_labels(path: Path, opened: Recorded) -> None:
    columns: dict[str, list[Any]] = {"id": opened.labels.ids}
    if opened.labels.names:
        columns["name"] = opened.labels.names
    if opened.labels.alternatives:
        columns["alternatives"] = opened.labels.alternatives
    columns["documents"] = opened.counts_L.tolist()
    if opened.clusters:
        columns["cluster"] = opened.clusters.cluster_L.tolist()
    with replaced(path) as unfinished, unfinished.open("w", encoding="utf-8") as lines:
        for values in zip(*columns.values(), strict=True):
            lines.write(json.dumps(dict(zip(columns, values)), ensure_ascii=False) + "\n")
