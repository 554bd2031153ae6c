"""An event loop whose time jumps to the next timer: days pass in milliseconds, always in the same order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class Stuck(Exception):
    """Nothing is left that could ever happen, and the main task is not done."""


class _Selector(selectors.SelectSelector):
    """Waits for nobody: time goes on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._virtual.now

    def stall(self, seconds: float) -> None:
        """Let time pass in which nothing of this process runs."""
        self._virtual.now += seconds


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end; what is still under way then is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)
