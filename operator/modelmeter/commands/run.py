"""`modelmeter run`: the operator."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from modelmeter.errors import ModelmeterError
from modelmeter.settings import DEFAULT_LOADER_IMAGE, DEFAULT_NAMESPACE, Settings

if TYPE_CHECKING:
    from modelmeter.cluster.client import Client
    from modelmeter.cluster.clock import Clock
    from modelmeter.control.operator import Operator

IDENTITY: Final = "modelmeter"
"""Kopf's name for this process; else it asks for the user's, and the image's user has none."""

log = logging.getLogger(__name__)


def add_parser(subparsers: Any) -> None:
    """Add `run` to the command line."""
    parser = subparsers.add_parser("run", help="run the operator, in a cluster or with KUBECONFIG")
    parser.add_argument("--namespace", default=DEFAULT_NAMESPACE, help="where the CostStatements are kept")
    parser.add_argument("--loader-image", default=DEFAULT_LOADER_IMAGE, help="image of the pods' init container")
    parser.add_argument(
        "--retention-months",
        type=_months,
        default=0,
        help="delete statements so many months after their own; 0 keeps all",
    )
    parser.add_argument("--liveness-port", type=int, default=8080, help="port of /healthz; 0 serves none")
    parser.add_argument("--metrics-port", type=int, default=0, help="port of /metrics; 0 serves none")
    parser.set_defaults(run=run)


def _months(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be 0 or more whole months")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; 0 then."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for noisy in ("kopf", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    settings = Settings(
        namespace=arguments.namespace,
        loader_image=arguments.loader_image,
        retention_months=arguments.retention_months,
        liveness_port=arguments.liveness_port,
        metrics_port=arguments.metrics_port,
        pod_ip=os.environ.get("POD_IP", ""),
    )
    try:
        asyncio.run(_operate(settings))
    except (ModelmeterError, OSError) as error:
        hint = "; are --liveness-port and --metrics-port free?" if isinstance(error, OSError) else ""
        print(f"modelmeter run: {error}{hint}", file=sys.stderr)
        return 1
    return 0


async def _operate(settings: Settings) -> None:
    """Work once nobody else does, until told to stop."""
    from modelmeter.cluster.client import Client
    from modelmeter.cluster.clock import Clock
    from modelmeter.cluster.lease import Lease, this_host

    told = _told_to_stop()
    _check_ports(settings)
    clock = Clock()
    client = await Client.connect(clock)
    lease = Lease(client, clock, settings.namespace, this_host())
    try:
        await _first_to_end(told.wait(), lease.acquire())
        if not told.is_set():
            await _first_to_end(told.wait(), lease.hold(), _work(client, clock, settings))
            await lease.release()
    finally:
        await client.close()


def _check_ports(settings: Settings) -> None:
    """OSError where a port is taken: that is said before anything is taken over from an operator that works."""
    family = socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET
    for port in filter(None, (settings.liveness_port, settings.metrics_port)):
        socket.create_server((settings.listen_host, port), family=family).close()


def _told_to_stop() -> asyncio.Event:
    """Set by SIGTERM and SIGINT until kopf takes them over: the waiting for a Lease or for CRDs ends at once, too."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def _work(client: Client, clock: Clock, settings: Settings) -> None:
    """Everything, from the first list to kopf's end."""
    from modelmeter.control.metrics import serve
    from modelmeter.control.operator import Operator

    # Whoever becomes the writer lists first, for somebody else may have written last.
    operator = Operator(client, clock, settings)
    await operator.prepare()
    log.info("%d ModelDeployments are known; statements are kept in %s", len(operator.accounts), settings.namespace)
    if settings.metrics_port:
        serve(operator, settings.listen_host, settings.metrics_port)
    await _first_to_end(operator.run(), _watching(client, operator, settings))


async def _watching(client: Client, operator: Operator, settings: Settings) -> None:
    """Kopf, which also ends at SIGTERM and SIGINT."""
    import kopf

    from modelmeter.handlers import memo, registry

    host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
    endpoint = f"http://{host}:{settings.liveness_port}/healthz" if settings.liveness_port else None
    await kopf.operator(
        registry=registry(),
        memo=memo(client, operator),
        clusterwide=True,
        standalone=True,
        liveness_endpoint=endpoint,
        identity=IDENTITY,  # type: ignore[arg-type]  # a str, of which kopf keeps the name to itself
    )


async def _first_to_end(*works: Coroutine[Any, Any, Any]) -> None:
    """Wait until one ends, and end the others; what failed is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()
