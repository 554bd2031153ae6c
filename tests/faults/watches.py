"""What can go wrong with an operator's watches."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from tests.faults.faults import Fault, refusal
from tests.faults.proxy import Call, Reset

HELD_SECONDS: Final = 1.0


@dataclass
class Events(Fault):
    """Something happens to the events of watches of one kind, from the `first`th of the run on."""

    kind: str
    first: int = 1
    _seen: int = field(default=0, init=False)

    async def watch(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            self._seen += call.kind == self.kind and not _bookmark(line)
            if call.kind == self.kind and self._seen >= self.first:
                self.fired += 1
                async for changed in self.meet(line, lines):
                    yield changed
                return
            yield line

    async def meet(self, line: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """What becomes of the first event and of all that follow; the watch ends with it."""
        yield line
        async for line in lines:
            yield line


@dataclass
class Delay(Events):
    """Each event comes late."""

    seconds: float = 3.0
    lasts_seconds = 30.0

    async def meet(self, line: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arrived.put_nowait((loop.time(), line))

        async def read() -> None:
            async for line in lines:
                arrived.put_nowait((loop.time(), line))
            arrived.put_nowait((loop.time(), b""))

        reading = asyncio.create_task(read())
        try:
            while True:
                at, line = await arrived.get()
                await asyncio.sleep(at + self.seconds - loop.time())
                if not line:
                    return
                yield line
        finally:
            reading.cancel()


@dataclass
class Duplicate(Events):
    """Each event comes twice."""

    async def meet(self, line: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield line
        yield line
        async for line in lines:
            yield line
            yield line


@dataclass
class Reorder(Events):
    """Of each two events, the second comes first, where it comes within a second."""

    lasts_seconds = 30.0

    async def meet(self, line: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        held: bytes | None = line
        following: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(_next(lines))
                done, _ = await asyncio.wait({following}, timeout=HELD_SECONDS if held else None)
                if not done:
                    yield held  # type: ignore[misc]
                    held = None
                    continue
                line_or_end, following = following.result(), None
                if line_or_end is None:
                    return
                if held is None and not _bookmark(line_or_end):
                    held = line_or_end
                    continue
                yield line_or_end
                if held:
                    self.fired += 1
                    yield held
                held = None
        finally:
            if following:
                following.cancel()


@dataclass
class Dropped(Events):
    """An event and all of the next moments are lost, then the watch ends: with 410 Gone, or without a word."""

    gone: bool = True
    seconds: float = 0.0

    async def meet(self, line: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.first = sys.maxsize
        await asyncio.sleep(self.seconds)
        if self.gone:
            yield json.dumps({"type": "ERROR", "object": json.loads(refusal(410).body)}).encode()


@dataclass
class Closed(Events):
    """Every watch ends after its first event."""

    async def meet(self, line: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        yield line


@dataclass
class Hang(Events):
    """A watch says nothing any more, not even a bookmark, and stays open; it is cut after so many seconds."""

    seconds: float = 8.0
    lasts_seconds = 60.0

    async def meet(self, line: bytes, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.first = sys.maxsize
        await asyncio.sleep(self.seconds)
        raise Reset
        yield b""  # a generator


def _bookmark(line: bytes) -> bool:
    return line.startswith(b'{"type":"BOOKMARK"')


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)
