"""`modelmeter tune NAME`: which batching settings answer most, or cost least, while they keep a latency."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from modelmeter.errors import ModelmeterError, SpecError
from modelmeter.report.tuning import Setting, Trial, advice, best, trials_json, trials_table

BATCH_SIZES: Final = (16, 64)
QUEUE_DELAYS: Final = (0, 500, 2000)
MOST_SETTINGS: Final = 16
PATIENCE_SECONDS: Final = 1800
SIGNALLED: Final = 128
RUN_LENGTH: Final = 12


def add_parser(subparsers: Any) -> None:
    """Add `tune` to the command line."""
    parser = subparsers.add_parser(
        "tune", help="try batching settings on copies of a model, one after another, and say which is best"
    )
    parser.add_argument("name", metavar="NAME", help="the ModelDeployment; it is left as it is")
    parser.add_argument("-n", "--namespace", help="not given: that of the kubeconfig's context")
    parser.add_argument(
        "--p95-milliseconds", metavar="N", type=_whole(1), help="the limit; not given: that of spec.benchmark"
    )
    parser.add_argument("--seconds-per-point", metavar="N", type=_whole(2), help="as spec.benchmark.secondsPerPoint")
    for option, default, least in (
        ("--max-batch-size", BATCH_SIZES, 1),
        ("--max-queue-delay-microseconds", QUEUE_DELAYS, 0),
    ):
        parser.add_argument(
            option, metavar="N", type=_whole(least), action="append",
            help=f"may be repeated; not given: {', '.join(map(str, default))}, and the model's own",
        )  # fmt: skip
    parser.add_argument(
        "--patience-seconds", metavar="N", type=_whole(1), default=PATIENCE_SECONDS, help="for each setting"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.set_defaults(run=run)


def _whole(least: int) -> Any:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return int(text)

    return whole


def run(arguments: argparse.Namespace) -> int:
    """Tune; 0, or 1 where nothing could be measured or the cluster refuses, 128 + the signal that ended it.

    Copies are deleted in any case, or it is said which is left; what was measured is printed in any case.
    """
    trials: list[Trial] = []
    signals: list[int] = []
    failure = ""
    try:
        asyncio.run(_tune(arguments, trials.append, signals))
    except ModelmeterError as error:
        failure = str(error)
    except asyncio.CancelledError:
        failure = "ended; the copy under way is being deleted"
    if arguments.output == "json" and (trials or not failure):
        _print(json.dumps(trials_json(trials)))
    elif trials:
        _print(_report(trials))
    if failure:
        _say(f"modelmeter tune: {failure}")
    if signals:
        return SIGNALLED + signals[0]
    return 0 if best(trials) and not failure else 1


def _print(text: str) -> None:
    # The terminal may be what has ended us.
    with suppress(OSError):
        print(text, flush=True)


def _say(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _report(trials: list[Trial]) -> str:
    first = trials[0].copy
    return "\n".join(
        (
            trials_table(trials),
            "",
            advice(trials),
            "",
            "What the trials cost is on the copies' own statements, and on no page of the model itself:"
            f" kubectl get coststatements -A | grep {first.rpartition('-')[0]}-",
        )
    )


async def _tune(arguments: argparse.Namespace, tried: Callable[[Trial], None], signals: list[int]) -> None:
    _end_by_signals(signals)
    from modelmeter.cluster.client import Client
    from modelmeter.cluster.clock import Clock
    from modelmeter.cluster.namespaces import own_namespace
    from modelmeter.cluster.paths import path
    from modelmeter.control.copies import KIND
    from modelmeter.control.tuning import Plan, own_setting, tune

    client = await Client.connect(Clock())
    namespace = arguments.namespace or own_namespace()
    given = {"p95Milliseconds": arguments.p95_milliseconds, "secondsPerPoint": arguments.seconds_per_point}
    try:
        body = json.loads(await client.get(path(KIND, namespace, arguments.name)))
        plan = Plan(
            chosen(arguments.max_batch_size, arguments.max_queue_delay_microseconds, own_setting(body)),
            {field: value for field, value in given.items() if value is not None},
            arguments.patience_seconds,
            uuid.uuid4().hex[:RUN_LENGTH],
        )
        await tune(client, body, plan, _say, tried)
    finally:
        await client.close()


def _end_by_signals(signals: list[int]) -> None:
    """Let signals cancel this task, the first so that it deletes its copy, and the second so that it gives that up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def end(number: int) -> None:
        signals.append(number)
        task.cancel()
        if len(signals) == 1:
            _say("modelmeter tune: ending; the copy under way is being deleted (once more: leave it)")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Not under nohup.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, end, number)


def chosen(batch_sizes: list[int] | None, delays: list[int] | None, own: Setting) -> list[Setting]:
    """What to try: the model's own first, then every pair; SpecError where those are too many."""
    pairs = itertools.product(batch_sizes or BATCH_SIZES, delays or QUEUE_DELAYS)
    settings = list(dict.fromkeys((own, *(Setting(*pair) for pair in pairs))))
    if len(settings) > MOST_SETTINGS:
        raise SpecError(
            "--max-batch-size and --max-queue-delay-microseconds",
            f"make {len(settings)} settings, and each takes some minutes; give {MOST_SETTINGS} or fewer",
        )
    return settings
