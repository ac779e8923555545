"""`xmlkit explain`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import xmlkit
from xmlkit.cli.options import RunArgument
from xmlkit.console import CONTROLS, in_unicode, visible
from xmlkit.errors import UserError
from xmlkit.quick import uncollected

if TYPE_CHECKING:
    from xmlkit.explain.explain import Reasons
    from xmlkit.explain.parts import Said

SHOWN = 8  # words, or documents, of each kind of reason


def explain(
    run: RunArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text itself; `-`: standard input.")] = "-",
    top_k: Annotated[int, typer.Option(min=1, help="Labels, at most.")] = 5,
    format_: Annotated[
        Literal["table", "json"], typer.Option("--format", help="`json` has all, `table` the strongest.")
    ] = "table",
) -> None:
    """Says why a text gets its labels: which words and which training documents speak for each."""
    if os.path.isfile(text):  # false, too, of what no name can be, which Path's own raises an error for
        raise UserError(f"{text} is a file; for the text in it: xmlkit explain {run} < {text}")
    with uncollected():
        from xmlkit.data.asked import standard_input
        from xmlkit.explain.explain import explain as explained

        model = xmlkit.load(run)
    if text == "-":
        text = "\n".join(line for _, line in standard_input())
    found = explained(model, text, top_k)
    if format_ == "json":
        line = json.dumps({"labels": [asdict(one) for one in found]}, ensure_ascii=not in_unicode(sys.stdout))
        print(CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line))
        return
    for one in found:
        print(visible("\n".join(_lines(one))))


def _lines(one: Reasons) -> list[str]:
    lines = [f"{one.score:8.3f}  {one.name}"]
    strongest = sorted(one.falls, key=lambda fall: -fall.fall)[:SHOWN]
    if lost := [f"{_short(fall.text)} {fall.fall:+.3f}" for fall in strongest if fall.fall >= 0.0005]:
        lines.append(f"          without it the score falls by: {', '.join(lost)}")
    for said in one.said:
        of = f" of {said.member}" if said.member else ""
        if said.adds is not None:
            lines.append(f"          {said.member} adds {said.adds:+.2f}{_why(said)}")
        if said.logit is not None and said.by_words is not None:
            words = ", ".join(f"{_short(word.text)} {word.adds:+.2f}" for word in said.words[:SHOWN])
            rest = said.logit - said.by_words - said.by_votes
            sums = f"{said.by_words:+.2f} by words, {said.by_votes:+.2f} by votes, {rest:+.2f} by the rest"
            lines.append(f"          the logit{of} is {said.logit:.2f}: {sums}")
            lines.append(f"          words add to it: {words or 'none is known'}")
        for near in said.documents[:SHOWN]:
            labels = ", ".join(near.labels[:SHOWN])
            lines.append(
                f"          kept document {near.place} votes for it{of}: likeness {near.likeness:.2f}, "
                f"{near.share:.0%} of the vote; its labels: {labels}"
            )
    adds = [said.adds for said in one.said if said.adds is not None]
    if one.rest is not None:
        adds.append(one.rest)
        lines.append(f"          how frequent it is, what all have, and trees, if any, add {one.rest:+.2f}")
    if adds:
        lines.append(f"          together {sum(adds):+.2f}, of which calibration makes {one.score:.3f}")
    return [*lines, ""]


def _why(said: Said) -> str:
    """Behind what a member adds."""
    if said.silent:
        return f"; {said.silent}"
    strongest = sorted(said.falls, key=lambda fall: -fall.fall)[:SHOWN]
    lost = ", ".join(f"{_short(fall.text)} {fall.fall:+.2f}" for fall in strongest if fall.fall >= 0.005)
    return f", which falls without: {lost}" if lost else ""


def _short(text: str) -> str:
    squeezed = " ".join(text.split())
    return squeezed if len(squeezed) <= 40 else f"{squeezed[:18]} … {squeezed[-18:]}"
