"""One point: requests that begin at their planned times, whatever the answers do (an open loop).

A latency counts from the planned time, so what had to wait for something slow, here or there, is not left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from modelmeter.benchmark.search import Point, percentile, rank

MICROSECONDS: Final = 10**6
LEAD_SECONDS: Final = 0.05
"""Before the first request, so that it is not late from the start."""

Ask = Callable[[int], Awaitable[str]]
"""Sends the request of a number; answers why there was no answer, or empty."""


def arrivals(requests: int, seconds: int) -> list[float]:
    """When each request begins, in seconds from the start: independent of each other, as those of many callers are.

    The same for the same numbers.
    """
    random = Random(requests)
    return sorted(random.uniform(0, seconds) for _ in range(requests))


async def load(ask: Ask, requests: int, seconds: int, limit: int) -> Point:
    """Send so many requests within so many seconds, and wait for all answers; `limit` in microseconds.

    Ends early where the point cannot keep the limit any more: there is no use in overloading a server for longer.
    """
    loop = asyncio.get_running_loop()
    latencies: list[int] = []
    late: list[int] = []
    failures: list[str] = []
    in_time = bytearray(requests)
    checked = too_late = 0

    async def one(number: int, due: float) -> None:
        if failure := await ask(number):
            failures.append(failure)
            return
        latencies.append(_microseconds(loop.time() - due))
        in_time[number] = latencies[-1] <= limit

    start = loop.time() + LEAD_SECONDS
    spare = requests - rank(requests)
    offsets = arrivals(requests, seconds)
    async with asyncio.TaskGroup() as group:
        for number, offset in enumerate(offsets):
            due = start + offset
            # Also where it is due already: the answers have to be read.
            await asyncio.sleep(max(0.0, due - loop.time()))
            while checked < number and _microseconds(loop.time() - start - offsets[checked]) > limit:
                too_late += not in_time[checked]
                checked += 1
            if failures or too_late > spare:
                break
            late.append(_microseconds(loop.time() - due))
            group.create_task(one(number, due))
    return Point(
        requests,
        seconds,
        percentile(latencies),
        len(failures),
        failures[0] if failures else "",
        percentile(late),
    )


def _microseconds(seconds: float) -> int:
    return max(0, round(seconds * MICROSECONDS))
