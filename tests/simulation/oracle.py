"""Usage and cost from what is true, in exact fractions. Imports nothing of the product, on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

FIELDS = ("gpuProduct", "instanceType", "region", "capacityType", "storageClass")
ONE_PRICED_UNIT = {"gpu": 3600, "cpu": 1000 * 3600, "memory": 2**30 * 3600, "storage": 2**30 * 3600}
PERIODS = {"hour": 3600, "day": 86400}
EVER = datetime(1900, 1, 1, tzinfo=UTC)


@dataclass
class Held:
    """What a pod or claim held from `start` to `end`; `sizes` are (since, item to amount), the first since `start`."""

    start: datetime
    sizes: list[tuple[datetime, dict[str, int]]]
    profile: dict[str, str]
    end: datetime | None = None
    revision: str = ""

    def pieces(self) -> Iterator[tuple[datetime, datetime, dict[str, int]]]:
        """Half-open pieces in which the size is the same."""
        assert self.end is not None
        edges = [since for since, _ in self.sizes[1:]] + [self.end]
        for (since, amounts), until in zip(self.sizes, edges, strict=True):
            low, high = max(since, self.start), min(until, self.end)
            if low < high:
                yield low, high, amounts


@dataclass
class Rate:
    """A rate of the book."""

    item: str
    price: Fraction
    match: dict[str, str]
    valid: datetime


@dataclass
class Truth:
    """All that decides what a model used and costs."""

    created: datetime
    deleted: datetime | None = None
    held: dict[str, Held] = field(default_factory=dict)
    rates: list[Rate] = field(default_factory=list)
    overheads: list[tuple[datetime, dict[str, tuple[str, Fraction, str]]]] = field(default_factory=list)
    """(since, item to (category, price, period)), the first since the creation."""


@dataclass
class Answer:
    """Unit-seconds by item, unpriced unit-seconds by item, cost by category."""

    usage: dict[str, int] = field(default_factory=dict)
    unpriced: dict[str, int] = field(default_factory=dict)
    cost: dict[str, Fraction] = field(default_factory=dict)
    revisions: dict[str, Fraction] = field(default_factory=dict)
    """Compute of each revision: "REVISION ITEM" to unit-seconds, "REVISION cost" to what they cost."""

    def count(self, revision: str, what: str, amount: Fraction | int) -> None:
        """Add to a revision."""
        name = f"{revision or 'other'} {what}"
        self.revisions[name] = self.revisions.get(name, Fraction(0)) + amount


def answer(truth: Truth) -> Answer:
    """What the ledger must say when all is over."""
    found = Answer()
    for held in truth.held.values():
        for start, end, amounts in held.pieces():
            for item, amount in amounts.items():
                _use(truth, found, item, amount, held, start, end)
    assert truth.deleted is not None
    edges = [since for since, _ in truth.overheads[1:]] + [truth.deleted]
    for (since, items), until in zip(truth.overheads, edges, strict=True):
        seconds = max(0, _seconds(since, min(until, truth.deleted)))
        for category, price, period in items.values():
            found.cost[category] = found.cost.get(category, Fraction(0)) + price * seconds / PERIODS[period]
    return found


def _use(truth: Truth, found: Answer, item: str, amount: int, held: Held, start: datetime, end: datetime) -> None:
    found.usage[item] = found.usage.get(item, 0) + amount * _seconds(start, end)
    if item in ("gpu", "cpu", "memory"):
        found.count(held.revision, item, amount * _seconds(start, end))
    if item == "replica":
        return
    edges = sorted({start, end, *(rate.valid for rate in truth.rates if start < rate.valid < end)})
    for low, high in pairwise(edges):
        rate = _best(truth.rates, item, held.profile, low)
        seconds = amount * _seconds(low, high)
        if rate is None:
            found.unpriced[item] = found.unpriced.get(item, 0) + seconds
        else:
            category = "storage" if item == "storage" else "compute"
            cost = rate.price * seconds / ONE_PRICED_UNIT[item]
            found.cost[category] = found.cost.get(category, Fraction(0)) + cost
            if category == "compute":
                found.count(held.revision, "cost", cost)


def _best(rates: list[Rate], item: str, profile: dict[str, str], at: datetime) -> Rate | None:
    """Most fields; then the more telling fields, in the order of FIELDS; then the latest; then the last."""
    best, rank = None, None
    for index, rate in enumerate(rates):
        fits = all(profile.get(name, "") == value for name, value in rate.match.items())
        if rate.item == item and fits and rate.valid <= at:
            mine = (len(rate.match), [name in rate.match for name in FIELDS], rate.valid, index)
            if rank is None or mine > rank:
                best, rank = rate, mine
    return best


def _seconds(start: datetime, end: datetime) -> int:
    return (end - start) // timedelta(seconds=1)
