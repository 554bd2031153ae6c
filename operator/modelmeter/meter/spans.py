"""Unpriced spans in as few as there are changes of the amount; of very many, the old ones by day and by month."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from modelmeter.meter.page import SpanKey
from modelmeter.meter.prices import BEGINNING, END

MANY: Final = 1500
"""Of more spans the old ones are folded; a page takes 2,000."""
SECOND: Final = timedelta(seconds=1)


def pieces_by_day(start: datetime, end: datetime) -> Iterator[tuple[datetime, int]]:
    """Cut [start, end) at midnights UTC: each piece's beginning and its length in seconds."""
    while start < end:
        stop = min(_day(start) + timedelta(days=1), end)
        yield start, round((stop - start).total_seconds())
        start = stop


def merged(spans: Mapping[SpanKey, int]) -> dict[SpanKey, int]:
    """The same usage in as few spans as there are changes of the amount."""
    changes: dict[SpanKey, dict[datetime, int]] = {}
    for key, amount in spans.items():
        edges = changes.setdefault(key._replace(start=BEGINNING, end=BEGINNING), {})
        edges[key.start] = edges.get(key.start, 0) + amount
        edges[key.end] = edges.get(key.end, 0) - amount
    joined: dict[SpanKey, int] = {}
    for alike, edges in changes.items():
        amount = 0
        for start, end in pairwise(sorted(at for at, change in edges.items() if change)):
            amount += edges[start]
            if amount:
                joined[alike._replace(start=start, end=end)] = amount
    return joined


def bounded(spans: Mapping[SpanKey, int]) -> dict[SpanKey, int]:
    """Merged, and of more than MANY the days before the last folded, then the months before, then all.

    What is folded stands in the first second of its day or month: all of its unit-seconds at once.
    """
    joined = merged(spans)
    if len(joined) <= MANY:
        return joined
    last = max(key.end for key in joined) - SECOND
    for begin, until in ((_day, _day(last)), (_month, _month(last)), (_day, END), (_month, END)):
        joined = merged(_folded(joined, begin, until))
        if len(joined) <= MANY:
            break
    return joined


def _folded(spans: Mapping[SpanKey, int], begin: Callable[[datetime], datetime], until: datetime) -> dict[SpanKey, int]:
    """What is before `until` in the first second of the period that it is in."""
    folded: dict[SpanKey, int] = {}
    for key, amount in spans.items():
        for at, seconds in pieces_by_day(key.start, key.end):
            if at < until:
                piece, units = key._replace(start=begin(at), end=begin(at) + SECOND), amount * seconds
            else:
                piece, units = key._replace(start=at, end=at + seconds * SECOND), amount
            folded[piece] = folded.get(piece, 0) + units
    return folded


def _day(at: datetime) -> datetime:
    return datetime(at.year, at.month, at.day, tzinfo=UTC)


def _month(at: datetime) -> datetime:
    return datetime(at.year, at.month, 1, tzinfo=UTC)
