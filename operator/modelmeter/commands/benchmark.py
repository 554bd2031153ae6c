"""`modelmeter benchmark HOST:PORT`: the highest rate at which one replica keeps a latency; a Job's command, too."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from modelmeter.api.benchmark import DEFAULT_TEXT_WORDS, Outcome
from modelmeter.errors import BenchmarkError
from modelmeter.report.table import table

if TYPE_CHECKING:
    from modelmeter.benchmark.measure import Measured, Plan
    from modelmeter.benchmark.search import Point

HEADER: Final = ("RATE/S", "P95 MS", "FAILURES", "BATCH", "KEEPS")
TERMINATION_LENGTH: Final = 500
"""Characters of a text in the termination log, of which Kubernetes keeps 4096 bytes."""


def add_parser(subparsers: Any) -> None:
    """Add `benchmark` to the command line."""
    parser = subparsers.add_parser("benchmark", help="find the highest rate at which one Triton keeps a latency")
    parser.add_argument("address", metavar="HOST:PORT", help="Triton's gRPC port; a Service gives one of its replicas")
    parser.add_argument("--model", metavar="NAME", required=True)
    parser.add_argument("--p95-milliseconds", metavar="N", type=_positive, required=True, help="the limit")
    parser.add_argument("--text", metavar="TEXT", action="append", default=[], help="may be repeated")
    parser.add_argument(
        "--words",
        metavar="N",
        type=_positive,
        action="append",
        default=[],
        help=f"length of made-up texts; may be repeated; without --text {', '.join(map(str, DEFAULT_TEXT_WORDS))}",
    )
    parser.add_argument("--label", metavar="LABEL", action="append", default=[], help="may be repeated; or the model's")
    parser.add_argument("--seconds-per-point", metavar="N", type=_positive, default=5)
    parser.add_argument("--most-seconds", metavar="N", type=_positive, default=300, help="no rate is tried after that")
    parser.add_argument("--termination-log", metavar="FILE", type=Path, help="where the result is written as JSON")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.set_defaults(run=run)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Measure; 0, or 1 where no rate keeps the limit, or the server cannot be measured."""
    from modelmeter.benchmark.measure import Plan, outcome

    plan = Plan(arguments.p95_milliseconds, arguments.seconds_per_point, arguments.most_seconds)
    try:
        measured = asyncio.run(_measure(arguments, plan))
    except BenchmarkError as error:
        _report(arguments.termination_log, Outcome(error=error.message, remedy=error.remedy))
        print(f"modelmeter benchmark: {error.message}\n  {error.remedy}", file=sys.stderr)
        return 1
    found = outcome(measured, plan.limit)
    _report(arguments.termination_log, found)
    print(_json(measured, found, plan) if arguments.output == "json" else found.words(plan.p95_milliseconds))
    return 0 if found.inferences_per_second else 1


async def _measure(arguments: argparse.Namespace, plan: Plan) -> Measured:
    # The operator shares this command line and must not pay for grpc and numpy.
    from modelmeter.benchmark.measure import measure, rows
    from modelmeter.benchmark.server import Server
    from modelmeter.benchmark.texts import mixed

    texts = mixed(arguments.text, tuple(arguments.words) or (() if arguments.text else DEFAULT_TEXT_WORDS))
    heading = arguments.output == "table"

    def say(point: Point) -> None:
        nonlocal heading
        lines = table(HEADER, rows([point], plan.limit), frozenset(range(4))).splitlines()
        print("\n".join(lines if heading else lines[1:]), file=sys.stderr, flush=True)
        heading = False

    async with Server(arguments.address, arguments.model, plan.timeout_seconds) as server:
        await server.prepare(texts, arguments.label)
        return await measure(server, len(texts), plan, say)


def _json(measured: Measured, found: Outcome, plan: Plan) -> str:
    from modelmeter.benchmark.measure import rows

    names = ("perSecond", "p95Milliseconds", "failures", "batch", "keeps")
    points = [dict(zip(names, row, strict=True)) for row in rows(measured.points, plan.limit)]
    return json.dumps({**found.model_dump(by_alias=True, exclude_none=True), "points": points})


def _report(path: Path | None, found: Outcome) -> None:
    if path is not None:
        cut = {name: getattr(found, name)[:TERMINATION_LENGTH] for name in ("error", "remedy", "first_failure")}
        path.write_text(found.model_copy(update=cut).model_dump_json(by_alias=True, exclude_none=True))
