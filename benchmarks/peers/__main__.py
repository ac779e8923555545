"""What a peer reaches on a corpus, and what it costs.

    python -m benchmarks.peers PEER OUT.json CORPUS [--encoder FOLDER] [--note TEXT]

It trains on all of `train`, in an environment that has it: this one (`pip install -e ".[peers]"`), else one
that is made in the cache. Seconds are those from texts in memory to a model on disk, size is the model's with
all that it needs to read a text, lines are those that its user writes. Where no environment can be made, or
there are no test documents, it ends with 77 and says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.ending import leave_on_sigterm
from benchmarks.machine import machine, shown
from benchmarks.peers.environments import CannotBeMade
from benchmarks.peers.known import PEERS
from benchmarks.peers.measuring import measure
from benchmarks.suite.corpora import tested
from benchmarks.suite.part import LEFT_OUT
from xmlkit.errors import UserError


def main() -> None:
    """Measures and writes JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("out", type=Path)
    parser.add_argument("corpus")
    parser.add_argument("--encoder", help="a pretrained one, in a folder")
    parser.add_argument("--note", help="what else the machine was doing")
    given = parser.parse_args()
    leave_on_sigterm()
    try:
        found = measure(given.peer, PEERS[given.peer], tested(given.corpus), given.encoder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(LEFT_OUT if isinstance(error, CannotBeMade) else 1)
    command = f"python -m benchmarks.peers {shown(sys.argv[1:])}"
    document = {"command": command, "machine": machine(), "note": given.note, **found}
    given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
