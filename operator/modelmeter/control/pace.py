"""A bounded rate for what goes on for the whole cluster."""

from __future__ import annotations

import asyncio


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
