"""Notices that somebody deleted an open statement: what we know is all there is, so it is written again, whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from modelmeter.cluster.statements import Statements
from modelmeter.control.accounts import Accounts
from modelmeter.errors import ClusterError

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60.0
"""A page that is gone when the operator goes, too, is lost: nobody watches statements, for we write them all."""


class Guarding:
    """Looks for each account's open page; `missing` is called with the UID of a model whose page is gone."""

    def __init__(self, statements: Statements, accounts: Accounts, missing: Callable[[str], None]) -> None:
        self._statements = statements
        self._accounts = accounts
        self._missing = missing

    async def run(self) -> None:
        """Look every minute until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.look()
            except ClusterError as error:
                log.warning("open statements: %s", error)

    async def look(self) -> None:
        """Look once. A page that was written meanwhile is taken for gone, and then found."""
        names = await self._statements.open_names()
        for account in self._accounts:
            stored = account.stored
            if stored is not None and not stored.spec.closed and stored.name not in names:
                log.warning("CostStatement %s is gone; it is written again", stored.name)
                account.stored = None
                self._missing(account.ref.uid)
