"""What holdings, labour and operations become on a page: lines where they have a price, spans where they have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from modelmeter.api.cost_statement import Certainty, Overhead
from modelmeter.meter.holding import GPU, REPLICA, Holding, Profile, Shared
from modelmeter.meter.page import LineKey, Page, SpanKey, month_of
from modelmeter.meter.prices import Price, Tariff
from modelmeter.meter.revisions import revision_of
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
        revision = revision_of(self._page, held)
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
            self._line(item, _NO_PRICE, mark._replace(revision=""), amount, start, end)
            return
        for step in self._tariff.split(item, profile, start, end):
            key = SpanKey(item, profile, mark.certainty, step.start, step.end, *mark[1:])
            if step.price is None and not (amount < 0 and self._all_priced(key, -amount)):
                for span in (key,) if amount > 0 else self._posted(key, -amount):
                    self._unpriced[span] = self._unpriced.get(span, 0) + amount
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
            for line, part in ((key, units),) if units > 0 else self._sources(key, day, -units):
                days = self._lines.setdefault(line, {})
                days[day] = days.get(day, 0) + part

    def _sources(self, key: LineKey, day: str, units: int) -> Iterator[tuple[LineKey, int]]:
        """The lines that units are taken back from, and how many (negative) from each.

        Of the same stage and revision, where these have enough. `key` itself, unless it has too few and another has
        them, for a rate that was appended with a past date, or a price profile that was lost, must not take back at
        another price than was posted; where none has all of them, several, and what no line has of `key`.
        """

        def has(line: LineKey) -> int:
            return self._lines.get(line, {}).get(day, 0)

        def same(line: LineKey) -> tuple[str, ...]:
            return line.item, line.correction, line.share

        # A stage may have been another when it was posted.
        def unlike(line: LineKey) -> tuple[bool, bool, bool, LineKey]:
            return line.stage != key.stage, line.revision != key.revision, line.unit_price != key.unit_price, line

        alike = sorted((line for line in self._lines if same(line) == same(key) and line != key), key=unlike)
        own = [line for line in (key, *alike) if (line.stage, line.revision) == (key.stage, key.revision)]
        enough = sum(max(0, has(line)) for line in own) >= units
        lines = own if enough else [*own, *(line for line in alike if line not in own)]
        whole = next((line for line in lines if has(line) >= units), None)
        for line in lines if whole is None else (whole,):
            part = min(units, max(0, has(line)))
            units -= part
            if part:
                yield line, -part
        if units:
            yield key, -units

    def _posted(self, key: SpanKey, amount: int) -> Iterator[SpanKey]:
        """The spans that units are taken back from: where `key`'s stage and revision have too few, those of another."""
        alike = [
            (span, units)
            for span, units in self._unpriced.items()
            if span._replace(start=key.start, end=key.end, stage=key.stage, revision=key.revision) == key
        ]
        own = key.stage, key.revision
        # Of the same stage first.
        parts = sorted({(span.stage, span.revision) for span, _ in alike}, key=lambda part: (part[0] != own[0], part))
        edges = {edge for span, _ in alike for edge in (span.start, span.end) if key.start < edge < key.end}
        for low, high in pairwise(sorted({key.start, *edges, key.end})):
            has = dict.fromkeys((own, *parts), 0)
            for span, units in alike:
                if span.start <= low and high <= span.end:
                    has[span.stage, span.revision] += units
            stage, revision = next((part for part, units in has.items() if units >= amount), own)
            yield key._replace(start=low, end=high, stage=stage, revision=revision)

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
