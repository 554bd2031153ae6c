"""Statements go when they are old enough, but never the one that an account stands on."""

from __future__ import annotations

from datetime import UTC, datetime

from modelmeter.cluster.statements import Statements
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.retaining import Retaining
from modelmeter.meter.account import account
from modelmeter.meter.publish import totals
from modelmeter.meter.stored import to_spec
from tests.meter.builders import MODEL, START, facts, page, tariff
from tests.simulation import loop
from tests.simulation.client import Connection, Faults, SimulatedClient
from tests.simulation.server import Server

DAY = 86_400


def _kept(now: datetime, months: int) -> list[str]:
    """Months of the statements that are left of a model that began in November 2026 and goes on in March."""
    left: list[str] = []

    async def main() -> None:
        server = Server(START, lambda kind, now: 0)
        statements = Statements(SimulatedClient(Connection(server, Faults(), lambda: None)), "modelmeter-system")
        outcome = account(page(), facts(120 * DAY, prices=tariff()))
        for sheet in (*outcome.closed, outcome.page):
            await statements.write(to_spec(sheet, totals(sheet)), None)
        accounts = Accounts()
        # The next page could not be written yet: the account stands on February.
        accounts.add(Account(ref=MODEL, created=START, page=outcome.closed[-1]))
        await Retaining(statements, accounts, lambda: now, months).expire()
        left.extend(sorted(item["spec"]["month"] for item in server.select("coststatements")))

    loop.run(main())
    return left


def test_what_is_old_enough_goes() -> None:
    assert _kept(datetime(2027, 3, 10, tzinfo=UTC), months=3) == ["2026-12", "2027-01", "2027-02", "2027-03"]


def test_what_an_account_stands_on_stays() -> None:
    assert _kept(datetime(2028, 3, 10, tzinfo=UTC), months=1) == ["2027-02", "2027-03"]
