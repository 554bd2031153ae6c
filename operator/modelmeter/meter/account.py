"""One pass over a model's account: from its open page and all that exists to the pages to write.

The order of effects is the caller's: first the pages in their order, then the release of what is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from modelmeter.api.cost_statement import MAX_CLAIMS, MAX_LINES, MAX_OVERHEADS, MAX_REVISIONS, MAX_UIDS, MAX_UNPRICED
from modelmeter.errors import LedgerError
from modelmeter.meter import cost, inference, sums
from modelmeter.meter.holding import STORAGE, Holding
from modelmeter.meter.inference import NO_COUNTS, Counts
from modelmeter.meter.ledger import Terms, advance, forget, reprice, roll, settle_all
from modelmeter.meter.lifetime import AHEAD
from modelmeter.meter.page import Page, month_end
from modelmeter.meter.prices import Tariff
from modelmeter.meter.revisions import unnamed

ADVANCE_EVERY: Final = timedelta(hours=6)
"""How far T may fall behind; bounds what a finalizer stripped by hand can cost."""

AT_ONCE: Final = 500
"""How many pods and claims one write of a page settles."""

SECOND: Final = timedelta(seconds=1)
"""The grain of the API's times; a claim is on the page a second after it was bound, by whatever clock."""

SPLIT: Final = "let some of the model's pods and claims belong to a ModelDeployment of their own"
BOUNDS: Final[tuple[tuple[str, Callable[[Page], int], int, str], ...]] = (
    ("lines", lambda page: len(page.lines), MAX_LINES, SPLIT),
    ("unpriced", lambda page: len(page.unpriced), MAX_UNPRICED, "append rates; condition Priced says for what"),
    ("open", lambda page: len(page.open), MAX_UIDS, SPLIT),
    ("settled", lambda page: len(page.settled), MAX_UIDS, "delete finished pods that are still listed"),
    ("claims", lambda page: len(page.uses), MAX_CLAIMS, SPLIT),
    ("claims[].users", lambda page: max(map(len, page.uses.values()), default=0), MAX_UIDS, SPLIT),
    ("overheads", lambda page: len(page.overheads), MAX_OVERHEADS, "join entries of spec.pricing"),
    ("revisions", lambda page: len(page.revisions), MAX_REVISIONS, "restore the statement from a backup"),
)
"""List of a statement, how long it is on a page and may be, and what to do where it is longer."""

MONTHS_AT_ONCE: Final = 12
"""How many months one pass closes."""

