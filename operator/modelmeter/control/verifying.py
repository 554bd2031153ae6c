"""Reads all statements, all that exists and every status, and tells what does not agree; writes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from modelmeter.api.cost_statement import CostStatementSpec
from modelmeter.api.model_deployment_status import ModelDeploymentStatus
from modelmeter.api.scalars import instant
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.cluster.paths import path
from modelmeter.control.accounts import Account
from modelmeter.control.operator import Operator
from modelmeter.control.startup import PATIENCE_SECONDS
from modelmeter.errors import LedgerError, NotFound
from modelmeter.meter.verify import verify_objects, verify_pages, verify_status
from modelmeter.settings import Settings

ATTEMPTS: Final = 5
"""How often a model is looked at again, while what is read in one moment does not belong together."""
PAUSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not agree; `model` is NAMESPACE/NAME."""

    model: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """How much was looked at, and what does not agree."""

    models: int
    statements: int
    findings: tuple[Finding, ...]


async def verify(client: Client, clock: Clock, settings: Settings) -> Report:
    """Verify everything; what does not agree is looked at again, for the operator writes while we read."""
    for attempt in range(ATTEMPTS):
        report = await _verify(client, clock, settings)
        if not report.findings or attempt == ATTEMPTS - 1:
            return report
        await asyncio.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")


async def _verify(client: Client, clock: Clock, settings: Settings) -> Report:
    operator = Operator(client, clock, settings)
    await operator.prepare(PATIENCE_SECONDS)
    specs = await operator.statements.everything()
    findings: list[Finding] = []
    by_model: dict[str, list[CostStatementSpec]] = {}
    for spec in specs:
        by_model.setdefault(spec.model.uid, []).append(spec)
    for pages in by_model.values():
        model = f"{pages[0].model.namespace}/{pages[0].model.name}"
        findings += (Finding(model, message) for message in verify_pages(pages))
    for account in operator.accounts:
        model = f"{account.ref.namespace}/{account.ref.name}"
        status = None if account.gone else await _status(client, account)
        try:
            findings += [Finding(model, message) for message in _verify_account(operator, account, status)]
        except LedgerError as error:
            findings.append(Finding(model, str(error)))
    return Report(len({*by_model, *(account.ref.uid for account in operator.accounts)}), len(specs), tuple(findings))


def _verify_account(operator: Operator, account: Account, status: ModelDeploymentStatus | None) -> Iterator[str]:
    page = account.page
    if page is None:
        yield "has no statement yet"
        return
    facts = operator.metering.facts(account)
    yield from verify_objects(page, facts)
    if status is None or status.cost is None:
        return
    # A status is not written again while nothing accrues, but T goes on.
    moment = max(instant(status.cost.as_of), page.posted_through)
    yield from verify_status(page, replace(facts, now=moment), status)


async def _status(client: Client, account: Account) -> ModelDeploymentStatus | None:
    """The status as it is now; None where the model is gone, or another version wrote it."""
    try:
        body: dict[str, Any] = json.loads(
            await client.get(path("ModelDeployment", account.ref.namespace, account.ref.name))
        )
        return ModelDeploymentStatus.model_validate(body.get("status") or {})
    except (NotFound, ValidationError):
        return None
