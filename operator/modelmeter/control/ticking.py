"""What only time brings: fresh figures, an advance of T, a month's end, counts that wait to be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.metering import Metering
from modelmeter.control.publishing import Publishing
from modelmeter.meter.account import ADVANCE_EVERY
from modelmeter.meter.page import month_end

TICK_SECONDS: Final = 5.0
SHORTEST_REFRESH: Final = timedelta(seconds=5)
LONGEST_REFRESH: Final = timedelta(seconds=60)
REFRESH_PER_MODEL: Final = timedelta(milliseconds=300)
"""How much each model lengthens the refresh of all: at most 3.3 writes a second while nothing happens."""
SHORTEST_COUNT: Final = timedelta(seconds=60)
"""How often a model's counts make a write of their own at the most; many models lengthen that, too."""
SILENCE: Final = timedelta(seconds=60)
"""A tick that is older than this means that the operator hangs."""


class Ticking:
    """Asks for a pass over each model whose time has come."""

    def __init__(
        self, accounts: Accounts, metering: Metering, publishing: Publishing, clock: Callable[[], datetime]
    ) -> None:
        self._accounts = accounts
        self._metering = metering
        self._publishing = publishing
        self._clock = clock
        self._published: dict[str, datetime] = {}
        self._counted: dict[str, datetime] = {}
        self._ticked: datetime | None = None

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            now = self._ticked = self._clock()
            each = REFRESH_PER_MODEL * len(self._accounts)
            for account in self._accounts:
                self._tick(account, now, each)
            await asyncio.sleep(TICK_SECONDS)

    def healthy(self) -> bool:
        """Whether the operator's loop still turns."""
        return self._ticked is not None and self._clock() - self._ticked < SILENCE

    def forget(self, uid: str) -> None:
        """A model's account is closed."""
        self._published.pop(uid, None)
        self._counted.pop(uid, None)

    def _tick(self, account: Account, now: datetime, each: timedelta) -> None:
        uid, page = account.ref.uid, account.page
        if page is None or now - page.posted_through >= ADVANCE_EVERY or now >= month_end(page.month):
            self._metering.queue.add(uid)
        if account.readings and now - self._counted.setdefault(uid, now) >= max(SHORTEST_COUNT, each):
            self._counted[uid] = now
            self._metering.count(account)
        refresh = min(LONGEST_REFRESH, max(SHORTEST_REFRESH, each))
        if now - self._published.setdefault(uid, now) >= refresh:
            self._published[uid] = now
            self._publishing.queue.add(uid)
