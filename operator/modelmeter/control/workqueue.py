"""A queue of keys: each at most once in it, each worked on by one worker at a time (client-go's workqueue)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from modelmeter.errors import ClusterError, ModelmeterError

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 1.0
LAST_RETRY_SECONDS: Final = 60.0


class WorkQueue:
    """Keys to work on; `run` works on them with a number of workers until cancelled.

    A key that was worked on rests for `rest_seconds`: what is added meanwhile is one piece of work after that.
    """

    def __init__(self, name: str, work: Callable[[str], Awaitable[None]], rest_seconds: float = 0.0) -> None:
        self._name = name
        self._work = work
        self._rest_seconds = rest_seconds
        self._urgent: OrderedDict[str, None] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._working: set[str] = set()
        self._resting: set[str] = set()
        self._again: dict[str, bool] = {}
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait or are worked on."""
        return len(self._urgent) + len(self._waiting) + len(self._working)

    def add(self, key: str, urgent: bool = False) -> None:
        """Work on `key` in its turn, `urgent` before all that is not; once more if it is being worked on or rests."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
            if key in self._failures:
                # Tried before its time: if that fails too, it waits as long as now, not longer.
                self._failures[key] -= 1
        if key in self._working or key in self._resting:
            self._again[key] = urgent or self._again.get(key, False)
            return
        if urgent:
            self._waiting.pop(key, None)
            self._urgent.setdefault(key)
        elif key not in self._urgent:
            self._waiting.setdefault(key)
        self._filled.set()

    def add_later(self, key: str, seconds: float, urgent: bool = False) -> None:
        """Work on `key` in a while, unless it is added before; the latest call holds."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._due, key, urgent)

    def _due(self, key: str, urgent: bool) -> None:
        del self._timers[key]
        self.add(key, urgent)

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            while not (self._urgent or self._waiting):
                self._filled.clear()
                await self._filled.wait()
            key, _ = (self._urgent or self._waiting).popitem(last=False)
            self._working.add(key)
            try:
                await self._work(key)
                self._failures.pop(key, None)
            except ModelmeterError as error:
                self._retry(key, error)
            except Exception as error:
                # A bug in one model's pass must not stop the others' metering.
                log.exception("%s %s failed", self._name, key)
                self._retry(key, error)
            finally:
                self._working.discard(key)
                if self._rest_seconds:
                    self._resting.add(key)
                    asyncio.get_running_loop().call_later(self._rest_seconds, self._rested, key)
                else:
                    self._rested(key)

    def _rested(self, key: str) -> None:
        self._resting.discard(key)
        if key in self._again:
            self.add(key, urgent=self._again.pop(key))

    def _retry(self, key: str, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        seconds = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** (failures - 1))
        if not isinstance(error, ClusterError) or failures > 1:
            log.warning("%s %s: %s; again in %.0f s", self._name, key, error, seconds)
        self.add_later(key, seconds)
