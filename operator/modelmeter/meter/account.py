"""One pass over a model's account: from its open page and all that exists to the pages to write.

The order of effects is the caller's: first the pages in their order, then the release of what is settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from modelmeter.api.cost_statement import Overhead
from modelmeter.errors import LedgerError
from modelmeter.meter import sums
from modelmeter.meter.holding import Holding
from modelmeter.meter.ledger import advance, forget, reprice, roll, settle
from modelmeter.meter.page import Page, month_end
from modelmeter.meter.prices import Tariff

ADVANCE_EVERY: Final = timedelta(hours=6)
"""How far T may fall behind; bounds what a finalizer stripped by hand can cost."""

NO_TARIFF: Final = Tariff(None)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one pass needs to know; `holdings` is everything that exists, from a consistent list."""

    now: datetime
    holdings: tuple[Holding, ...]
    tariff: Tariff
    overheads: tuple[Overhead, ...] | None
    """As the ModelDeployment says now; None where it cannot be read, then the page's own go on."""
    deleted: datetime | None = None
    """When the ModelDeployment was deleted: labour and operations end there."""
    ended: bool = False
    """Nothing of the model is left that could still cost: the last page may close."""
    advance: bool = False
    """Post everything up to now, though it is not time yet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Closed pages to write first, in order; then `page`. What `page.settled` names may be released."""

    closed: tuple[Page, ...]
    page: Page


def account(page: Page, facts: Facts) -> Outcome:
    """Settle what has finished, advance where it is time, close months that are over."""
    if page.closed:
        return Outcome((), page)
    tariff = facts.tariff
    if not page.currency:
        page = replace(page, currency=tariff.currency)
    tariff = _tariff_of(page, tariff)
    closed: list[Page] = []
    page = reprice(page, tariff)
    while facts.now >= (boundary := month_end(page.month)):
        page = advance(page, facts.holdings, boundary, tariff, facts.deleted)
        over, page = roll(page)
        closed.append(over)
    page = _settle_finished(page, facts, tariff)
    changed = facts.overheads is not None and facts.overheads != page.overheads
    if changed or facts.ended or facts.advance or facts.now - page.posted_through >= ADVANCE_EVERY:
        page = advance(page, facts.holdings, facts.now, tariff, facts.deleted)
        page = forget(page, (held.uid for held in facts.holdings), facts.now)
    if facts.overheads is not None:
        page = replace(page, overheads=facts.overheads)
    if facts.ended:
        page = replace(page, closed=True)
    for written in (*closed, page):
        check(written)
    return Outcome(tuple(closed), page)


def live_page(page: Page, facts: Facts) -> Page:
    """The page as if it had advanced to now: what the status shows. It is never written."""
    if page.closed:
        return page
    tariff = _tariff_of(page, facts.tariff)
    page = _settle_finished(page, facts, tariff)
    return advance(page, facts.holdings, facts.now, tariff, facts.deleted)


def check(page: Page) -> None:
    """The invariants of a page; LedgerError names the first that does not hold."""
    both = page.open & page.settled.keys()
    if both:
        raise LedgerError(f"{page.month}: {sorted(both)[0]} is both open and settled")
    usage = sums.plus(page.past.usage, sums.usage(page.lines))
    negative = _first_negative(sums.plus(usage, sums.unpriced(page.unpriced)))
    if negative:
        raise LedgerError(f"{page.month}: the whole life's {negative} would be negative")


def _settle_finished(page: Page, facts: Facts, tariff: Tariff) -> Page:
    for held in facts.holdings:
        if held.end is not None and held.end <= facts.now:
            page = settle(page, held, tariff)
    return page


def _first_negative(usage: Mapping[str, Fraction]) -> str:
    return next((item for item, units in sorted(usage.items()) if units < 0), "")


def _tariff_of(page: Page, tariff: Tariff) -> Tariff:
    """A page is in one currency: a book in another prices nothing on it."""
    return tariff if tariff.currency == page.currency else NO_TARIFF
