"""How a ledger page grows: settle, advance, roll. Pure; applying one twice changes nothing.

A UID of `open` is posted up to T (`posted_through`), with the amounts that stand there; any other UID is not
posted at all, so a pod that the watch shows late, after T has passed its start, is still posted in full.
Quantities are whole unit-seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from modelmeter.api.cost_statement import Certainty, Overhead
from modelmeter.meter import cost
from modelmeter.meter.holding import REPLICA, Holding, Profile
from modelmeter.meter.page import LineKey, Page, Past, SpanKey, month_end, month_of
from modelmeter.meter.prices import Price, Tariff

REMEMBER_SETTLED: Final = timedelta(hours=1)
"""How long a settled UID stays on the page after its object is gone: longer than any stale view lives."""
REMEMBERED: Final = 500
"""How many such UIDs at most: of more, the oldest leave sooner."""

_NO_PRICE: Final = Price("", "", "hour")


@dataclass(frozen=True, slots=True)
class Terms:
    """What labour and operations a ModelDeployment asks for, as of its `generation`.

    They hold from `since` on. They end at `until`, its deletion.
    """

    overheads: tuple[Overhead, ...] | None = None
    """None where they cannot be read, then those of the page go on."""
    generation: int = 0
    since: datetime | None = None
    until: datetime | None = None

    def news(self, page: Page) -> bool:
        """Whether the page accrues something else; it never goes back to an older generation."""
        newer = self.generation > page.generation and page.overheads_until is None
        return newer and self.overheads is not None and self.overheads != page.overheads


NO_NEWS: Final = Terms()


def settle(page: Page, held: Holding, tariff: Tariff) -> Page:
    """Post what of a finished holding is not posted yet; negative where T had passed its true end."""
    if held.end is None:
        raise ValueError(f"{held.uid} is not finished")
    if held.uid in page.settled:
        return page
    posting = _Posting(page, tariff)
    posting.holding(held, max(held.end, held.start))
    still_open = {uid: amounts for uid, amounts in page.open.items() if uid != held.uid}
    return replace(posting.page(), open=still_open, settled={**page.settled, held.uid: None})


def advance(page: Page, held: Iterable[Holding], to: datetime, tariff: Tariff, terms: Terms = NO_NEWS) -> Page:
    """Post every holding, and labour and operations, up to `to`; T becomes `to`, and never goes back.

    `held` is all that exists: what has ended by `to` is settled first. A UID of `open` that is not among
    it lost its finalizer by force; it is closed at the old T.
    """
    to = max(to, page.posted_through)
    holdings = tuple(held)
    for finished in holdings:
        if finished.end is not None and finished.end <= to:
            page = settle(page, finished, tariff)
    live = [holding for holding in holdings if holding.uid not in page.settled and holding.start < to]
    posting = _Posting(page, tariff)
    for holding in live:
        posting.holding(holding, to)
    open_now = {holding.uid: holding.amounts for holding in live}
    vanished = page.open.keys() - open_now.keys() - page.settled.keys()
    return replace(
        _accrue(posting, page, to, terms),
        posted_through=to,
        open=open_now,
        settled={**page.settled, **dict.fromkeys(vanished)},
    )


def _accrue(posting: _Posting, page: Page, to: datetime, terms: Terms) -> Page:
    """Post labour and operations up to `to`, the new ones from when they hold; what T ran ahead is taken back."""
    if page.overheads_until is not None:
        return posting.page()
    ends = terms.until is not None and terms.until <= to
    last = terms.until if ends and terms.until is not None else to
    news = terms.news(page) and (terms.since is None or terms.since <= to)
    turn = min(terms.since or to, last) if news else last
    for overhead in page.overheads:
        posting.overhead(overhead, page.posted_through, turn)
    accrued = posting.page()
    if news and terms.overheads is not None:
        for overhead in terms.overheads:
            posting.overhead(overhead, turn, last)
        accrued = replace(posting.page(), overheads=terms.overheads, generation=terms.generation)
    return replace(accrued, overheads_until=last) if ends else accrued


def reprice(page: Page, tariff: Tariff) -> Page:
    """Price the unpriced spans that a rate covers by now; what is still uncovered stays."""
    if not any(step.price for key in page.unpriced for step in tariff.split(key.item, key.profile, key.start, key.end)):
        return page
    posting = _Posting(replace(page, unpriced={}), tariff)
    # What takes back comes last: it looks for what was posted.
    for key, amount in sorted(page.unpriced.items(), key=lambda span: span[1] < 0):
        posting.item(key.item, amount, key.profile, key.certainty, key.start, key.end)
    return posting.page()


def roll(page: Page) -> tuple[Page, Page]:
    """Close a page that has advanced to its month's end; the next begins where it stopped.

    Unpriced spans move to the next page, where they can still be priced.
    """
    boundary = month_end(page.month)
    if page.posted_through != boundary:
        raise ValueError(f"{page.month} is posted through {page.posted_through}, not to its end")
    following = Page(
        model=page.model,
        month=month_of(boundary),
        posted_through=boundary,
        currency=page.currency,
        price_book=page.price_book,
        unpriced=page.unpriced,
        overheads=page.overheads,
        overheads_until=page.overheads_until,
        generation=page.generation,
        open=page.open,
        settled=page.settled,
        past=carry(page),
    )
    return replace(page, closed=True), following


def carry(page: Page) -> Past:
    """The exact sums of this page and all before it, without the unpriced spans."""
    usage = dict(page.past.usage)
    for key, days in page.lines.items():
        if not key.item.startswith(cost.OVERHEADS):
            usage[key.item] = usage.get(key.item, 0) + sum(days.values())
    by_category = dict(page.past.cost)
    for category, amount in cost.by_category(page.lines).items():
        by_category[category] = by_category.get(category, cost.ZERO) + amount
    return Past(usage, by_category, page.past.estimated + cost.estimated(page.lines))


def forget(page: Page, existing: Iterable[str], now: datetime) -> Page:
    """Drop settled UIDs whose objects have been gone for an hour, or are too many; note those that are newly gone.

    Dropping them sooner is safe where views are honest: whoever writes has listed since somebody else wrote.
    """
    present = frozenset(existing)
    settled = {
        uid: None if uid in present else gone or now
        for uid, gone in page.settled.items()
        if uid in present or gone is None or now - gone < REMEMBER_SETTLED
    }
    absent = sorted((gone, uid) for uid, gone in settled.items() if gone is not None)
    for _, uid in absent[:-REMEMBERED]:
        del settled[uid]
    return replace(page, settled=settled)


def pieces_by_day(start: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
    """Cut [start, end) at midnights UTC: each piece's beginning and its length in seconds."""
    while start < end:
        midnight = datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=1)
        stop = min(midnight, end)
        yield start, round((stop - start).total_seconds())
        start = stop


