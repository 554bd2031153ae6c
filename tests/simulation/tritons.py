"""Triton at the pods: what each run of a server has counted at any moment, and what it told to anybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

LOADING_SECONDS: Final = 2
"""A server answers so long after it has begun; a real one takes longer."""
SECONDS_PER_REQUEST: Final = 3
TELLING_SECONDS: Final = 2
"""What is told in the last seconds of a run may come too late to be written."""


@dataclass
class Run:
    """One run of a server, in seconds of the history."""

    began: float
    ended: float | None = None
    told: list[tuple[float, int]] = field(default_factory=list)
    """(when, how many requests) to any operator."""

    def requests(self, now: float) -> int:
        """What it has answered by then."""
        until = now if self.ended is None else min(now, self.ended)
        return max(0, int(until - self.began - LOADING_SECONDS) // SECONDS_PER_REQUEST)

    def told_at_most(self) -> int:
        """The largest count that it told."""
        return max((count for _, count in self.told), default=0)

    def told_in_time(self) -> int:
        """The same, without its last seconds."""
        ended = self.ended if self.ended is not None else float("inf")
        return max((count for at, count in self.told if at <= ended - TELLING_SECONDS), default=0)


class Tritons:
    """All runs of all servers, by the address of their pod."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._at: dict[str, Run] = {}

    def begin(self, address: str, loaded: bool = False) -> None:
        """A server begins, and the one before has ended; or it began some time ago, and is seen to be ready now."""
        self.end(address)
        began = asyncio.get_running_loop().time() - (LOADING_SECONDS if loaded else 0)
        run = self._at[address] = Run(began)
        self.runs.append(run)

    def end(self, address: str) -> None:
        """The server ends, if one runs."""
        run = self._at.pop(address, None)
        if run is not None:
            run.ended = asyncio.get_running_loop().time()

    def answer(self, address: str, model: str) -> bytes:
        """GET /v2/models/stats."""
        now = asyncio.get_running_loop().time()
        run = self._at.get(address)
        if run is None or now < run.began + LOADING_SECONDS:
            raise aiohttp.ClientConnectionError("refused")
        count = run.requests(now)
        run.told.append((now, count))
        each = {"count": count, "ns": 1000 * count}
        stats = {"success": {"count": count, "ns": 5000 * count}, "compute_infer": each}
        entry = {"inference_count": count, "execution_count": count, "inference_stats": stats}
        sizes = [{"batch_size": 1, "compute_infer": each}]
        names = (model, f"{model}-bert")
        return json.dumps({"model_stats": [{**entry, "name": name, "batch_stats": sizes} for name in names]}).encode()


class Session:
    """As much of aiohttp's session as reading needs; `dead` says whether the process that has it has crashed."""

    def __init__(self, tritons: Tritons, model: str, dead: Any) -> None:
        self._tritons = tritons
        self._model = model
        self._dead = dead

    def get(self, url: str, **_: object) -> _Answer:
        """One request."""
        return _Answer(self._tritons, urlsplit(url).hostname or "", self._model, self._dead)


class _Answer:
    status = 200

    def __init__(self, tritons: Tritons, address: str, model: str, dead: Any) -> None:
        self._tritons = tritons
        self._address = address
        self._model = model
        self._dead = dead
        self._body = b""
        self.content = self

    async def __aenter__(self) -> _Answer:
        await asyncio.sleep(0.005)
        if not self._dead():
            self._body = self._tritons.answer(self._address, self._model)
        await asyncio.sleep(0.005)
        if self._dead():
            await asyncio.Event().wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def iter_any(self) -> AsyncIterator[bytes]:
        """What it says."""
        yield self._body
