"""Settings that can be trained with, as far as that can be told before the work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xmlkit.config import Config, merge
from xmlkit.data.corpus import Corpus
from xmlkit.data.unlabelled import check_unlabelled
from xmlkit.errors import UserError
from xmlkit.model.device import check_compiler, choose_device
from xmlkit.model.encoder import NONE, SCRATCH
from xmlkit.plugins import Active, settled
from xmlkit.training.init_from import check_settings, shared_settings
from xmlkit.training.name_documents import check_names

MANY_LABELS = 50_000  # above it labels are clustered unless the settings say otherwise
TOKENS_AT_ONCE = {"cpu": 2048, "cuda": 32_768}  # what a processor's memory and a device's load ask for


@dataclass(frozen=True)
class Checked:
    """Settings that can be trained with, as far as that can be told before the work."""

    config: Config
    active: Active
    device: torch.device
    start: Path | None  # of `init_from`


def check(corpus: Corpus, config: Config | Mapping[str, Any] | None, init_from: str | Path | None) -> Checked:
    """Raises UserError for settings, a device or a start that training on this corpus cannot have."""
    if not isinstance(corpus, Corpus):
        raise UserError(
            f"train takes a Corpus; for a folder: xmlkit.train(xmlkit.load_corpus({str(corpus)!r}))"
        )
    if not isinstance(config, Config | Mapping | None):
        raise UserError(f"config={config!r}: expected settings by name, {{'epochs': 3}}, or a Config")
    start = None if init_from is None else Path(init_from).resolve()
    given = config.as_given() if isinstance(config, Config) else config or {}
    config, active = settled(merge(shared_settings(start) if start else {}, given), corpus.source)
    device = device_of(config)
    if config.compile:
        check_compiler()
    config = decided(config, len(corpus.labels), device).model_copy(
        update={"options": active.options_as_document}
    )
    if config.name_documents:
        check_names(corpus.labels, config.name_documents, corpus.name)
    if config.unlabelled:
        check_unlabelled(config.unlabelled)
    if start:
        check_settings(start, config)
    return Checked(config, active, device, start)


def decided(config: Config, num_labels: int, device: torch.device) -> Config:
    """With the settings decided that depend on the corpus, the device or the present folder."""
    clustered, tokens = config.clustered, config.micro_batch_tokens
    local, is_named = Path(config.encoder), config.encoder not in (SCRATCH, NONE)
    return config.model_copy(
        update={
            "encoder": str(local.resolve()) if is_named and local.is_dir() else config.encoder,
            "unlabelled": config.unlabelled and str(Path(config.unlabelled).resolve()),
            "clustered": num_labels > MANY_LABELS if clustered is None else clustered,
            "micro_batch_tokens": tokens or TOKENS_AT_ONCE[device.type],
        }
    )


def device_of(config: Config) -> torch.device:
    """The settings' device, on which numbers are from now on as reproducible as they say."""
    device = choose_device(config.device)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without
    torch.use_deterministic_algorithms(config.deterministic)
    return device
