"""`python -m tests.faults`: the whole matrix, or a part of it, as a table.

The exit status is 1 where something is breached; with a planted mutation, where it is not found.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cluster import signals
from tests.cluster.errors import ClusterError
from tests.faults import matrix
from tests.faults.cases import Case, short, whole
from tests.faults.faults import Fault
from tests.faults.mutations import MUTATIONS, plant


async def run(options: argparse.Namespace, directory: Path) -> int:
    """Play the reference run, then the matrix for its number of writes."""
    environment = plant(options.mutation, directory / "mutated") if options.mutation else {}
    async with matrix.ground(directory, environment) as (on, plane):
        if options.short:
            cases = list(short(plane))
        elif options.mutation:
            cases = list(whole(1, plane))
        else:
            (reference,) = await matrix.play(on, [Case("reference", "none", Fault)])
            cases = list(whole(len(reference.verdict.writes), plane))
        done = await matrix.play(on, _chosen(cases, options), options.parallel)
    print(matrix.render(done))
    breached = any(entry.verdict.breaches for entry in done)
    if options.mutation:
        print(f"{options.mutation}: {'found' if breached else 'NOT FOUND'}")
        return int(not breached)
    return int(breached)


def _chosen(cases: list[Case], options: argparse.Namespace) -> Iterator[Case]:
    chosen = (
        case
        for case in cases
        if (not options.only or case.name in options.only) and (not options.point or case.point in options.point)
    )
    return (case for index, case in enumerate(chosen) if index % options.every == 0)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the short form, as `make test` runs it")
    parser.add_argument("--only", action="append", metavar="CLASS", help="this class of faults (again: this too)")
    parser.add_argument("--point", action="append", help="this point of injection (again: this too)")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="each Kth case only")
    parser.add_argument("--parallel", type=int, default=matrix.PARALLEL, help="runs at once")
    parser.add_argument(
        "--mutation",
        choices=sorted(MUTATIONS),
        help="run a copy of the product with this bug, by default under the faults that must find it",
    )
    parser.add_argument("--keep", type=Path, help="directory for logs; else one that stays if the exit status is 1")
    options = parser.parse_args()
    if options.mutation and not options.only:
        options.only = [MUTATIONS[options.mutation].found_by]
    signals.interrupt()
    directory = (options.keep or Path(tempfile.mkdtemp(prefix="modelmeter-faults-"))).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        status = asyncio.run(run(options, directory))
    except KeyboardInterrupt:
        status = 130
    except ClusterError as error:
        print(f"faults: {error}", file=sys.stderr)
        status = 1
    # What went wrong is told with the names of logs.
    if not options.keep and status != 1:
        shutil.rmtree(directory)
    return status


if __name__ == "__main__":
    sys.exit(main())
