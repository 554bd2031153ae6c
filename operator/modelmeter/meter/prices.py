"""Which rate of a PriceBook holds for an item, when: the most specific match, then the latest `from`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from modelmeter.api.price_book import Match, Rate
from modelmeter.api.resources import PriceBook
from modelmeter.api.scalars import instant
from modelmeter.meter.holding import Profile

BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
END: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class Price(NamedTuple):
    """A rate as a line quotes it."""

    rate: str
    """BOOK/INDEX: a book is append-only, so an index names a rate for good."""
    unit_price: str
    per: str


class Step(NamedTuple):
    """The price over [start, end); None where no rate covers it."""

    price: Price | None
    start: datetime
    end: datetime


class Tariff:
    """A PriceBook ready for look-ups; without a book nothing has a price, and `error` may say why there is none."""

    def __init__(self, book: PriceBook | None, error: str = "") -> None:
        self.book = book
        self.error = error
        self.currency = book.spec.currency if book else ""
        self._steps = lru_cache(maxsize=4096)(self._compute_steps)

    def split(self, item: str, profile: Profile, start: datetime, end: datetime) -> Iterator[Step]:
        """Cut [start, end) at each change of price.

        A rate 1 from midnight and a rate 3 from noon cut [00:00, 18:00) into 12 h at 1 and 6 h at 3.
        """
        for step in self._steps(item, profile):
            low, high = max(step.start, start), min(step.end, end)
            if low < high:
                yield Step(step.price, low, high)

    def at(self, item: str, profile: Profile, now: datetime) -> Price | None:
        """The price at one moment, None where no rate covers it."""
        return next((step.price for step in self._steps(item, profile) if step.start <= now < step.end), None)

    def _compute_steps(self, item: str, profile: Profile) -> tuple[Step, ...]:
        matching = [
            (instant(rate.from_), index, rate)
            for index, rate in enumerate(self.book.spec.rates if self.book else ())
            if rate.item == item and matches(rate.match, profile)
        ]
        edges = [BEGINNING, *sorted({start for start, _, _ in matching}), END]
        return tuple(Step(self._best(matching, start), start, end) for start, end in pairwise(edges))

    def _best(self, matching: list[tuple[datetime, int, Rate]], at: datetime) -> Price | None:
        valid = [candidate for candidate in matching if candidate[0] <= at]
        if not valid or self.book is None:
            return None
        _, index, rate = max(valid, key=lambda found: (specificity(found[2].match), found[0], found[1]))
        return Price(f"{self.book.name}/{index}", rate.price, rate.per)


def matches(match: Match, profile: Profile) -> bool:
    """True where every field that the rate gives equals the profile's."""
    return all(getattr(match, field) in ("", getattr(profile, field)) for field in Profile._fields)


def specificity(match: Match) -> tuple[int, tuple[bool, ...]]:
    """How specific a match is: more fields first; of equally many, the earlier field of Profile decides."""
    given = tuple(bool(getattr(match, field)) for field in Profile._fields)
    return sum(given), given
