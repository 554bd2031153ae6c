"""The command line: `modelmeter run | estimate | load | release | verify`."""

from __future__ import annotations

import argparse
import sys

from modelmeter.commands import estimate, release, run, verify
from modelmeter.loader import cli as load


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the process' exit status."""
    parser = argparse.ArgumentParser(prog="modelmeter", description="Serves BERT on Triton and knows what it costs.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (run, estimate, load, release, verify):
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
