"""Which rate to try next, and for how long: doubling until one fails, then bisection.

A pure function of the points so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

MICROSECONDS: Final = 10**6
PERCENTILE: Final = 95
CLOSE_ENOUGH: Final = 20
"""The search ends where the rates that pass and fail differ by a twentieth."""
ATTEMPTS: Final = 2
MOST_PER_SECOND: Final = 20_000
"""No higher rate is tried: one process sends no more."""
LEAST_LATENCIES: Final = 40
"""A rate is kept only if it was tried for so many times its p95. A rate above what the server does fills a queue, and
the p95 grows by (rate / capacity - 1) x seconds: so one that is kept is at most about a fortieth too high."""


class Step(NamedTuple):
    """What to try: so many requests in each round, and so many rounds without a pause."""

    requests: int
    rounds: int = 1


class Point(NamedTuple):
    """What came of one rate: in each round so many requests, planned within so many seconds. Times in microseconds."""

    requests: int
    seconds: int
    p95: int
    """Of the answered ones, from when they were due; 0 where none was."""
    failures: int = 0
    first_failure: str = ""
    late: int = 0
    """How late 95 of 100 were begun at the most."""
    batch: Fraction | None = None
    rounds: int = 1
    crowded: bool = False
    """It was ended because more requests were under way than the load can hold."""

    @property
    def per_second(self) -> Fraction:
        """The rate."""
        return Fraction(self.requests, self.seconds)

    @property
    def rounds_needed(self) -> int:
        """How many tell whether a queue only fills."""
        return max(1, -(-LEAST_LATENCIES * self.p95 // (self.seconds * MICROSECONDS)))

    def misses(self, limit: int) -> bool:
        """Whether one was not answered, or 95 of 100 not within `limit`."""
        return self.crowded or self.failures > 0 or self.p95 > limit

    def keeps(self, limit: int) -> bool:
        """Whether it does not miss `limit`, and was tried for long enough to say so."""
        return not self.misses(limit) and self.rounds >= self.rounds_needed


def next_step(points: Sequence[Point], limit: int, first: int, seconds: int) -> Step | None:
    """What to try next, in rounds of so many seconds; None where the search is over.

    It is over only once the rate that ends it has missed the limit twice: a neighbour may have spoiled the first time.
    """
    last = points[-1] if points else None
    if last and not last.misses(limit) and not last.keeps(limit):
        return Step(last.requests, last.rounds_needed)
    points = [point for point in points if decided(point, limit)]
    requests = _next_requests(points, limit, first, seconds)
    if requests is None:
        return None
    # A higher rate has no lower latency.
    return Step(requests, max((point.rounds for point in points if point.requests <= requests), default=1))


def decided(point: Point, limit: int) -> bool:
    """Whether a point says anything of its rate; else it was too short."""
    return point.misses(limit) or point.keeps(limit)


def _next_requests(points: Sequence[Point], limit: int, first: int, seconds: int) -> int | None:
    if not points:
        return min(max(first, seconds), MOST_PER_SECOND * seconds)
    good, bad = bracket(points, limit)
    if good is None:
        assert bad is not None
        return max(bad.requests // 2, seconds) if bad.requests > seconds else _once_more(points, bad)
    if bad is None:
        most = MOST_PER_SECOND * seconds
        return min(good.requests * 2, most) if good.requests < most else None
    gap = bad.requests - good.requests
    close = gap <= max(1, good.requests // CLOSE_ENOUGH)
    return _once_more(points, bad) if close else (good.requests + bad.requests) // 2


def _once_more(points: Sequence[Point], bad: Point) -> int | None:
    return bad.requests if sum(point.requests == bad.requests for point in points) < ATTEMPTS else None


def bracket(points: Iterable[Point], limit: int) -> tuple[Point | None, Point | None]:
    """The highest point that keeps the limit, and the lowest above it that misses it.

    Points are noisy: one that fails below another that passes counts for nothing.
    """
    points = list(points)
    good = max((point for point in points if point.keeps(limit)), key=lambda point: point.requests, default=None)
    above = (p for p in points if p.misses(limit) and (good is None or p.requests > good.requests))
    return good, min(above, key=lambda point: point.requests, default=None)


def percentile(values: Iterable[int]) -> int:
    """The 95th percentile by nearest rank; 0 of nothing.

    >>> percentile(range(1, 21))
    19
    """
    ordered = sorted(values)
    return ordered[rank(len(ordered)) - 1] if ordered else 0


def rank(count: int) -> int:
    """How many of so many must keep the limit."""
    return -(-count * PERCENTILE // 100)
