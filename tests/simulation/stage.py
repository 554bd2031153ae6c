"""What everybody who acts in a history stands on: the server, the time, the truth, and whether the model is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from tests.simulation.histories import History
from tests.simulation.oracle import Truth
from tests.simulation.server import Key, Server

NAMESPACE: Final = "search"
NAME: Final = "intent"
UID: Final = "0f0f0f0f-5eed-4000-8000-000000000000"
LABELS: Final = {
    "app.kubernetes.io/managed-by": "modelmeter",
    "modelmeter.dev/model": NAME,
    "modelmeter.dev/model-uid": UID,
}
"""As on what the operator makes: the last page waits for it."""
METERING: Final = "modelmeter.dev/metering"
GIB: Final = 2**30


class Stage:
    """`truth` grows with what happens; `over` is set once nothing of the model is to go on."""

    def __init__(self, server: Server, history: History) -> None:
        self.server = server
        self.history = history
        self.over = asyncio.Event()
        self.truth = Truth(server.begin)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, story: Coroutine[Any, Any, Any]) -> None:
        """Let it happen beside everything else."""
        self._tasks.append(asyncio.get_running_loop().create_task(story))

    def check(self) -> None:
        """Raise what went wrong in here."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def until(self, second: int) -> None:
        """A quarter of a second into that second of the history."""
        await asyncio.sleep(max(0.0, second + 0.25 - asyncio.get_running_loop().time()))

    async def pause(self, seconds: int) -> bool:
        """Wait; True where the model was torn down meanwhile."""
        if seconds > 0 and not self.over.is_set():
            try:
                await asyncio.wait_for(self.over.wait(), seconds)
            except TimeoutError:
                return False
        return self.over.is_set()

    def lives(self, key: Key) -> bool:
        """Whether there is such an object, and nobody has deleted it."""
        item = self.server.objects.get(key)
        return item is not None and "deletionTimestamp" not in item["metadata"]
