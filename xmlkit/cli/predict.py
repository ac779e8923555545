"""`xmlkit predict`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice, repeat, tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import xmlkit
from xmlkit.cli.options import PrecisionOption, Read, RunOrHubArgument, format_named, spread
from xmlkit.cli.ranked import join_for
from xmlkit.console import in_unicode, say
from xmlkit.distributed.launch import launched, speaks
from xmlkit.errors import UserError
from xmlkit.files import errors_named
from xmlkit.quick import uncollected

if TYPE_CHECKING:
    from xmlkit.data.formats import Document


Layout = Literal["text", "jsonl", "tsv"]


@spread
def predict(
    run: RunOrHubArgument,
    file: Annotated[
        str,
        typer.Argument(
            metavar="[FILE]",
            help="Texts, one a line, `.gz` or not; a file of a corpus, or its folder (the test split); "
            "`-`: standard input, answered in batches of thousands.",
        ),
    ] = "-",
    top_k: Annotated[
        int | None,
        typer.Option(min=1, help="Labels a text, at most; default: 5, or as fitted.", show_default=False),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="SCORE|auto",
            help="Smallest score of a label, 0 to 1; `auto`: as `xmlkit threshold` fitted it.",
        ),
    ] = "0",
    format_: Annotated[
        Layout | None,
        typer.Option(
            "--format",
            help="`tsv` has a line a label: text's number, label, name, score; default: as `--out` ends, or "
            "`text`.",
            show_default=False,
        ),
    ] = None,
    out_: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Writes `jsonl` or `tsv` there; texts that it answers already are passed over, so that the "
            "same command goes on with what was broken off.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Suggests only the labels in it: an id a line, or a vocabulary.",
            show_default=False,
        ),
    ] = None,
    without: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Suggests no label in it.", show_default=False)
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="The format of FILE, where its name does not tell, as of standard input: `jsonl`, say.",
            show_default=False,
        ),
    ] = None,
    precision: PrecisionOption = None,
    *,
    read: Read,
) -> None:
    """Labels texts."""
    format_ = _layout(out_, format_)
    if file == "-" and launched() > 1:
        raise UserError("standard input can't be split over processes: name a FILE, or leave out torchrun")
    if file not in ("-", "demo") and not os.path.exists(file):
        raise UserError(f'{file}: no such file; for a text: echo "{file}" | xmlkit predict {run}')
    with uncollected():
        from xmlkit.cli.layouts import LAYOUTS
        from xmlkit.data.asked import asked
        from xmlkit.distributed.ranks import of_first
        from xmlkit.inference.allowed import allowed_labels
        from xmlkit.inference.answers import answered, answered_texts, only_writer
        from xmlkit.inference.predict import TEXTS_AT_ONCE

        least, top_k = _cut(run, threshold, top_k)
        join_for(run)
        model = xmlkit.load(run, precision)
    allowed = allowed_labels(model.labels, labels, without, read.dialect())
    if allowed is not None and model.shortlists:
        say(
            "of the labels that the model shortlists for a text only those may be suggested: it may get fewer"
        )
    documents = asked(file, format_named(from_, "--from") if from_ else None, read.dialect())
    layout = LAYOUTS[format_]
    with ExitStack() as stack:
        answers, done = sys.stdout, 0
        if out_ and speaks():
            stack.enter_context(errors_named(out_))
            stack.enter_context(only_writer(out_))
            done = answered(out_, format_)
            answers = stack.enter_context(out_.open("a", encoding="utf-8"))
        done = of_first(done)
        if done:
            say(f"{out_} has {done:,} texts already, which stay; without it they are answered anew")
        old = answered_texts(out_) if out_ and done and format_ == "jsonl" and speaks() else ()
        checked = _checked(documents, islice(old, done), out_)
        # A score's last digits depend on its company: texts are read in the groups that they were read in.
        begin = done - done % TEXTS_AT_ONCE
        some, again = tee(islice(checked, begin, None))
        texts = (document.text for document in some)
        spelt_out = format_ == "jsonl" and not in_unicode(answers)
        found_of = model.stream(texts, top_k, least, allowed)
        for number, (document, found) in enumerate(zip(again, found_of), begin + 1):
            if number > done and (block := layout(document.text, found, number, document.id)):
                print(json.dumps(json.loads(block)) if spelt_out else block, file=answers)


def _layout(out: Path | None, asked: Layout | None) -> Layout:
    if out is None:
        return asked or "text"
    names: dict[str, Layout] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".tsv": "tsv"}
    of_name = names.get(out.suffix.lower())
    found = asked or of_name
    if found is None or found == "text":
        raise UserError(f"--out {out}: add --format jsonl or --format tsv")
    if of_name not in (None, found):
        raise UserError(f"--out {out} --format {found}: these are two formats; leave out --format")
    return found


def _cut(run: Path, threshold: str, top_k: int | None) -> tuple[float, int]:
    """The smallest score, and how many labels at most."""
    if threshold == "auto":
        from xmlkit.blend.threshold import kept

        fitted = kept(run)
        if fitted is None:
            raise UserError(f"--threshold auto: none was fitted; first: xmlkit threshold {run}")
        return fitted.threshold, top_k or fitted.limit
    try:
        least = float(threshold)
    except ValueError:
        least = -1.0
    if not 0 <= least <= 1:
        raise UserError(f"--threshold {threshold}: expected a number from 0 to 1, or auto")
    return least, top_k or 5


def _checked(
    documents: Iterable[Document], answered: Iterable[tuple[str, str | None] | None], out: Path | None
) -> Iterator[Document]:
    """The documents; those that were answered already must be the same, where it is known what they were."""
    for number, (old, document) in enumerate(zip(chain(answered, repeat(None)), documents), start=1):
        if old not in (None, (document.text, document.id)):
            raise UserError(f"--out {out}: its line {number} answers another text; name another file")
        yield document