NO_TARIFF: Final = Tariff(None)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one pass needs to know; `holdings` is everything that exists, from a consistent list."""

    now: datetime
    holdings: tuple[Holding, ...]
    tariff: Tariff
    price_book: str
    """Its name as the ModelDeployment gives it; empty where that cannot be read."""
    terms: Terms
    """Labour and operations as the ModelDeployment says now."""
    ended: bool = False
    """Nothing of the model is left that could still cost: the last page may close."""
    advance: bool = False
    """Post everything up to now, though it is not time yet."""
    counts: Counts = NO_COUNTS


@dataclass(frozen=True, slots=True)
class Outcome:
    """Closed pages to write first, in order; then `page`. What `page.settled` names may be released."""

    closed: tuple[Page, ...]
    page: Page
    more: bool = False
    """More has ended, or more months are over, than one pass takes: write and release, then ask again."""
    vanished: tuple[str, ...] = ()
    """UIDs that were open and no longer exist: their finalizer was taken off. What they held since T is lost."""
    counted: bool = False
    """The readings of `counts` are on the page."""


def account(page: Page, facts: Facts) -> Outcome:
    """Settle what has finished, advance where it is time, close months that are over."""
    if page.ended:
        return Outcome((), page)
    if page.closed:
        # The month was closed, and then the next page could not be written.
        _, page = roll(page)
    before, existing = page, {held.uid for held in facts.holdings}
    if not page.currency:
        page = replace(page, currency=facts.tariff.currency)
    if facts.price_book:
        page = replace(page, price_book=facts.price_book)
    facts, was_open = _in_currency(page, _dated(facts)), page.open.keys()
    tariff = facts.tariff
    closed: list[Page] = []
    page = reprice(page, tariff)
    while True:
        boundary = month_end(page.month)
        finished = _finished(page, facts, min(facts.now, boundary))
        page = settle_all(page, finished[:AT_ONCE], tariff, facts.holdings)
        more = len(finished) > AT_ONCE or (facts.now >= boundary and len(closed) >= MONTHS_AT_ONCE)
        if more or facts.now < boundary:
            break
        page = advance(page, facts.holdings, boundary, tariff, facts.terms)
        over, page = roll(page)
        closed.append(over)
    due = not more and _due(page, facts)
    if due:
        page = advance(page, facts.holdings, facts.now, tariff, facts.terms)
    if due or finished:
        page = forget(page, existing, facts.now)
    if facts.ended and not more:
        page = replace(page, closed=True, ended=True)
    # Counts ride on what is written anyway: they never make a write of their own before it is time.
    counted = page != before or facts.counts.due
    if counted:
        page = inference.tallied(page, before, facts.counts, facts.now)
    if page.tally is None and due:
        page = inference.begin(page, facts.now)
    for written in (*closed, page):
        check(written)
    vanished = (was_open - page.open.keys()) - existing
    return Outcome(tuple(closed), page, more, tuple(sorted(vanished)), counted)


def live_page(page: Page, facts: Facts) -> Page:
    """The page as if it had advanced to now: what the status shows. It is never written."""
    if page.ended:
        return page
    if page.closed:
        _, page = roll(page)
    before, facts = page, _in_currency(page, _dated(facts))
    tariff = facts.tariff
    while facts.now >= (boundary := month_end(page.month)):
        # Over, and not written yet: what is shown does not wait for that.
        _, page = roll(advance(page, facts.holdings, boundary, tariff, facts.terms))
    shown = advance(page, facts.holdings, facts.now, tariff, facts.terms)
    return inference.tallied(shown, before, facts.counts, facts.now)


def check(page: Page) -> None:
    """The invariants of a page; LedgerError names the first that does not hold."""
    for name, count, limit, remedy in BOUNDS:
        if (found := count(page)) > limit:
            raise LedgerError(f"{page.month}: {name} would have {found} entries, a statement takes {limit}; {remedy}")
    both = page.open.keys() & page.settled.keys()
    if both:
        raise LedgerError(f"{page.month}: {sorted(both)[0]} is both open and settled")
    if revision := unnamed(page):
        raise LedgerError(f"{page.month}: revision {revision} is on it, but not among its revisions")
    if page.tally is not None and min(page.tally.counters) < 0:
        raise LedgerError(f"{page.month}: what was counted of inferences would be negative")
    usage = sums.plus(page.past.usage, sums.usage(page.lines))
    negative = _first_negative(sums.plus(usage, sums.unpriced(page.unpriced)))
    if negative:
        raise LedgerError(f"{page.month}: the whole life's {negative} would be negative")
    costs = sums.plus(page.past.cost, cost.by_category(page.lines))
    cheap = next((name for name, amount in sorted(costs.items()) if amount < 0), "")
    if cheap:
        raise LedgerError(f"{page.month}: the whole life's cost of {cheap} would be negative")


def _dated(facts: Facts) -> Facts:
    """The same with a clock that is not behind what the API server has dated already.

    What is dated later than can be, for anybody may write managed fields, is taken for not dated.
    """
    latest = facts.now + AHEAD
    holdings = tuple(
        replace(held, resized=None) if held.resized and held.resized > latest else held for held in facts.holdings
    )
    terms = facts.terms
    if terms.since and terms.since > latest:
        terms = replace(terms, since=None)
    bound = (held.start + SECOND for held in holdings if STORAGE in held.amounts)
    dated = (terms.since, terms.until, *(held.resized for held in holdings), *bound)
    now = max((facts.now, *(at for at in dated if at is not None and at <= latest)))
    return replace(facts, now=now, holdings=holdings, terms=terms)


def _in_currency(page: Page, facts: Facts) -> Facts:
    """What can be posted on a page: no price in another currency, of labour and operations neither."""
    tariff = tariff_of(page, facts.tariff)
    foreign = bool(facts.tariff.currency) and tariff is not facts.tariff
    return replace(facts, tariff=tariff, terms=replace(facts.terms, overheads=None)) if foreign else facts


def _due(page: Page, facts: Facts) -> bool:
    """Whether T is to go on now."""
    late = facts.now - page.posted_through >= ADVANCE_EVERY
    vanished = page.open.keys() - {held.uid for held in facts.holdings}
    forced = facts.advance or facts.ended or late or facts.terms.news(page) or vanished
    return bool(forced) or any(_unsure(page, held, facts.now) for held in facts.holdings)


def _unsure(page: Page, held: Holding, now: datetime) -> bool:
    """Whether what it holds has to be on the page now, for it changes without a trace: a claim, a resized pod."""
    if held.end is not None or held.uid in page.settled or held.start >= now:
        return False
    known = page.open.get(held.uid)
    return held.amounts != known if known is not None else STORAGE in held.amounts


def _finished(page: Page, facts: Facts, by: datetime) -> list[Holding]:
    """What has ended by then and is not settled yet."""
    return [held for held in facts.holdings if held.end and held.end <= by and held.uid not in page.settled]


def _first_negative(usage: Mapping[str, Fraction]) -> str:
    return next((item for item, units in sorted(usage.items()) if units < 0), "")


def tariff_of(page: Page, tariff: Tariff) -> Tariff:
    """A page is in one currency: a book in another prices nothing on it."""
    return tariff if page.currency in ("", tariff.currency) else NO_TARIFF
