"""The product, broken on purpose: each is a bug that a ledger like this one could have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from unittest.mock import patch

from modelmeter.api.cost_statement import CostStatementSpec
from modelmeter.cluster.statements import Statements, Stored, statement_name
from modelmeter.control.accounts import Account
from modelmeter.control.metering import Metering
from modelmeter.errors import ClusterError, Conflict
from modelmeter.meter import account as pure
from modelmeter.meter import inference, ledger
from modelmeter.meter.counting import Tally
from modelmeter.meter.holding import Holding
from modelmeter.meter.page import Page

_advance, _store, _write, _post = pure.advance, Metering._store, Statements.write, inference.post
_named = ledger.named


def releasing_before_persisting() -> AbstractContextManager[Any]:
    """The finalizers leave first, then the page is written."""

    async def store(self: Metering, account: Account, page: Page) -> None:
        before, account.page = account.page, replace(page, ended=False)
        await self._release(account)
        account.page = before
        await _store(self, account, page)

    return patch.object(Metering, "_store", store)


def forgetting_a_uid() -> AbstractContextManager[Any]:
    """A settled UID leaves the page at the next advance, though its pod may still be seen."""

    def forget(page: Page, existing: Iterable[str], now: datetime) -> Page:
        return replace(page, settled={})

    return patch.object(pure, "forget", forget)


def advancing_twice() -> AbstractContextManager[Any]:
    """T stays where it was, though all is posted beyond it."""

    def advance(page: Page, *arguments: Any) -> Page:
        return replace(_advance(page, *arguments), posted_through=page.posted_through)

    return patch.object(pure, "advance", advance)


def losing_a_conflict() -> AbstractContextManager[Any]:
    """A 409 counts as success."""
    return patch.object(Statements, "write", _believing(Conflict))


def trusting_no_answer() -> AbstractContextManager[Any]:
    """Whatever the API server says or does not say, the page counts as written."""
    return patch.object(Statements, "write", _believing(ClusterError))


def dropping_open() -> AbstractContextManager[Any]:
    """The page does not say what is posted up to T."""

    def advance(page: Page, *arguments: Any) -> Page:
        return replace(_advance(page, *arguments), open={})

    return patch.object(pure, "advance", advance)


def overwriting() -> AbstractContextManager[Any]:
    """A conflict is answered by writing the same again over whatever is there."""

    async def write(self: Statements, spec: CostStatementSpec, known: Stored | None) -> Stored:
        try:
            return await _write(self, spec, known)
        except Conflict:
            return await _write(self, spec, await self.read(statement_name(spec.model, spec.month)))

    return patch.object(Statements, "write", write)


def counting_from_zero() -> AbstractContextManager[Any]:
    """Each reading counts whole, as if its pod had never been read."""

    def post(tally: Tally, *arguments: Any) -> Tally:
        return _post(replace(tally, bases={}), *arguments)

    return patch.object(inference, "post", post)


def losing_revisions() -> AbstractContextManager[Any]:
    """A pod that is settled before the page was advanced is of no revision."""

    def named(page: Page, held: Iterable[Holding], existing: Iterable[Holding]) -> Page:
        return _named(page, [one for one in held if one.end is None], existing)

    return patch.object(ledger, "named", named)


def _believing(kind: type[ClusterError]) -> Callable[..., Any]:
    async def write(self: Statements, spec: CostStatementSpec, known: Stored | None) -> Stored:
        try:
            return await _write(self, spec, known)
        except kind:
            version = known.resource_version if known else "0"
            return Stored(statement_name(spec.model, spec.month), version, spec)

    return write


MUTATIONS: Final = (
    releasing_before_persisting,
    forgetting_a_uid,
    advancing_twice,
    losing_a_conflict,
    trusting_no_answer,
    dropping_open,
    overwriting,
    counting_from_zero,
    losing_revisions,
)
