"""The command line, a file a command: parses, calls, prints."""

import sys


def main() -> None:
    """The entry point."""
    try:
        from xmlkit.cli.entry import main as begin
    except KeyboardInterrupt:  # while commands are still being read
        sys.exit(130)
    begin()
