"""From pods, claims and time to ledger pages; what is settled on a written page is released, in this order."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from modelmeter.api.scalars import instant
from modelmeter.cluster.client import Client
from modelmeter.cluster.events import about_model, record
from modelmeter.cluster.statements import Statements, statement_name
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.counting import counts_of
from modelmeter.control.holdings import Holdings
from modelmeter.control.letting_go import LettingGo
from modelmeter.control.sharing import Sharing
from modelmeter.control.unwritten import broken, refused, vanished
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import ClusterError, Conflict, LedgerError, NotFound
from modelmeter.meter import publish
from modelmeter.meter.account import NO_TARIFF, Facts, live_page
from modelmeter.meter.account import account as account_for
from modelmeter.meter.counting import news
from modelmeter.meter.ledger import Terms
from modelmeter.meter.page import Page, first_page, month_end, month_of
from modelmeter.meter.prices import Tariff
from modelmeter.meter.stored import from_spec, to_spec

log = logging.getLogger(__name__)

CONFLICTS: Final = 5
"""How often a pass starts over because the page was written in between."""

REST_SECONDS: Final = 0.5
"""How long a model's page rests after a pass: pods that end together are settled in one write."""

MENDED_SECONDS: Final = 30.0
"""How often a page that breaks an invariant is read again: a person may have mended it."""

VANISHED: Final = "UsageVanished"
"""Reason of the event about what was let go of before it was counted."""


