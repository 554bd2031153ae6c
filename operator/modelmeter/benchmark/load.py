"""One point: requests that begin at their planned times, whatever the answers do (an open loop).

A latency counts from the planned time, so what had to wait for something slow, here or there, is not left out.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from modelmeter.benchmark.search import MICROSECONDS, Point, Step, percentile, rank

LEAD_SECONDS: Final = 0.05
"""Before the first request, so that it is not late from the start."""
MOST_UNDER_WAY: Final = 4_000
"""Requests without an answer: each takes 30 KiB here, and the Job's pod has 256 MiB."""

Ask = Callable[[int], Awaitable[str]]
"""Sends the request of a number; answers why there was no answer, or empty."""


def arrivals(requests: int, seconds: int) -> array[float]:
    """When each request begins, in seconds from the start: independent of each other, as those of many callers are.

    The same for the same numbers.
    """
    random = Random(requests)
    return array("d", sorted(random.uniform(0, seconds) for _ in range(requests)))


async def load(ask: Ask, step: Step, seconds: int, limit: int) -> Point:
    """Send a step's requests, its rounds of so many seconds each, and wait for all answers; `limit` in microseconds.

    Ends early where the point cannot keep the limit any more, or too many requests are under way: there is no use in
    overloading a server, or this process, for longer.
    """
    loop = asyncio.get_running_loop()
    requests = step.requests * step.rounds
    latencies, late = array("q"), array("q")
    failures: list[str] = []
    in_time = bytearray(requests)
    checked = too_late = under_way = 0
    crowded = False

    async def one(number: int, due: float) -> None:
        nonlocal under_way
        failure = await ask(number)
        under_way -= 1
        if failure:
            failures.append(failure)
            return
        latencies.append(_microseconds(loop.time() - due))
        in_time[number] = latencies[-1] <= limit

    start = loop.time() + LEAD_SECONDS
    spare = requests - rank(requests)
    offsets = arrivals(requests, seconds * step.rounds)
    async with asyncio.TaskGroup() as group:
        for number, offset in enumerate(offsets):
            due = start + offset
            # Also where it is due already: the answers have to be read.
            await asyncio.sleep(max(0.0, due - loop.time()))
            while checked < number and _microseconds(loop.time() - start - offsets[checked]) > limit:
                too_late += not in_time[checked]
                checked += 1
            crowded = under_way >= MOST_UNDER_WAY
            if failures or too_late > spare or crowded:
                break
            late.append(_microseconds(loop.time() - due))
            under_way += 1
            group.create_task(one(number, due))
    return Point(
        step.requests,
        seconds,
        percentile(latencies),
        len(failures),
        failures[0] if failures else "",
        percentile(late),
        rounds=step.rounds,
        crowded=crowded,
    )


def _microseconds(seconds: float) -> int:
    return max(0, round(seconds * MICROSECONDS))
