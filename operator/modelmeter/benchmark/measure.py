"""The whole of a benchmark: warm-up, points one after another within a bound, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol

from modelmeter.api.benchmark import Outcome
from modelmeter.benchmark.load import load
from modelmeter.benchmark.search import MICROSECONDS, Point, bracket, decided, next_step
from modelmeter.errors import BenchmarkError

MILLI: Final = 1000
WARM_UP_SECONDS: Final = 2.0
TIMEOUT_LIMITS: Final = 20
SHORTEST_TIMEOUT_SECONDS: Final = 5
LONGEST_TIMEOUT_SECONDS: Final = 60
"""A request that takes so many times the limit has failed; but not before the first, nor long after the second."""
REST_SECONDS: Final = 0.5
"""Between two points, so that one does not begin in what the other left."""
CLIENT_SHARE: Final = 5
"""Where requests begin late by a fifth of the limit, the load is what is slow."""
DIGITS: Final = 2


class Asked(Protocol):
    """A server that was told what it will be asked."""

    async def ask(self, number: int) -> str:
        """Send a request; answers why there was no answer, or empty."""

    async def executed(self) -> tuple[int, int] | None:
        """Texts and executions so far; None where unknown."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of one replica."""

    p95_milliseconds: int
    seconds_per_point: int
    most_seconds: int
    """No rate but the first is tried that would end later."""

    @property
    def limit(self) -> int:
        """The limit in microseconds."""
        return self.p95_milliseconds * MILLI

    @property
    def timeout_seconds(self) -> float:
        """When a request has failed."""
        limit = self.p95_milliseconds / MILLI
        return max(SHORTEST_TIMEOUT_SECONDS, min(TIMEOUT_LIMITS * limit, LONGEST_TIMEOUT_SECONDS + limit))


@dataclass(frozen=True, slots=True)
class Measured:
    """All points in the order in which they were tried, and whether there was time for all."""

    points: tuple[Point, ...]
    cut_short: bool


async def measure(server: Asked, texts: int, plan: Plan, say: Callable[[Point], None]) -> Measured:
    """Find the highest rate; BenchmarkError where not even the warm-up is answered.

    `texts` is how many different requests there are; `say` hears of each point.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    seconds = plan.seconds_per_point
    first = int(seconds / (2 * await _warm_up(server, texts)))
    points: list[Point] = []
    while step := next_step(points, plan.limit, first, seconds):
        some = any(decided(point, plan.limit) for point in points)
        if some and loop.time() - begun + step.rounds * seconds > plan.most_seconds:
            return Measured(tuple(points), cut_short=True)
        before = await server.executed()
        point = await load(server.ask, step, seconds, plan.limit)
        points.append(point._replace(batch=_batch(before, await server.executed())))
        say(points[-1])
        await asyncio.sleep(REST_SECONDS)
    return Measured(tuple(points), cut_short=False)


async def _warm_up(server: Asked, texts: int) -> float:
    """Ask with every text, one after another; the mean latency in seconds."""
    loop = asyncio.get_running_loop()
    begun, number = loop.time(), 0
    while number < texts or loop.time() - begun < WARM_UP_SECONDS:
        if failure := await server.ask(number):
            raise BenchmarkError(
                f"the first requests are not answered: {failure}",
                "see the pod's log; where a label is refused, give the model's classes in spec.model.labels (--label)",
            )
        number += 1
    return max((loop.time() - begun) / number, 1 / MICROSECONDS)


def _batch(before: tuple[int, int] | None, after: tuple[int, int] | None) -> Fraction | None:
    """Texts per execution between two readings; None where unknown, or a server began again in between."""
    if before is None or after is None:
        return None
    inferences, executions = after[0] - before[0], after[1] - before[1]
    return Fraction(inferences, executions) if executions > 0 and inferences > 0 else None


def outcome(measured: Measured, limit: int) -> Outcome:
    """What came of it."""
    points = [point for point in measured.points if decided(point, limit)]
    good, bad = bracket(points, limit)
    told = good or min(points, key=lambda point: point.requests, default=None)
    slow = [point for point in points if point.crowded or point.late * CLIENT_SHARE > limit]
    return Outcome(
        inferences_per_second=text(good.per_second) if good else None,
        p95_milliseconds=text(Fraction(told.p95, MILLI)) if told and told.p95 else None,
        batch=text(good.batch) if good and good.batch else None,
        fails_at_per_second=text(bad.per_second) if bad else None,
        failures=sum(point.failures for point in points),
        first_failure=next((point.first_failure for point in points if point.failures), ""),
        cut_short=measured.cut_short,
        client_bound=bad in slow if bad else good is not None and not measured.cut_short,
    )


def text(value: Fraction) -> str:
    """A figure for people, rounded once.

    >>> text(Fraction(1, 3))
    '0.33'
    """
    return f"{Decimal(round(value * 10**DIGITS)).scaleb(-DIGITS):f}"


def rows(points: Sequence[Point], limit: int) -> list[tuple[str, ...]]:
    """The points for a table: rate, p95, failures, mean batch, whether it kept the limit (`-`: too short to say)."""
    return [
        (
            text(point.per_second),
            text(Fraction(point.p95, MILLI)),
            str(point.failures),
            text(point.batch) if point.batch else "-",
            _word(point, limit),
        )
        for point in points
    ]


def _word(point: Point, limit: int) -> str:
    if point.misses(limit):
        return "no"
    return "yes" if point.keeps(limit) else "-"
