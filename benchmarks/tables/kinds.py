"""What the columns of each kind of table say of a row's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from operator import itemgetter
from typing import Any

from benchmarks.tables.taken import date, machine


@dataclass(frozen=True)
class Kind:
    """Columns by their headings. One that finds a key missing leaves its cell empty."""

    columns: Mapping[str, Callable[[Any], str]]
    of: Callable[[Any], Any] = lambda found: found  # what they are asked about, from what lies at the place
    rows: str = ""  # where they lie in a file that is named alone
    words: str = "{key}"  # and what they are called


def rounded(value: float, digits: int = 2) -> str:
    """Half up, as the figure is written: 45.555 is 45.56, though the nearest binary number is less."""
    return str(Decimal(str(value)).quantize(Decimal(10) ** -digits, ROUND_HALF_UP))


def three(figures: Mapping[str, float], metric: str) -> str:
    """At 1, 3 and 5."""
    return " / ".join(rounded(figures[f"{metric}@{k}"]) for k in (1, 3, 5))


def spread(figures: Sequence[float]) -> str:
    """Median, smallest and largest, or the quartiles."""
    median, low, high = map(rounded, figures)
    return f"{median} ({low} to {high})"


def difference(figures: Sequence[float]) -> str:
    """With its 95% interval."""
    value, low, high = map(rounded, figures)
    return f"{'' if value.startswith('-') else '+'}{value} ({low} to {high})"


def minutes(seconds: float) -> str:
    """To a tenth below ten of them."""
    return rounded(seconds / 60, 1 if 0 < seconds < 600 else 0)


def milliseconds(seconds: float) -> str:
    """Whole ones from ten on."""
    return rounded(round(seconds * 1000, 6), 0 if seconds >= 0.01 else 1)


def _trained(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run with its last evaluation on held-out documents, and the one once plugins had ended their fits."""
    found = dict(run)
    for prefix, name in (("", "held_out"), ("validation/", "held_out"), ("trained/validation/", "ended")):
        told = [line for line in run.get("validation", []) if f"{prefix}P@1" in line]
        if told:
            found[name] = {key.removeprefix(prefix): value for key, value in told[-1].items()}
    return found


def _compared(row: Mapping[str, Any]) -> Mapping[str, str]:
    """A row of `xmlkit compare`: the base's figures, or the differences from them."""
    said = {
        name: rounded(metric["value"])
        if metric["difference"] is None
        else difference([metric["difference"], metric["low"], metric["high"]])
        for name, metric in row["metrics"].items()
    }
    return {**said, "verdict": row["verdict"]}


def _in_all(run: Mapping[str, Any]) -> str:
    name = "seconds_in_all" if "seconds_in_all" in run else "seconds_first_step_to_test_figures"
    return minutes(run[name])


def _training(run: Mapping[str, Any]) -> str:
    return minutes(run["seconds_of_steps" if "seconds_of_steps" in run else "seconds_of_training"])


def _tenths(part: str, *metrics: str) -> dict[str, Callable[[Any], str]]:
    """Columns of one figure each, of that part of the row."""

    def column(metric: str) -> Callable[[Any], str]:
        return lambda row: rounded(row[part][metric], 1)

    return {metric: column(metric) for metric in metrics}


def _difference_of(metric: str) -> Callable[[Any], str]:
    return lambda row: difference(row[metric])


def _of_devices(devices: int) -> Callable[[Any], str]:
    def said(lines: Sequence[Mapping[str, Any]]) -> str:
        for line in lines:
            if line["devices"] == devices:
                slow, fast = (line["seconds"][f"{rate} GB/s"] for rate in (25, 400))
                return f"{slow:.3g} / {fast:.3g} s, {line['gib_a_rank']:.0f} GiB"
        raise KeyError(devices)

    return said


RUNS = {
    "held-out P@1 / 3 / 5": lambda run: three(run["held_out"], "P"),
    "with votes": lambda run: three(run["ended"], "P"),
    "test P@1 / 3 / 5": lambda run: three(run["test"], "P"),
    "nDCG@5": lambda run: rounded(run["test"]["nDCG@5"]),
    "PSP@1 / 3 / 5": lambda run: three(run["test"], "PSP"),
    "minutes of training": _training,
    "minutes in all": _in_all,
}

