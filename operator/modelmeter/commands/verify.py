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
    print("\n".join(lines(report, arguments.namespace)))
    return 0 if report.statements and not report.findings else 1


def lines(report: Report, namespace: str) -> list[str]:
    """What is printed: every finding, and last how much was looked at."""
    if not report.models and not report.statements:
        return [f"namespace {namespace} has no CostStatement, and there is no model: is --namespace the operator's?"]
    agree = f"{len(report.findings)} things do not agree" if report.findings else "everything agrees"
    return [
        *(f"{finding.model}: {finding.message}" for finding in report.findings),
        f"{report.models} models, {report.statements} statements: {agree}",
    ]


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
