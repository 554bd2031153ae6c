"""What a process must know before it may write: everything, listed consistently, page by page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from modelmeter.api.scalars import instant
from modelmeter.cluster.client import Client
from modelmeter.cluster.listing import pages
from modelmeter.cluster.paths import path
from modelmeter.cluster.statements import Statements, Stored
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.view import View
from modelmeter.errors import ClusterError, LedgerError
from modelmeter.meter.page import month_end, month_start
from modelmeter.meter.stored import from_spec

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 30.0
"""How long a cluster may take to answer a command that ends; the operator itself waits for ever."""
SHORTLY: Final = timedelta(minutes=10)
"""So long after a month's end a model has its next page, whatever had to be tried again."""


async def load(
    client: Client,
    view: View,
    statements: Statements,
    accounts: Accounts,
    changed: Callable[[Mapping[str, Any]], None],
    clock: Callable[[], datetime],
    patience_seconds: float | None = None,
) -> datetime:
    """Fill `accounts` from ModelDeployments and statements, and `view` from everything else.

    Answers the moment before pods and claims were listed: what began later is not known.
    Tried until it works: a cluster without our CRDs, or with an API server that does not answer, gets both in time.
    ClusterError where it does not work for `patience_seconds`.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        try:
            await _models(client, changed)
            await _pages(statements, accounts)
            moment = clock()
            await view.list()
            return moment
        except ClusterError as error:
            if patience_seconds is not None and loop.time() - began > patience_seconds:
                raise
            log.warning("cannot start yet: %s (are the CRDs of modelmeter.dev applied?)", error)
            await asyncio.sleep(RETRY_SECONDS)


async def _models(client: Client, changed: Callable[[Mapping[str, Any]], None]) -> None:
    async for page in pages(client, path("ModelDeployment"), dict[str, Any]):
        for body in page.items or ():
            changed(body)


async def _pages(statements: Statements, accounts: Accounts) -> None:
    """Give each account its open page; a page without its ModelDeployment becomes an account of its own."""
    open_pages = await statements.open_pages()
    closed = await statements.last_closed()
    for account in accounts:
        uid = account.ref.uid
        if uid in open_pages:
            if stored := open_pages.pop(uid):
                _keep(account, stored)
        elif uid not in closed:
            account.ledger_lost = _lost(account)
        elif stored := await _read(statements, closed[uid].name):
            # The end of the account, or a crash came between the closing of a month and the next page.
            _keep(account, stored)
            if not closed[uid].ended and _shown_after(account, month_end(stored.spec.month) + SHORTLY):
                account.ledger_lost = _lost(account)
        if account.page is not None and account.page.lost:
            account.ledger_lost = account.page.lost
    orphaned = [
        await _read(statements, entry.name)
        for uid, entry in closed.items()
        if not entry.ended and uid not in open_pages and accounts.get(uid) is None
    ]
    for stored in filter(None, (*open_pages.values(), *orphaned)):
        page = from_spec(stored.spec)
        accounts.add(
            Account(
                ref=page.model,
                created=month_start(page.month),
                deleted=page.posted_through,
                gone=True,
                stored=stored,
                page=page,
            )
        )


async def _read(statements: Statements, name: str) -> Stored | None:
    """A page; None where it cannot be read, which its model's pass finds again and says where the user looks."""
    try:
        return await statements.read(name)
    except LedgerError as error:
        log.error("%s", error)
        return None


def _shown_after(account: Account, moment: datetime) -> bool:
    shown = account.published
    return shown is not None and shown.cost is not None and instant(shown.cost.as_of) > moment


def _lost(account: Account) -> str | None:
    """What the status shows of a model whose page is not there: it was deleted while no operator ran."""
    shown = account.published
    if shown is None or shown.usage is None or shown.cost is None or not int(shown.usage.replica_seconds):
        return None
    amount = f"{shown.cost.total} {shown.cost.currency}" if shown.cost.total else "no cost"
    return (
        f"the latest CostStatement of this model is gone: {shown.usage.gpu_seconds} GPU-seconds and {amount}"
        f" were shown at {shown.cost.as_of}; what had ended by then is no longer counted."
        " Restore it from a backup while the operator is stopped: see docs/operations.md"
    )


def _keep(account: Account, stored: Stored) -> None:
    account.stored, account.page = stored, from_spec(stored.spec)
