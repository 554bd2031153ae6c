"""A server whose truth is known: so many workers, each so long at a text, the rest wait in line."""

from __future__ import annotations

import asyncio
from collections import deque


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


class Batching:
    """Answers whatever waits at once, up to `most` texts together: `seconds` for a batch, and `each` for every text.

    So at most `most` / (`seconds` + `most` x `each`) a second.
    """

    def __init__(self, seconds: float, each: float, most: int) -> None:
        self._seconds = seconds
        self._each = each
        self._most = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._busy = False

    async def ask(self, number: int) -> str:
        """One request."""
        answered = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        if not self._busy:
            self._begin()
        await answered
        return ""

    async def executed(self) -> tuple[int, int] | None:
        """Nobody knows."""
        return None

    def _begin(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        self._busy = bool(batch)
        if batch:
            lasts = self._seconds + len(batch) * self._each
            asyncio.get_running_loop().call_later(lasts, self._end, batch)

    def _end(self, batch: list[asyncio.Future[None]]) -> None:
        for answered in batch:
            answered.set_result(None)
        self._begin()
