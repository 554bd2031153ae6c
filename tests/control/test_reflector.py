"""A list that runs beside the watch: neither takes the other back.

The API server is scripted, for the order of its answers is the point.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelmeter.cluster.reflector import Reflector
from modelmeter.errors import ClusterError
from modelmeter.meter.objects import Bare


def item(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": uid, "uid": uid, "resourceVersion": str(version)}}


def event(kind: str, uid: str, version: int) -> bytes:
    return json.dumps({"type": kind, "object": item(uid, version)}).encode()


class Script:
    """A list that answers when it is let, and a watch that says what it is given; None breaks it."""

    def __init__(self, version: int, *items: dict[str, Any]) -> None:
        self.answer = json.dumps({"metadata": {"resourceVersion": str(version)}, "items": items}).encode()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.watches = 0

    async def get(self, path: str, accept: str, **query: str) -> bytes:
        answer = self.answer
        await self.may_answer.wait()
        return answer

    async def watch(self, path: str, **query: str) -> AsyncIterator[bytes]:
        self.watches += 1
        while (line := await self.events.get()) is not None:
            yield line
        raise ClusterError(0, "WatchBroken", "broken")


class Seen:
    """A reflector over a script, its watch running, and what it told."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.told: list[tuple[str, int]] = []
        self.reflector: Reflector[Bare] = Reflector(script, "/api/v1/pods", Bare, self._note)  # type: ignore[arg-type]

    def _note(self, before: Bare | None, after: Bare | None) -> None:
        of = after or before
        assert of is not None
        self.told.append((of.metadata.uid, int(of.metadata.resource_version) if after else 0))

    @property
    def versions(self) -> dict[str, int]:
        return {uid: int(held.metadata.resource_version) for uid, held in self.reflector.objects.items()}

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    seen = Seen(Script(10, item("a", 5), item("b", 6)))
    running = asyncio.create_task(seen.reflector.run())
    await seen.settle()
    yield seen
    running.cancel()


async def test_a_slow_list_takes_nothing_back_that_the_watch_brought_meanwhile(seen: Seen) -> None:
    seen.script.may_answer.clear()
    listing = asyncio.create_task(seen.reflector.list())
    await seen.settle()
    for line in (event("MODIFIED", "a", 12), event("ADDED", "c", 13), event("DELETED", "b", 14)):
        seen.script.events.put_nowait(line)
    await seen.settle()
    seen.script.may_answer.set()
    await listing
    assert seen.versions == {"a": 12, "c": 13}
    assert seen.told == [("a", 5), ("b", 6), ("a", 12), ("c", 13), ("b", 0)]


async def test_a_late_watch_brings_nothing_back_that_a_list_knew(seen: Seen) -> None:
    seen.script.answer = json.dumps({"metadata": {"resourceVersion": "30"}, "items": [item("a", 20)]}).encode()
    await seen.reflector.list()
    for line in (event("MODIFIED", "a", 15), event("MODIFIED", "b", 16), event("ADDED", "late", 17)):
        seen.script.events.put_nowait(line)
    await seen.settle()
    assert seen.versions == {"a": 20}


async def test_a_restored_api_server_is_believed_whole(seen: Seen) -> None:
    seen.script.answer = json.dumps({"metadata": {"resourceVersion": "7"}, "items": [item("a", 3)]}).encode()
    await seen.reflector.list()
    assert seen.versions == {"a": 3}


async def test_a_broken_watch_goes_on(seen: Seen) -> None:
    seen.script.events.put_nowait(event("MODIFIED", "a", 12))
    seen.script.events.put_nowait(None)
    seen.script.events.put_nowait(event("MODIFIED", "a", 13))
    await seen.settle()
    assert seen.script.watches == 2
    assert seen.versions["a"] == 13
    assert seen.reflector.behind
    await seen.reflector.list()
    assert not seen.reflector.behind


async def test_a_watch_that_goes_back_is_not_believed(seen: Seen) -> None:
    seen.script.events.put_nowait(event("MODIFIED", "a", 13))
    seen.script.answer = json.dumps({"metadata": {"resourceVersion": "14"}, "items": [item("a", 13)]}).encode()
    seen.script.events.put_nowait(event("MODIFIED", "a", 12))
    await seen.settle()
    assert seen.versions == {"a": 13}
    seen.script.events.put_nowait(event("MODIFIED", "a", 15))
    await seen.settle()
    assert seen.versions == {"a": 15}
