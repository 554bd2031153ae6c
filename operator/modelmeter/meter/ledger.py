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
from typing import Final, NamedTuple

from modelmeter.api.cost_statement import Certainty, Overhead
from modelmeter.meter import cost, sums
from modelmeter.meter.holding import REPLICA, Holding, Profile
from modelmeter.meter.page import LineKey, Page, Past, SpanKey, month_end, month_of
from modelmeter.meter.prices import BEGINNING, Price, Tariff

REMEMBER_SETTLED: Final = timedelta(hours=1)
"""How long a settled UID stays on the page after its object is gone: longer than any stale view lives."""
REMEMBERED: Final = 500
"""How many such UIDs at most: of more, the oldest leave sooner."""

RESIZED: Final = "Resized"
"""Reason of an estimate: it was resized, and nobody noted what it held before, or when it changed."""

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
        mark = _Mark(key.certainty, key.share, key.stage, key.reason)
        posting.item(key.item, amount, key.profile, mark, key.start, key.end)
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
    past = page.past
    return Past(
        usage=sums.plus(past.usage, sums.usage(page.lines)),
        cost=sums.plus(past.cost, cost.by_category(page.lines)),
        estimated=past.estimated + cost.estimated(page.lines),
        stages=sums.plus_stages(past.stages, sums.by_stage(page.lines)),
        estimates=sums.plus(past.estimates, sums.by_reason(page.lines)),
    )


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


class _Mark(NamedTuple):
    """What a line says of its seconds beside item and price."""

    certainty: Certainty = "exact"
    share: str = ""
    stage: str = ""
    reason: str = ""


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
        mark = before = _Mark(held.certainty, "", held.stage, held.reason)
        guessed = _Mark("estimated", "", held.stage, RESIZED)
        if was is None:
            posted_to, was = held.start, held.at_first
            if was is None and held.resized:
                # What it held before, nobody can tell any more.
                was, before = held.amounts, guessed
        if was is None or (was == held.amounts and before == mark):
            self._amounts(held, held.amounts, posted_to, end, mark)
        else:
            turn = min(max(held.resized or posted_to, held.start), end)
            self._amounts(held, was, posted_to, turn, before)
            self._amounts(held, held.amounts, turn, end, mark if held.resized else guessed)
        low, high, sign = _ordered(posted_to, end)
        for part in held.parts(low, high):
            of_part = mark._replace(share=part.share)
            self.item(part.item, sign * part.units, held.profile, of_part, part.start, part.end)

    def _amounts(self, held: Holding, amounts: Mapping[str, int], start: datetime, end: datetime, mark: _Mark) -> None:
        """Post amounts over [start, end); taken back where end is before start."""
        low, high, sign = _ordered(start, end)
        for item, amount in amounts.items():
            self.item(item, sign * amount, held.profile, mark, low, high)

    def item(self, item: str, amount: int, profile: Profile, mark: _Mark, start: datetime, end: datetime) -> None:
        """Post `amount` units of one item over [start, end)."""
        if not amount or start == end:
            return
        if item == REPLICA:
            self._line(item, _NO_PRICE, mark, amount, start, end)
            return
        for step in self._tariff.split(item, profile, start, end):
            key = SpanKey(item, profile, mark.certainty, step.start, step.end, mark.share, mark.stage, mark.reason)
            if step.price is None and not (amount < 0 and self._all_priced(key, -amount)):
                self._unpriced[key] = self._unpriced.get(key, 0) + amount
            else:
                self._line(item, step.price or _NO_PRICE, mark, amount, step.start, step.end)

    def overhead(self, overhead: Overhead, start: datetime, end: datetime) -> None:
        """Post labour or operations over [start, end); taken back where end is before start."""
        low, high, sign = _ordered(start, end)
        self._line(overhead.item, Price("", overhead.unit_price, overhead.per), _Mark(), sign, low, high)

    def _line(self, item: str, price: Price, mark: _Mark, amount: int, start: datetime, end: datetime) -> None:
        for at, seconds in pieces_by_day(start, end):
            month = month_of(at)
            correction = "" if month == self._page.month else month
            key = LineKey(item, *price, mark.certainty, correction, mark.share, mark.stage, mark.reason)
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

        def same(line: LineKey) -> tuple[str, ...]:
            return line.item, line.correction, line.share, line.stage

        if has(key):
            return key
        others = [line for line in self._lines if same(line) == same(key) and has(line)]
        return min(others, key=lambda line: (line.unit_price != key.unit_price, line), default=key)

    def _all_priced(self, span: SpanKey, amount: int) -> bool:
        """Whether `amount` units that are to be taken back stand on lines, and none of the item is unpriced."""
        month, pieces = self._page.month, list(pieces_by_day(span.start, span.end))
        lines = [
            days
            for key, days in self._lines.items()
            if (key.item, key.share, key.correction) == (span.item, span.share, "")
        ]
        return not any(key.item == span.item for key in self._unpriced) and all(
            month_of(at) == month and any(days.get(f"{at.day:02}", 0) >= amount * seconds for days in lines)
            for at, seconds in pieces
        )


def _ordered(start: datetime, end: datetime) -> tuple[datetime, datetime, int]:
    """An interval, and -1 where it runs backwards."""
    return (start, end, 1) if start <= end else (end, start, -1)


def _merged(spans: Mapping[SpanKey, int]) -> dict[SpanKey, int]:
    """The same usage in as few spans as there are changes of the amount."""
    changes: dict[SpanKey, dict[datetime, int]] = {}
    for key, amount in spans.items():
        edges = changes.setdefault(key._replace(start=BEGINNING, end=BEGINNING), {})
        edges[key.start] = edges.get(key.start, 0) + amount
        edges[key.end] = edges.get(key.end, 0) - amount
    merged: dict[SpanKey, int] = {}
    for alike, edges in changes.items():
        amount = 0
        for start, end in pairwise(sorted(at for at, change in edges.items() if change)):
            amount += edges[start]
            if amount:
                merged[alike._replace(start=start, end=end)] = amount
    return merged