class Metering:
    """Keeps each model's pages; `changed` is called with a model's UID after each pass."""

    def __init__(
        self,
        client: Client,
        view: View,
        accounts: Accounts,
        belongings: Belongings,
        sharing: Sharing,
        statements: Statements,
        clock: Callable[[], datetime],
        changed: Callable[[str], None],
        ended: Callable[[Account], Awaitable[None]],
    ) -> None:
        self._client = client
        self._view = view
        self._accounts = accounts
        self._belongings = belongings
        self._sharing = sharing
        self._holdings = Holdings(belongings, sharing)
        self._letting_go = LettingGo(client, belongings, sharing)
        self._awaiting: dict[str, set[str]] = {}
        self._statements = statements
        self._clock = clock
        self._changed = changed
        self._ended = ended
        self.queue = WorkQueue("meter", self._pass, REST_SECONDS)

    def facts(self, account: Account, through: datetime | None = None, blind: bool = False) -> Facts:
        """All that the ledger needs to know of a model, as of a moment, by default of now.

        UnmeterableError where one of its objects cannot be understood, unless `blind` to them.
        """
        model, now = account.model, through or self._clock()
        return Facts(
            now=now,
            holdings=() if blind else tuple(self._holdings.of(account, now)),
            tariff=self.tariff(account) or NO_TARIFF,
            price_book=model.spec.pricing.price_book if model else "",
            terms=Terms(
                overheads=publish.overheads(model.spec.pricing) if model else None,
                generation=account.generation,
                since=account.priced_since,
                until=account.deleted,
            ),
            ended=account.deleted is not None and not self._anything_left(account),
            counts=counts_of(account, self._belongings),
        )

    def covers(self, account: Account) -> bool:
        """Whether the page and what exists make up for all usage that the status shows."""
        shown = account.published
        if account.page is None or shown is None or shown.usage is None or shown.cost is None:
            return False
        try:
            page = live_page(account.page, self.facts(account, instant(shown.cost.as_of)))
        except LedgerError:
            return False
        return int(publish.usage(page).replica_seconds) >= int(shown.usage.replica_seconds)

    def tariff(self, account: Account) -> Tariff | None:
        """The prices that the model asks for, or asked for last; None where there is no such book."""
        if account.model is not None:
            return self._view.tariff(account.model.spec.pricing.price_book)
        return self._view.tariff(account.page.price_book) if account.page else None

    async def _pass(self, uid: str) -> None:
        account = self._accounts.get(uid)
        if account is None:
            return
        try:
            await self._account(account)
            account.metering_error = account.ledger_error = None
            account.ledger_failures = 0
        except ClusterError as error:
            account.ledger_failures += 1
            if account.ledger_failures > 1 or not error.passing:
                account.ledger_error = refused(error)
                self._changed(uid)
            raise
        except LedgerError as error:
            # Nothing is written and nothing released, so nothing is lost; a person has to look.
            account.metering_error = broken(account, error)
            log.error("%s/%s: %s", account.ref.namespace, account.ref.name, account.metering_error)
            self.queue.add_later(uid, MENDED_SECONDS)
        self._changed(uid)
        for waiting in self._awaiting.pop(uid, ()):
            self.queue.add(waiting)

    def count(self, account: Account) -> None:
        """Write what was read of the model's servers, if it is news."""
        tally = account.page.tally if account.page else None
        readings = counts_of(account, self._belongings).readings
        if tally is not None and (tally.read_at is None or news(tally, readings)):
            account.counts_due = True
            self.queue.add(account.ref.uid)

    async def bring_up_to_date(self, account: Account, through: datetime) -> None:
        """Post everything up to a moment, settled or not."""
        await self._account(account, through)
        while account.more:
            await self._account(account, through)

    async def _account(self, account: Account, through: datetime | None = None) -> None:
        await self._view.know_prices()
        if account.metering_error:
            await self._read_page(account)
        for _ in range(CONFLICTS):
            try:
                facts = await self._write(account, through)
                break
            except Conflict:
                # Somebody else wrote the page: our view of page and pods may both be stale.
                await self._read_page(account)
                await self._view.list()
        else:
            raise Conflict(409, "Conflict", "the statement keeps changing")
        await self._release(account)
        if account.more:
            self.queue.add(account.ref.uid)
        self._wait_for_ends(account, facts)

    async def _write(self, account: Account, through: datetime | None) -> Facts:
        page = account.page or first_page(account.ref, account.created)
        facts = replace(self.facts(account, through), advance=through is not None or self._sharing.must_pass(account))
        if account.ledger_lost:
            page = replace(page, lost=account.ledger_lost)
        if account.page is None:
            page = replace(page, overheads=facts.terms.overheads or (), generation=facts.terms.generation)
        outcome = account_for(page, facts)
        account.more = outcome.more
        for written in (*outcome.closed, outcome.page):
            if account.stored is None or written != account.page:
                await self._store(account, written)
        if outcome.counted:
            account.posted(facts.counts.readings)
            account.counts_due = False
        for uid in outcome.vanished:
            message = vanished(uid, page.posted_through)
            log.warning("%s/%s: %s", account.ref.namespace, account.ref.name, message)
            await record(self._client, about_model(account.ref), "Warning", VANISHED, message, facts.now)
        return facts

    async def _store(self, account: Account, page: Page) -> None:
        spec = to_spec(page, publish.totals(page))
        same = account.stored is not None and account.stored.spec.month == page.month
        account.stored = await self._statements.write(spec, account.stored if same else None)
        account.page = page

    async def _read_page(self, account: Account) -> None:
        page = account.page or first_page(account.ref, account.created)
        month: str | None = page.month
        while month is not None:
            try:
                account.stored = await self._statements.read(statement_name(account.ref, month))
                account.page = page = from_spec(account.stored.spec)
            except NotFound:
                if month == page.month:
                    # Deleted by hand: what we know is all there is, so it is created again, whole.
                    account.stored = None
                break
            # Our own answer may have been lost, or somebody else was faster: the account goes on on the last page.
            month = month_of(month_end(month)) if page.closed and not page.ended else None

    async def _release(self, account: Account) -> None:
        for uid in await self._letting_go.release(account):
            self._awaiting.setdefault(uid, set()).add(account.ref.uid)
            self.queue.add(uid)
        if account.page is not None and account.page.ended:
            await self._ended(account)

    def _wait_for_ends(self, account: Account, facts: Facts) -> None:
        """Come back for what ends in a moment: a node's clock may be ahead of ours."""
        ends = [held.end for held in facts.holdings if held.end is not None and held.end > facts.now]
        if ends:
            self.queue.add_later(account.ref.uid, (min(ends) - facts.now).total_seconds() + 1)

    def _anything_left(self, account: Account) -> bool:
        """Whether something of a deleted model may still cost; of one that vanished, only what is seen.

        What was labelled by hand does not go with the model: it is counted up to the end, and let go.
        """
        children = (item for _, item in self._belongings.objects(account) if is_child(item.metadata))
        return not (account.torn_down or account.gone) or next(children, None) is not None
