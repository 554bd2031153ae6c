"""The product's own Client over the model API server: only the connection is replaced, and it fails as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec

from modelmeter.cluster.client import APPLY, JSON_PATCH, Client
from tests.simulation.server import Key, Refused, Server

REQUEST_SECONDS = 0.01
"""How long any request takes: enough for everything else to come in between."""

SLOW_SECONDS = 40.0
"""How long an answer may take: longer than a pod takes to end."""

STATUSES = {"conflict": (409, "Conflict"), "busy": (429, "TooManyRequests"), "error": (500, "InternalError")}


@dataclass
class Faults:
    """What goes wrong: by the ordinal of a write or read, counted over the whole history."""

    writes: dict[int, str] = field(default_factory=dict)
    """conflict, busy, error, reset (not done, no answer), lost (done, no answer), slow (done, answered late),
    conflicted (done, answered by a conflict), crash (before), crashed (after)."""
    reads: dict[int, str] = field(default_factory=dict)
    """busy, error, reset, crash."""
    pages: dict[int, str] = field(default_factory=dict)
    """As `writes`, of statements only."""
    written: int = 0
    paged: int = 0
    read: int = 0

    def next(self, method: str, path: str) -> str:
        """What happens to this request; "" is nothing."""
        if method == "GET":
            self.read += 1
            return self.reads.get(self.read, "")
        self.written += 1
        page = ""
        if "/coststatements" in path:
            self.paged += 1
            page = self.pages.get(self.paged, "")
        return page or self.writes.get(self.written, "")


class Connection:
    """What one operator process has of the server.

    `die` is called where the process is to crash; its watches show everything `lag` seconds late.
    """

    def __init__(self, server: Server, faults: Faults, die: Callable[[], None], lag: int = 0) -> None:
        self.server = server
        self.faults = faults
        self.lag = lag
        self.dead = False
        self._die = die
        self.broken = asyncio.Event()
        self.expired = False

    async def crash(self) -> None:
        """End the process here: no line of it runs on."""
        self.dead = True
        self._die()
        await asyncio.Event().wait()

    def break_watches(self, expired: bool) -> None:
        """End every watch; `expired`: and refuse the next ones with 410, so that all is listed again."""
        self.expired = expired
        self.broken.set()
        self.broken = asyncio.Event()


class SimulatedClient(Client):
    """Requests to the model API server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def _send(  # type: ignore[override]
        self, method: str, path: str, body: Any, query: dict[str, str], content: str, accept: str, timeout: object
    ) -> _Response:
        connection = self._connection
        await asyncio.sleep(REQUEST_SECONDS)
        if connection.dead:
            await asyncio.Event().wait()
        if query.get("watch"):
            return _Watch(connection, path, query)
        fault = connection.faults.next(method, path)
        if fault == "crash":
            await connection.crash()
        if fault == "reset":
            raise aiohttp.ClientConnectionError("reset by peer")
        if fault in STATUSES:
            return _refusal(fault)
        try:
            answer = handle(connection.server, method, path, body, query, content)
        except Refused as refused:
            said = json.dumps({"message": str(refused), "reason": refused.reason}).encode()
            return _Response(refused.status, said)
        if fault == "crashed":
            await connection.crash()
        if fault == "slow":
            await asyncio.sleep(SLOW_SECONDS)
            if connection.dead:
                await asyncio.Event().wait()
        if fault == "conflicted":
            return _refusal("conflict")
        if fault == "lost":
            raise aiohttp.ClientConnectionError("no answer")
        return _Response(200, answer)


def handle(server: Server, method: str, path: str, body: Any, query: dict[str, str], content: str) -> bytes:
    """One request."""
    key, _ = parse(path)
    if method == "GET" and not key.name:
        return server.list(key.plural, key.namespace, query.get("labelSelector", ""))
    if method == "DELETE":
        server.delete(key, uid=body["preconditions"]["uid"])
        return b"{}"
    if method == "GET":
        found = server.read(key)
    elif method == "POST":
        found = server.create(key.plural, body)
    elif method == "PUT":
        found = server.replace(key, body)
    elif content == APPLY:
        found = server.apply(key, body)
    elif content == JSON_PATCH:
        found = server.json_patch(key, body)
    else:
        found = server.merge(key, body)
    return msgspec.json.encode(found)


def parse(path: str) -> tuple[Key, dict[str, list[str]]]:
    """The key that a path names; its name is "" for a collection."""
    parts = urlsplit(path)
    rest = parts.path.strip("/").split("/")
    rest = rest[2:] if rest[0] == "api" else rest[3:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return Key(rest[0], namespace, rest[1] if len(rest) > 1 else ""), parse_qs(parts.query)


class _Response:
    """As much of aiohttp's response as the Client uses."""

    reason = ""

    def __init__(self, status: int, text: bytes) -> None:
        self.status = status
        self.headers = {"Retry-After": "1"}
        self._text = text

    async def __aenter__(self) -> _Response:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def read(self) -> bytes:
        return self._text

    def close(self) -> None:
        return None


def _refusal(fault: str) -> _Response:
    status, reason = STATUSES[fault]
    return _Response(status, json.dumps({"message": f"simulated {reason}", "reason": reason}).encode())


class _Watch(_Response):
    """A watch: a stream of lines until somebody breaks it."""

    def __init__(self, connection: Connection, path: str, query: dict[str, str]) -> None:
        super().__init__(410 if connection.expired else 200, b'{"message":"too old","reason":"Expired"}')
        connection.expired = False
        self.content = self
        self._connection = connection
        self._plural = parse(path)[0].plural
        self._query = query

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Lines as they are due."""
        broken = asyncio.ensure_future(self._connection.broken.wait())
        version, selector = int(self._query["resourceVersion"]), self._query.get("labelSelector", "")
        lines = self._connection.server.watch(self._plural, version, selector, self._connection.lag)
        try:
            while True:
                line = asyncio.ensure_future(anext(lines))  # type: ignore[call-overload]
                await asyncio.wait((line, broken), return_when=asyncio.FIRST_COMPLETED)
                if not line.done():
                    line.cancel()
                    raise aiohttp.ClientPayloadError("the watch broke")
                yield line.result()
        finally:
            broken.cancel()