class _Posting:
    """Collects postings for one new page; the old page's values are copied where they change."""

    def __init__(self, page: Page, tariff: Tariff) -> None:
        self._page = page
        self._tariff = tariff
        self._lines: dict[LineKey, dict[str, int]] = {key: dict(days) for key, days in page.lines.items()}
        self._unpriced = dict(page.unpriced)

    def page(self) -> Page:
        """The page with everything posted; lines and spans that came to nothing are left out."""
        lines = {
            key: kept
            for key, days in self._lines.items()
            if (kept := {day: units for day, units in days.items() if units})
        }
        return replace(self._page, lines=lines, unpriced=_merged(self._unpriced))

    def holding(self, held: Holding, end: datetime) -> None:
        """Post what is not posted yet of a holding up to `end`; what is posted beyond is taken back."""
        posted_to, was = self._page.posted_through, self._page.open.get(held.uid)
        certainty = held.certainty
        if was is None:
            posted_to, was = held.start, held.at_first
            if was is None and held.resized:
                # What it held before, nobody can tell any more.
                was, certainty = held.amounts, "estimated"
        if was is None or (was == held.amounts and certainty == held.certainty):
            self._amounts(held, held.amounts, posted_to, end, held.certainty)
        else:
            turn = min(max(held.resized or posted_to, held.start), end)
            self._amounts(held, was, posted_to, turn, certainty)
            self._amounts(held, held.amounts, turn, end, held.certainty if held.resized else "estimated")

    def _amounts(
        self, held: Holding, amounts: Mapping[str, int], start: datetime, end: datetime, certainty: Certainty
    ) -> None:
        """Post amounts over [start, end); taken back where end is before start."""
        for item, amount in amounts.items():
            self.item(item, amount, held.profile, certainty, start, end)

    def item(
        self, item: str, amount: int, profile: Profile, certainty: Certainty, start: datetime, end: datetime
    ) -> None:
        """Post `amount` units of one item over [start, end)."""
        if end < start:
            start, end, amount = end, start, -amount
        if not amount or start == end:
            return
        if item == REPLICA:
            self._line(item, _NO_PRICE, certainty, amount, start, end)
            return
        for step in self._tariff.split(item, profile, start, end):
            if step.price is None and not (amount < 0 and self._all_priced(item, -amount, step.start, step.end)):
                key = SpanKey(item, profile, certainty, step.start, step.end)
                self._unpriced[key] = self._unpriced.get(key, 0) + amount
            else:
                self._line(item, step.price or _NO_PRICE, certainty, amount, step.start, step.end)

    def overhead(self, overhead: Overhead, start: datetime, end: datetime) -> None:
        """Post labour or operations over [start, end); taken back where end is before start."""
        price, units = Price("", overhead.unit_price, overhead.per), 1
        if end < start:
            start, end, units = end, start, -1
        self._line(overhead.item, price, "exact", units, start, end)

    def _line(self, item: str, price: Price, certainty: Certainty, amount: int, start: datetime, end: datetime) -> None:
        for at, seconds in pieces_by_day(start, end):
            month = month_of(at)
            correction = "" if month == self._page.month else month
            key = LineKey(item, price.rate, price.unit_price, price.per, certainty, correction)
            day, units = f"{at.day:02}", amount * seconds
            days = self._lines.setdefault(key if units > 0 else self._source(key, day, -units), {})
            days[day] = days.get(day, 0) + units

    def _source(self, key: LineKey, day: str, units: int) -> LineKey:
        """The line that units are taken back from: `key` itself, unless it has too few and another has them.

        A rate that was appended with a past date, or a price profile that was lost, must not take back at another
        price than was posted.
        """

        def has(line: LineKey) -> bool:
            return self._lines.get(line, {}).get(day, 0) >= units

        if has(key):
            return key
        others = [line for line in self._lines if (line.item, line.correction) == (key.item, key.correction)]
        alike = sorted(filter(has, others), key=lambda line: (line.unit_price != key.unit_price, line))
        return alike[0] if alike else key

    def _all_priced(self, item: str, amount: int, start: datetime, end: datetime) -> bool:
        """Whether what is to be taken back stands on lines, and none of the item is unpriced."""
        lines = [days for key, days in self._lines.items() if key.item == item and not key.correction]
        return (
            not any(key.item == item for key in self._unpriced)
            and all(
                any(days.get(f"{at.day:02}", 0) >= amount * seconds for days in lines)
                for at, seconds in pieces_by_day(start, end)
                if month_of(at) == self._page.month
            )
            and month_of(start) == self._page.month
        )


def _merged(spans: Mapping[SpanKey, int]) -> dict[SpanKey, int]:
    """The same usage in as few spans as there are changes of the amount."""
    changes: dict[tuple[str, Profile, Certainty], dict[datetime, int]] = {}
    for key, amount in spans.items():
        edges = changes.setdefault((key.item, key.profile, key.certainty), {})
        edges[key.start] = edges.get(key.start, 0) + amount
        edges[key.end] = edges.get(key.end, 0) - amount
    merged: dict[SpanKey, int] = {}
    for (item, profile, certainty), edges in changes.items():
        amount = 0
        for start, end in pairwise(sorted(at for at, change in edges.items() if change)):
            amount += edges[start]
            if amount:
                merged[SpanKey(item, profile, certainty, start, end)] = amount
    return merged
