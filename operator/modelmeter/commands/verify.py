"""`modelmeter verify`: proves that lines, totals, what is carried on and every status agree; or says where not."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from modelmeter.errors import ModelmeterError
from modelmeter.settings import DEFAULT_NAMESPACE, Settings

if TYPE_CHECKING:
    from modelmeter.control.verifying import Report


def add_parser(subparsers: Any) -> None:
    """Add `verify` to the command line."""
    parser = subparsers.add_parser("verify", help="prove that the ledger is whole, or say where it is not")
    parser.add_argument("--namespace", default=DEFAULT_NAMESPACE, help="where the CostStatements are kept")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify; 0, or 1 where something does not agree, nothing is there, or the cluster does not answer."""
    try:
        report = asyncio.run(_verify(Settings(arguments.namespace)))
    except ModelmeterError as error:
        print(f"modelmeter verify: {error}", file=sys.stderr)
        return 1
    return tell(report, arguments.namespace)


def tell(report: Report, namespace: str) -> int:
    """Print every finding, and last how much was looked at; the exit status."""
    if not report.models and not report.statements:
        print(f"namespace {namespace} has no CostStatement, and there is no model: is --namespace the operator's?")
        return 1
    for finding in report.findings:
        print(f"{finding.model}: {finding.message}")
    agree = "everything agrees" if not report.findings else f"{len(report.findings)} things do not agree"
    print(f"{report.models} models, {report.statements} statements: {agree}")
    return 1 if report.findings else 0


async def _verify(settings: Settings) -> Report:
    from modelmeter.cluster.client import Client
    from modelmeter.cluster.clock import Clock
    from modelmeter.control.verifying import verify

    clock = Clock()
    client = await Client.connect(clock)
    try:
        return await verify(client, clock, settings)
    finally:
        await client.close()
