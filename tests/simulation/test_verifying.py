"""`modelmeter verify` on a cluster that lives: a whole ledger agrees, and what was changed by hand is named."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from unittest.mock import patch

from modelmeter.control import ticking
from modelmeter.control.verifying import Report, verify
from modelmeter.settings import Settings
from tests.simulation import loop
from tests.simulation.client import Connection, Faults, SimulatedClient
from tests.simulation.histories import BEGINNINGS, HOUR, ClaimStory, History, PodStory, PricingStory, RateStory
from tests.simulation.run import Clocks, live
from tests.simulation.server import Object, Server
from tests.simulation.world import MODEL, World

LIVING = History(
    begin=BEGINNINGS[2],
    length=30 * HOUR,
    pods=(
        PodStory(created=60, scheduled=2, length=HOUR, ending="finished", reported=1),
        PodStory(created=90, scheduled=2, length=0, ending="stays", reported=1, claim=0),
    ),
    claims=(ClaimStory(created=30, bound=1, gibibytes=8, resized=HOUR, deleted=None, storage_class="fast"),),
    rates=(RateStory("gpu", "1.1", ()), RateStory("storage", "0.02", ()), RateStory("gpu", "3.7", (), HOUR, 3 * HOUR)),
    pricing=(PricingStory(0, "10.5", "20"), PricingStory(2 * HOUR, "11.5", "23")),
)
SEEN_AT = 14 * HOUR
"""After the month's end: there are two statements."""


def _verify(spoil_statement: Object | None = None, spoil_status: Object | None = None) -> Report:
    """The report on a cluster whose operator was stopped, and where somebody changed something by hand."""
    reports: list[Report] = []

    async def main() -> None:
        server = Server(LIVING.begin, lambda kind, now: 0)
        World(server, LIVING).begin()
        client = SimulatedClient(Connection(server, Faults(), lambda: None))
        connection = Connection(server, Faults(), lambda: None)
        running = asyncio.create_task(live(connection, Clocks(server, ()), statuses=True))
        await asyncio.sleep(SEEN_AT)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        if spoil_statement:
            last = max(server.select("coststatements"), key=lambda page: page["spec"]["month"])
            key = next(key for key, item in server.objects.items() if item is last)
            server.update(key, lambda page: page["spec"].update(spoil_statement))
        if spoil_status:
            server.update(MODEL, lambda model: model["status"]["cost"].update(spoil_status))
        reports.append(await verify(client, Clocks(server, ()), Settings()))

    with patch.object(ticking, "TICK_SECONDS", 600.0):
        loop.run(main())
    return reports[0]


def test_a_whole_ledger_agrees() -> None:
    assert _verify() == Report(models=1, statements=2, findings=())


def test_a_statement_that_was_changed_by_hand_is_named() -> None:
    findings = _verify(spoil_statement={"totals": {"total": "1"}}).findings
    assert {finding.model for finding in findings} == {"search/intent"}
    assert any("totals.total is 1" in finding.message for finding in findings)


def test_a_status_that_was_changed_by_hand_is_named() -> None:
    assert [finding.message.split(":")[0] for finding in _verify(spoil_status={"total": "1"}).findings] == [
        "status.cost.total"
    ]
