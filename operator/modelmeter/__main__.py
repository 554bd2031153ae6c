"""The command line: `modelmeter run | estimate | load | benchmark | tune | release | verify`."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Final, NoReturn

from modelmeter.commands import benchmark, estimate, release, run, tune, verify
from modelmeter.loader import cli as load

TERMINATED: Final = 128 + signal.SIGTERM
"""The exit status of what SIGTERM ended, as a shell would say it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns the process' exit status."""
    # The first process of a container has no default for it: it would end at the end of the grace period only.
    signal.signal(signal.SIGTERM, _terminated)
    parser = argparse.ArgumentParser(prog="modelmeter", description="Serves BERT on Triton and knows what it costs.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (run, estimate, load, benchmark, tune, release, verify):
        command.add_parser(subparsers)
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status


def _terminated(_number: int, _frame: object) -> NoReturn:
    """What was begun is cleaned up on the way."""
    raise SystemExit(TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
