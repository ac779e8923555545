"""The parts. Minutes are those of two cores without AMX; of what is for CUDA alone they are a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from benchmarks.peers.known import PEERS
from benchmarks.suite.part import CORPUS, ENCODER, OUT, Figure, Part

ROOM = {"P@1": 1.0, "P@3": 0.6, "P@5": 0.4, "PSP@5": 0.6}  # about a standard error on so many documents:
ROOMY = 4_000
COSTS: Mapping[str, tuple[Literal["less", "more"], float]] = {  # and their noise from one day to the next
    "seconds": ("less", 0.3),
    "documents_per_second": ("more", 0.3),
    "peak_gib": ("less", 0.1),
    "megabytes": ("less", 0.02),
}


def _steps(found: Any) -> dict[str, Figure]:
    return {
        f"{line['labels']:,} labels, step over encoder": Figure(line["ratio"][0], "less")
        for line in found["results"]
    }


def _rows(found: Any) -> dict[str, Figure]:
    """Beside stepping all rows, since seconds are a machine's."""
    return {
        f"{labels} rows, {kind} over all rows": Figure(seconds[kind] / seconds["all_rows"], "less")
        for labels, seconds in found["seconds"].items()
        for kind in ("compact", "full")
    }


def _flat(found: Any) -> dict[str, Figure]:
    return {
        f"{line['tokens']} tokens, {line['labels']:,} labels, {kind}": Figure(line[kind][0], "less")
        for line in found["results"]
        for kind in ("flat / encoder", "clustered / encoder")
    }


def _data(found: Any) -> dict[str, Figure]:
    return {
        "padding": Figure(found["padding_share"], "less", 0.01),
        "share of a step that waits for data": Figure(found["data_wait_share"], "less", 0.01),
        "documents ready a second": Figure(found["documents_ready_per_second"], "more"),
    }


def _reading(found: Any) -> dict[str, Figure]:
    reading = found["reading"]
    return {
        "seconds to read": Figure(reading["seconds"], "less"),
        "MiB that can't be given away": Figure(reading["anonymous_mib"], "less"),
    }


def _ranks(found: Any) -> dict[str, Figure]:
    speed_up = sorted(found["speed_up"])[len(found["speed_up"]) // 2]
    return {
        "two processes, times as fast as one": Figure(speed_up, "more"),
        "megabytes a step": Figure(found["megabytes_a_step"], "less"),
    }


def _compared(found: Any) -> dict[str, Figure]:
    return {
        f"{row['name']}, {name} of {found['part']}": Figure(
            row["metrics"][name]["value"], "more", room, noise=0
        )
        for row in found["rows"]
        for name, room in _room(found["documents"]).items()
    }


def _room(documents: int) -> dict[str, float]:
    """A standard error grows as documents get fewer."""
    return {name: room * math.sqrt(ROOMY / documents) for name, room in ROOM.items()}


def _metrics(found: Mapping[str, Any]) -> dict[str, Figure]:
    """How good a model is, and what it took."""
    rooms = _room(found.get("test_documents", ROOMY)).items()
    good = {name: Figure(found[name], "more", room, noise=0) for name, room in rooms if name in found}
    took = {
        name: Figure(found[name], way, noise=noise) for name, (way, noise) in COSTS.items() if name in found
    }
    return good | took


def _nothing(found: Any) -> dict[str, Figure]:
    """It fails, or it does not."""
    return {}


def _trained(name: str, minutes: float, *options: str) -> Part:
    words = ("-m", "benchmarks.suite.trained", OUT, CORPUS, *options)
    return Part(name, "quality", minutes, words, _metrics)


def _peer(name: str, minutes: float) -> Part:
    options = ("--encoder", ENCODER) if PEERS[name].is_pretrained else ()
    return Part(name, "peers", minutes, ("-m", "benchmarks.peers", name, OUT, CORPUS, *options), _metrics)


LIGHTXML = ("--encoder", ENCODER, "--recipe", "lightxml", "--set", "epochs=20")  # as long as on EUR-Lex

SETS = (
    "base;lexical;neighbours;lexical,neighbours;base[start=prior];se;loss-fix;loss-fix[mode=gradnorm];"
    "astec-negatives;combination;combination[where=classifier];se,loss-fix,astec-negatives,combination"
)

PARTS = (  # what is short and most asked for comes first
    _trained("bag", 2, "--encoder", "none", "--plugin", "lexical"),
    _peer("omikuji-bonsai", 1),
    _peer("omikuji-parabel", 1),
    _peer("napkinxc-plt", 1),
    _peer("pecos-xr-linear", 2),
    _peer("libmultilabel-tree", 3),
    _peer("annif-omikuji", 3),
    _peer("annif-ensemble", 4),
    _trained("untrained", 4, "--encoder", ENCODER, "--set", "epochs=0", "--plugin", "neighbours"),
    _trained("frozen", 5, "--encoder", ENCODER, "--set", "freeze=true", "--plugin", "lexical,neighbours"),
    _trained("blended", 8, "--encoder", ENCODER, "--ensemble", "auto"),
    Part(
        "step",
        "speed",
        8,
        (
            *("-m", "benchmarks.step", "--shapes", "minilm", "--documents", "16"),
            *("--labels", "4000,25023,131073", "--out", OUT),
        ),
        _steps,
    ),
    Part("rows", "speed", 1, ("-m", "benchmarks.rows", "--out", OUT), _rows, repeats=3),
    Part("flat", "speed", 6, ("-m", "benchmarks.flat", "--labels", "4000,25023", "--out", OUT), _flat),
    Part("reading", "speed", 2, ("-m", "benchmarks.reading", "--out", OUT), _reading),
    Part("ranks", "speed", 4, ("-m", "benchmarks.ranks", "--out", OUT), _ranks),
    Part("data", "speed", 3, ("-m", "benchmarks.data", CORPUS, "--out", OUT), _data),
    _trained("trained", 25, "--encoder", ENCODER, "--plugin", "lexical,neighbours"),
    _peer("transformers", 50),
    _peer("pecos-xr-transformer", 75),
    Part(
        "lightxml",
        "peers",
        15,
        ("-m", "benchmarks.suite.trained", OUT, CORPUS, *LIGHTXML),
        _metrics,
        on_cuda=True,
    ),
    Part(
        "kills and damage",
        "reliability",
        20,
        ("-m", "benchmarks.reliability", "--kills", "10", "--damages", "60", "--out", OUT),
        _nothing,
    ),
    Part(
        "ablation",
        "ablation",
        600,
        ("-m", "benchmarks.suite.ablation", OUT, CORPUS, ENCODER, SETS),
        _compared,
        goes_on=True,
    ),
)
