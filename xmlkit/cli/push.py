"""`xmlkit push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xmlkit.cli.options import RunArgument
from xmlkit.console import say


def push(
    run: RunArgument,
    name: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="The repository on the hub.", show_default=False)
    ],
    private: Annotated[
        bool, typer.Option("--private", help="A repository that is made is for its owner alone.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Uploads nothing, and writes what would be to a folder.")
    ] = False,
    out_: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="With --dry-run, that folder; default: `RUN-to-push`."),
    ] = None,
) -> None:
    """Uploads a run or an ensemble to the Hugging Face hub, with a card that says what it is.

    What prediction needs is uploaded, with the figures: no checkpoint, no log, no text of a training document
    unless an ensemble's member looks texts up, which is said. The licence is left for you to name.

    Example: `xmlkit push runs/mine me/mine`, then `xmlkit predict hub:me/mine`
    """
    from xmlkit.errors import UserError
    from xmlkit.sharing.parcel import members_with_texts
    from xmlkit.sharing.push import push as upload
    from xmlkit.sharing.push import write

    if out_ and not dry_run:
        raise UserError(f"--out {out_}: it goes with --dry-run")
    if private and dry_run:
        raise UserError("--private is for what is uploaded: leave it or --dry-run out")
    if texts := members_with_texts(run):
        held = f"the members {', '.join(texts)} hold texts and their scores"
        say(f"{held}; once uploaded, all who may read {name} may read them")
    if dry_run:
        whole = run.resolve()
        folder = out_ or whole.with_name(f"{whole.name}-to-push")
        files = write(run, name, folder)
        say(f"{folder}: {len(files)} files; the same without --dry-run uploads them to {name}")
    else:
        say(f"{upload(run, name, private)}: name a licence in its card; next: xmlkit predict hub:{name}")
