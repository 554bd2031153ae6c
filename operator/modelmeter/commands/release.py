"""`modelmeter release`: let go of everything before modelmeter is uninstalled."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Any

from modelmeter.errors import ModelmeterError, NotFound
from modelmeter.settings import DEFAULT_NAMESPACE, Settings

NO_OPERATOR = (
    "no operator ever worked in namespace {0} (it has no Lease modelmeter): give the operator's by --namespace;"
    " if that is gone for good, --discard lets go of everything and posts nothing"
)


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
    parser.add_argument(
        "--discard",
        action="store_true",
        help="post nothing: where the operator's namespace or our CRDs are gone for good",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Release; 0, or 1 where something still carries a finalizer, or usage could not be posted."""
    logging.basicConfig(level=logging.INFO, format="modelmeter release: %(message)s")
    try:
        left = asyncio.run(_release(Settings(arguments.namespace), arguments.stop, arguments.discard))
    except ModelmeterError as error:
        stopped = (
            f"; metering goes on with: kubectl scale deployment {arguments.stop} -n {arguments.namespace} --replicas=1"
        )
        print(f"modelmeter release: {error}{stopped if arguments.stop else ''}", file=sys.stderr)
        return 1
    if left:
        print(
            f"modelmeter release: {left} objects still carry a finalizer. Does an operator still run, and puts it back?"
            " Stop it (--stop DEPLOYMENT), and run this again",
            file=sys.stderr,
        )
        return 1
    posted = "nothing was posted" if arguments.discard else "all usage is posted"
    print(f"modelmeter release: {posted}, and nothing carries a finalizer of ours any more")
    return 0


async def _release(settings: Settings, deployment: str | None, discard: bool) -> int:
    from modelmeter.cluster.client import Client
    from modelmeter.cluster.clock import Clock
    from modelmeter.cluster.lease import DURATION_SECONDS, Lease, this_host
    from modelmeter.cluster.lease import NAME as LEASE
    from modelmeter.cluster.paths import path
    from modelmeter.cluster.present import present
    from modelmeter.control.operator import Operator
    from modelmeter.control.releasing import held, let_go, release, stop

    clock = Clock()
    client = await Client.connect(clock)
    try:
        if deployment:
            await stop(client, settings.namespace, deployment)
        if discard:
            return await let_go(client)
        if await present(client, path("Lease", settings.namespace, LEASE)) is None:
            if not await held(client):
                return 0
            raise NotFound(404, "NoOperator", NO_OPERATOR.format(settings.namespace))
        lease = Lease(client, clock, settings.namespace, f"release on {this_host()}")
        await lease.acquire(patience_seconds=DURATION_SECONDS + 5)
        holding = asyncio.create_task(lease.hold())
        releasing = asyncio.create_task(release(client, Operator(client, clock, settings)))
        await asyncio.wait((holding, releasing), return_when=asyncio.FIRST_COMPLETED)
        if holding.done():
            releasing.cancel()
            holding.result()
        holding.cancel()
        await lease.release()
        return releasing.result()
    finally:
        await client.close()
