"""The command line, a file a command: parses, calls, prints."""

from xmlkit.cli.entry import main as main