STEPS = {
    "step / encoder": lambda line: spread(line["ratio"]),
    "target": lambda line: rounded(line["target"]) if line["target"] else "",
    "documents/s": lambda line: f"{line['documents_per_second']:,.4g}",
    "of matmul rate": lambda line: f"{line['share_of_matmul_rate']:.0%}",
    "prediction / forward pass": lambda line: spread(line["prediction_speed"]),
    "bytes a label": lambda line: f"{sum(line['bytes_a_label'].values()):,.0f}",
    "peak GiB": lambda line: rounded(line["peak_gib"]),
}

OF_A_STEP = "{shape}, {documents} documents, {labels:,} labels"

PARTS = {
    f"{name}, ms": (lambda line, part=name: milliseconds(line["parts_seconds"][part]))
    for name in ("encoder", "candidates", "scoring", "backward", "optimiser and the rest")
}

KINDS = {
    "files": Kind(
        {
            "date": date,
            "commit": lambda found: found["machine"]["commit"],
            "machine": machine,
            "command": lambda found: f"`{found['command']}`",
            "note": lambda found: found["note"],
        },
        words="[{key}]({key}.json)",
    ),
    "runs": Kind(RUNS, _trained),
    "figures": Kind(
        _tenths("test", *(f"{name}@{k}" for name in ("P", "PSP") for k in (1, 3, 5))),
        lambda row: row if "test" in row else {"test": row},  # of a peer, which has no others
    ),
    "compare": Kind(
        {name: itemgetter(name) for name in ("P@1", "P@3", "P@5", "PSP@1", "PSP@5", "nDCG@5")}
        | {"verdict on P@5": itemgetter("verdict")},
        _compared,
        "/rows/*",
        "`{name}`",
    ),
    "members": Kind(
        {
            "held-out P@1 / 3 / 5": lambda row: three(row["alone"], "P"),
            "nDCG@5": lambda row: rounded(row["alone"]["nDCG@5"]),
            "PSP@1 / 3 / 5": lambda row: three(row["alone"], "PSP"),
            "lost without it": lambda row: spread(row["loss_without"]),
        },
        lambda row: row if "alone" in row else {"alone": row},
    ),
    "differences": Kind({name: _difference_of(name) for name in ("P@1", "P@5", "PSP@5", "nDCG@5")}),
    "unseen": Kind(
        _tenths("unseen", "P@1", "P@3", "P@5", "R@5", "nDCG@5")
        | {"all labels, P@1 / 3 / 5": lambda row: three(row["all"], "P")}
    ),
    "steps": Kind(STEPS, rows="/results/*", words=OF_A_STEP),
    "parts": Kind(
        PARTS | {"label rows read": lambda line: f"{line['rows_a_step']:,}"},
        rows="/results/*",
        words=OF_A_STEP,
    ),
    "flat": Kind(
        {
            "step, every label / encoder": lambda line: spread(line["flat / encoder"]),
            "step, clusters / encoder": lambda line: spread(line["clustered / encoder"]),
            "every label / clusters": lambda line: spread(line["flat / clustered"]),
            "the same in prediction": lambda line: spread(line["flat / clustered, prediction"]),
        },
        rows="/results/*",
        words="{labels:,} labels",
    ),
    "labels": Kind(
        {
            "4,000 labels, s": lambda found: rounded(found["seconds"]["yso-en-4k"], 3),
            "25,023 labels, s": lambda found: rounded(found["seconds"]["yso-en"], 3),
            "ratio, quartiles of the pairs": lambda found: spread(
                [found["ratio_median"], *found["ratio_quartiles"]]
            ),
            "of all time together": lambda found: rounded(found["ratio_of_totals"]),
        }
    ),
    "rows": Kind(
        {
            "`row_state=compact`, ms": lambda found: milliseconds(found["compact"]),
            "`full`, ms": lambda found: milliseconds(found["full"]),
            "AdamW over all rows, ms": lambda found: milliseconds(found["all_rows"]),
        },
        rows="/seconds/*",
        words="{key} labels",
    ),
    "clusters": Kind(
        {
            "features, s": lambda found: (
                rounded(found["features_seconds"], 1) if found["features_seconds"] else ""
            ),
            "clusters, s": lambda found: rounded(found["seconds"], 1),
            "peak GiB": lambda found: rounded(found["peak_gib"]),
            "mean similarity to the centre": lambda found: rounded(found["similarity"], 4),
        }
    ),
    "precision": Kind(
        {
            "float32, s": lambda found: rounded(found["float32_seconds"], 3),
            "bfloat16, s": lambda found: rounded(found["bfloat16_seconds"], 3),
            "times as fast": lambda found: spread(
                [found[f"speedup_{name}"] for name in ("median", "min", "max")]
            ),
        },
        rows="/max_len/*",
        words="{key} tokens at most",
    ),
    "encoders": Kind(
        {
            "times as fast as float32": lambda found: spread(
                [found[name] for name in ("times_float32", "least", "largest")]
            ),
            "P@1 / 3 / 5": lambda found: three(found, "P"),
        },
        rows="/precisions/*",
    ),
    "data": Kind(
        {
            "padding, of the tokens": lambda found: f"{found['padding_share']:.2%}",
            "of a step, waiting for data": lambda found: f"{found['data_wait_share']:.2%}",
            "documents made ready/s": lambda found: f"{found['documents_ready_per_second']:,}",
            "seconds to the first step's end": lambda found: rounded(found["seconds_to_first_step"], 1),
        }
    ),
    "reading": Kind(
        {
            "file, MiB": lambda found: f"{found['file_mib']:,}",
            "in no file, MiB": lambda found: f"{found['held_out']['anonymous_mib']:,}",
            "resident, MiB": lambda found: f"{found['held_out']['resident_mib']:,}",
        }
        | {
            f"{words}, processor s": (lambda found, of=part: rounded(found[of]["processor_seconds"], 1))
            for part, words in (("reading", "reading"), ("digest", "digest"), ("held_out", "held-out part"))
        }
    ),
    "serving": Kind(
        {
            "requests/s": lambda found: rounded(found["requests_per_second"], 1),
            "p50, ms": lambda found: rounded(found["p50_ms"], 0),
            "p99, ms": lambda found: rounded(found["p99_ms"], 0),
        }
    ),
    "budget": Kind(
        {
            "chosen": lambda found: found["plan"],
            "said, s": lambda found: rounded(found["estimate_seconds"], 0),
            "taken over said": lambda found: rounded(found["taken_over_estimate"]),
            "share of the budget": lambda found: rounded(found["share_of_budget"]),
        },
        rows="/commands/*",
    ),
    "devices": Kind({"1 device": _of_devices(1)} | {f"{count}": _of_devices(count) for count in (8, 16, 64)}),
    "peers": Kind(
        {
            "version": lambda found: found["version"],
            "formats": lambda found: ", ".join(f"`{name}`" for name in found["the_same"]),
            "all texts and labels": lambda found: "the same" if all(found["the_same"].values()) else "others",
        }
    ),
    "whole": Kind(  # of `benchmarks.peers`, and of whole `xmlkit train` commands in the suite
        {
            "P@1 / 3 / 5": lambda found: three(found, "P"),
            "nDCG@5": lambda found: rounded(found["nDCG@5"]),
            "PSP@1 / 3 / 5": lambda found: three(found, "PSP"),
            "seconds": lambda found: f"{found['seconds']:,.0f}",
            "documents/s": lambda found: f"{found['documents_per_second']:,.0f}",
            "GiB": lambda found: rounded(found["peak_gib"]),
            "MB": lambda found: f"{found['megabytes']:,.0f}",
            "lines": lambda found: str(found["lines_written"]),
        }
    ),
    "seen": Kind({"seen": lambda found: ", ".join(f"{count} {what}" for what, count in found.items())}),
}
