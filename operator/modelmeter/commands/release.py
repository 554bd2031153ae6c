"""`modelmeter release`: let go of everything before modelmeter is uninstalled."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Any

from modelmeter.errors import ModelmeterError
from modelmeter.settings import DEFAULT_NAMESPACE, Settings


def add_parser(subparsers: Any) -> None:
    """Add `release` to the command line."""
    parser = subparsers.add_parser(
        "release",
        help="post all usage and take modelmeter's finalizers off every object; run it when the operator is stopped",
    )
    parser.add_argument("--namespace", default=DEFAULT_NAMESPACE, help="where the CostStatements are kept")
    parser.add_argument(
        "--stop", metavar="DEPLOYMENT", help="first scale the operator's own Deployment of this name to 0"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Release; 0, or 1 where something still carries a finalizer."""
    logging.basicConfig(level=logging.INFO, format="modelmeter release: %(message)s")
    try:
        left = asyncio.run(_release(Settings(arguments.namespace), arguments.stop))
    except ModelmeterError as error:
        print(f"modelmeter release: {error}", file=sys.stderr)
        return 1
    if left:
        print(
            f"modelmeter release: {left} objects still carry a finalizer. Does an operator still run, and puts it back?"
            " Stop it (--stop DEPLOYMENT), and run this again",
            file=sys.stderr,
        )
        return 1
    print("modelmeter release: all usage is posted, and nothing carries a finalizer of ours any more")
    return 0


async def _release(settings: Settings, deployment: str | None) -> int:
    from modelmeter.cluster.client import Client
    from modelmeter.cluster.clock import Clock
    from modelmeter.cluster.lease import DURATION_SECONDS, Lease, this_host
    from modelmeter.control.operator import Operator
    from modelmeter.control.releasing import release, stop

    clock = Clock()
    client = await Client.connect(clock)
    try:
        if deployment:
            await stop(client, settings.namespace, deployment)
        lease = Lease(client, clock, settings.namespace, f"release on {this_host()}")
        await lease.acquire(patience_seconds=DURATION_SECONDS + 5)
        holding = asyncio.create_task(lease.hold())
        left = await release(client, Operator(client, clock, settings))
        holding.cancel()
        await lease.release()
        return left
    finally:
        await client.close()
