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
    """Keys to work on; `run` works on them with a number of workers until cancelled."""

    def __init__(self, name: str, work: Callable[[str], Awaitable[None]], pause_seconds: float = 0) -> None:
        self._name = name
        self._work = work
        self._pause_seconds = pause_seconds
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wake = asyncio.Condition()
        self._wakers: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Keys that wait or are worked on."""
        return len(self._waiting) + len(self._working)

    def add(self, key: str) -> None:
        """Work on `key` soon; once more if it is being worked on now."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = None
            task = asyncio.get_running_loop().create_task(self._notify())
            self._wakers.add(task)
            task.add_done_callback(self._wakers.discard)

    def add_later(self, key: str, seconds: float) -> None:
        """Work on `key` in a while, unless it is added before; the latest call holds."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self.add, key)

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _notify(self) -> None:
        async with self._wake:
            self._wake.notify()

    async def _worker(self) -> None:
        while True:
            async with self._wake:
                await self._wake.wait_for(lambda: bool(self._waiting))
                key, _ = self._waiting.popitem(last=False)
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
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)
            await asyncio.sleep(self._pause_seconds)

    def _retry(self, key: str, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        seconds = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** (failures - 1))
        if not isinstance(error, ClusterError) or failures > 1:
            log.warning("%s %s: %s; again in %.0f s", self._name, key, error, seconds)
        self.add_later(key, seconds)
