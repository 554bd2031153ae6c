"""What holdings, labour and operations become on a page: lines where they have a price, spans where they have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from modelmeter.api.cost_statement import Certainty, Overhead
from modelmeter.meter.holding import GPU, REPLICA, Holding, Profile, Shared
from modelmeter.meter.page import LineKey, Page, SpanKey, month_of
from modelmeter.meter.prices import BEGINNING, Price, Tariff
from modelmeter.meter.spans import bounded, pieces_by_day
from modelmeter.meter.uses import Use, cut, differences, known

RESIZED: Final = "Resized"
"""Reason of an estimate: it was resized, and nobody noted what it held before, or when it changed."""

_NO_PRICE: Final = Price("", "", "hour")


class Mark(NamedTuple):
    """What lines and spans say of their seconds beside item and price; `share` and what follows stand there as here."""

    certainty: Certainty = "exact"
    share: str = ""
    stage: str = ""
    reason: str = ""
    revision: str = ""


class Posting:
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
        return replace(self._page, lines=lines, unpriced=bounded(self._unpriced))

    def holding(self, held: Holding, end: datetime) -> None:
        """Post what is not posted yet of a holding up to `end`; what is posted beyond is taken back."""
        posted_to, was = self._page.posted_through, self._page.open.get(held.uid)
        revision = held.revision if held.revision in self._page.revisions else ""
        mark = before = Mark(held.certainty, "", held.stage, held.reason, revision)
        guessed = Mark("estimated", "", held.stage, RESIZED, revision)
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
        for share, units in held.slices.items():
            self.item(GPU, sign * units, held.profile, mark._replace(share=share), low, high)
        for shared in held.shared:
            self._shared(held, shared, end, mark)

    def _shared(self, held: Holding, shared: Shared, end: datetime, mark: Mark) -> None:
        """Post the pod's part of a claim up to `end`; where it shared with others than was posted, put that right."""
        through, counted = self._page.posted_through, self._page.uses.get(shared.claim, {})
        posted = held.uid in self._page.open and held.uid in counted
        before = cut(counted.values(), held.start, through) if posted else ()
        now = {**known(counted, through, shared.uses), held.uid: Use(held.start, held.end)}
        for low, high, was, among in differences(before, cut(now.values(), held.start, end)):
            for sign, number in ((-1, was), (1, among)):
                for share, units in shared.parts(number) if number else ():
                    self.item(GPU, sign * units, held.profile, mark._replace(share=share), low, high)

    def _amounts(self, held: Holding, amounts: Mapping[str, int], start: datetime, end: datetime, mark: Mark) -> None:
        """Post amounts over [start, end); taken back where end is before start."""
        low, high, sign = _ordered(start, end)
        for item, amount in amounts.items():
            self.item(item, sign * amount, held.profile, mark, low, high)

    def item(self, item: str, amount: int, profile: Profile, mark: Mark, start: datetime, end: datetime) -> None:
        """Post `amount` units of one item over [start, end)."""
        if not amount or start == end:
            return
        if item == REPLICA:
            self._line(item, _NO_PRICE, mark, amount, start, end)
            return
        for step in self._tariff.split(item, profile, start, end):
            key = SpanKey(item, profile, mark.certainty, step.start, step.end, *mark[1:])
            if step.price is None and not (amount < 0 and self._all_priced(key, -amount)):
                key = key if amount > 0 else self._span(key, -amount)
                self._unpriced[key] = self._unpriced.get(key, 0) + amount
            else:
                self._line(item, step.price or _NO_PRICE, mark, amount, step.start, step.end)

    def overhead(self, overhead: Overhead, start: datetime, end: datetime) -> None:
        """Post labour or operations over [start, end); taken back where end is before start."""
        low, high, sign = _ordered(start, end)
        self._line(overhead.item, Price("", overhead.unit_price, overhead.per), Mark(), sign, low, high)

    def _line(self, item: str, price: Price, mark: Mark, amount: int, start: datetime, end: datetime) -> None:
        for at, seconds in pieces_by_day(start, end):
            month = month_of(at)
            correction = "" if month == self._page.month else month
            key = LineKey(item, *price, mark.certainty, correction, *mark[1:])
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
            return line.item, line.correction, line.share

        if has(key):
            return key

        # A stage may have been another when it was posted, and a revision may have had a name.
        def unlike(line: LineKey) -> tuple[bool, bool, bool, LineKey]:
            return line.stage != key.stage, line.unit_price != key.unit_price, line.revision != key.revision, line

        return min((line for line in self._lines if same(line) == same(key) and has(line)), key=unlike, default=key)

    def _span(self, key: SpanKey, amount: int) -> SpanKey:
        """The span that units are taken back from: another part's, where that has them and `key`'s has not."""

        def has(part: tuple[str, str]) -> bool:
            alike = key._replace(start=BEGINNING, end=BEGINNING, stage=part[0], revision=part[1])
            return any(
                units >= amount and span.start <= key.start and key.end <= span.end
                for span, units in self._unpriced.items()
                if span._replace(start=BEGINNING, end=BEGINNING) == alike
            )

        own = key.stage, key.revision
        # Of the same stage first.
        others = sorted(
            {(span.stage, span.revision) for span in self._unpriced} - {own},
            key=lambda part: (part[0] != key.stage, part),
        )
        stage, revision = next((part for part in (own, *others) if has(part)), own)
        return key._replace(stage=stage, revision=revision)

    def _all_priced(self, span: SpanKey, amount: int) -> bool:
        """Whether `amount` units that are to be taken back stand on lines, and none of the item is unpriced."""
        month, pieces = self._page.month, list(pieces_by_day(span.start, span.end))
        lines = [
            days
            for key, days in self._lines.items()
            if (key.item, key.share, key.correction) == (span.item, span.share, "")
        ]
        return not any(amount and key.item == span.item for key, amount in self._unpriced.items()) and all(
            month_of(at) == month and any(days.get(f"{at.day:02}", 0) >= amount * seconds for days in lines)
            for at, seconds in pieces
        )


def _ordered(start: datetime, end: datetime) -> tuple[datetime, datetime, int]:
    """An interval, and -1 where it runs backwards."""
    return (start, end, 1) if start <= end else (end, start, -1)
