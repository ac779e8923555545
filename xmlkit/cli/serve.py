"""`xmlkit serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from xmlkit.cli.options import PrecisionOption
from xmlkit.distribution import DISTRIBUTION
from xmlkit.errors import UserError
from xmlkit.quick import uncollected
from xmlkit.serve.limits import Limits

PANEL = "Limits"
USUAL = Limits()


def serve(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN ...", help="Folders of runs or ensembles, or `hub:user/name`.", show_default=False
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Where it listens: by default for this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: one that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="XMLKIT_TOKEN",
            help="Clients give it: `Authorization: Bearer TOKEN`. In the environment nobody else sees it.",
            show_default=False,
        ),
    ] = None,
    vocab: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The vocabulary of those who ask as they ask Annif: only its labels are suggested to them.",
            show_default=False,
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of its labels' names, as `en`.", show_default=False),
    ] = None,
    precision: PrecisionOption = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Texts that a model reads at once.", rich_help_panel=PANEL)
    ] = USUAL.batch,
    wait: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=10_000.0,
            help="Milliseconds that a model without work waits for more texts.",
            rich_help_panel=PANEL,
        ),
    ] = USUAL.wait,
    queue: Annotated[
        int, typer.Option(min=1, help="Texts that wait for a model.", rich_help_panel=PANEL)
    ] = USUAL.queue,
    texts: Annotated[
        int, typer.Option(min=1, help="Texts of a request.", rich_help_panel=PANEL)
    ] = USUAL.texts,
    length: Annotated[
        int, typer.Option(min=1, help="Characters of a text.", rich_help_panel=PANEL)
    ] = USUAL.length,
    body: Annotated[int, typer.Option(min=1, help="Bytes of a request.", rich_help_panel=PANEL)] = USUAL.body,
) -> None:
    """Answers programs over HTTP, in JSON and as Annif does, and people on a page.

    Example: `xmlkit serve runs/mine`, then
    `curl localhost:8000/predict -H 'Content-Type: application/json' -d '{"texts": "some text"}'`
    """
    # oneDNN keeps what it has prepared for each shape of a batch, 1,024 of them by default, and these are
    # hundreds of MiB: texts of all lengths make many. It is read when torch is imported.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    try:
        with uncollected():
            from xmlkit.serve.served import read_vocabulary
            from xmlkit.serve.server import Address
            from xmlkit.serve.server import serve as answer
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("xmlkit"):
            raise
        raise UserError(f"serve needs {error.name}: pip install '{DISTRIBUTION}[serve]'") from None
    if language and not vocab:
        raise UserError(f"--language {language}: of a vocabulary's names; name one with --vocab")
    listed = read_vocabulary(vocab, language) if vocab else None
    address = Address(host, port, token)
    limits = Limits(batch=batch, wait=wait, queue=queue, texts=texts, length=length, body=body)
    answer(runs, precision, listed, limits, address)
