"""Deletes statements that are older than they have to be kept, where a limit is set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from modelmeter.cluster.statements import Statements
from modelmeter.control.accounts import Accounts
from modelmeter.errors import ClusterError
from modelmeter.meter.page import months_before

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 6 * 3600.0


class Retaining:
    """Keeps closed statements for `months` whole months after their own; 0 keeps them for ever."""

    def __init__(self, statements: Statements, accounts: Accounts, clock: Callable[[], datetime], months: int) -> None:
        self._statements = statements
        self._accounts = accounts
        self._clock = clock
        self._months = months

    async def run(self) -> None:
        """Look every few hours until cancelled."""
        while self._months:
            try:
                await self.expire()
            except ClusterError as error:
                log.warning("old statements: %s", error)
            await asyncio.sleep(EVERY_SECONDS)

    async def expire(self) -> None:
        """Delete what is too old, but never the page that an account stands on: later ones carry its sums."""
        oldest = months_before(self._clock(), self._months)
        current = {(account.ref.uid, account.page.month) for account in self._accounts if account.page}
        for entry in await self._statements.closed():
            if entry.month < oldest and (entry.model_uid, entry.month) not in current:
                await self._statements.delete(entry)
                log.info("deleted statement %s, kept for %d months", entry.name, self._months)
