"""A server whose truth is known: so many workers, each so long at a text, the rest wait in line."""

from __future__ import annotations

import asyncio


class Queueing:
    """Answers `workers` requests at a time, each within `seconds`; so at most workers / seconds a second."""

    def __init__(self, seconds: float, workers: int = 1, fails: frozenset[int] = frozenset()) -> None:
        self.asked = 0
        self._seconds = seconds
        self._free = asyncio.Semaphore(workers)
        self._fails = fails
        """Which request, counted from the first, gets no answer."""

    async def ask(self, number: int) -> str:
        """One request."""
        self.asked += 1
        fails = self.asked in self._fails
        async with self._free:
            await asyncio.sleep(self._seconds)
        return "unavailable" if fails else ""

    async def executed(self) -> tuple[int, int] | None:
        """Batches of two."""
        return self.asked, self.asked // 2
