"""A bounded rate for what goes on for the whole cluster."""

from __future__ import annotations

import asyncio
from typing import Final

MOST_DOUBLINGS: Final = 10


class Pace:
    """So many turns a second, for any number of workers: each takes the next free moment."""

    def __init__(self, per_second: float) -> None:
        self._pause_seconds = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        now = asyncio.get_running_loop().time()
        due = max(now, self._next)
        self._next = due + self._pause_seconds
        if due > now:
            await asyncio.sleep(due - now)


def ever_rarer(seconds: float, failures: int, longest_seconds: float) -> float:
    """How long to wait after so many failures in a row: `seconds` after none or one, doubled for each more.

    >>> [ever_rarer(2, failures, 10) for failures in range(5)]
    [2, 2, 4, 8, 10]
    """
    return min(longest_seconds, seconds * (1 << min(max(0, failures - 1), MOST_DOUBLINGS)))
