"""Stands between operators and the API server: counts writes, and lets a fault do with each call as it likes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp
import yaml
from aiohttp import web

from tests.faults.admin import Access
from tests.faults.scope import scoped

PASSED: Final = ("Authorization", "Accept", "Content-Type")
ANSWERED: Final = ("Content-Type", "Retry-After")
LEASES: Final = "leases"


class Reset(Exception):
    """The client's connection is to be cut without an answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an operator."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def mutates(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def watches(self) -> bool:
        """Whether it is a watch."""
        return self.query.get("watch") in ("true", "1")

    @property
    def kind(self) -> str:
        """Plural of what it is about: "pods"."""
        return self._parts[0]

    @property
    def lists(self) -> bool:
        """Whether it asks for all of a kind."""
        return self.method == "GET" and len(self._parts) == 1

    @property
    def _parts(self) -> list[str]:
        """Kind, name and subresource."""
        parts = self.path.split("/")
        rest = parts[3:] if parts[1] == "api" else parts[4:]
        return (rest[2:] if rest[:1] == ["namespaces"] and len(rest) > 2 else rest) or [""]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Forward = Callable[[], Awaitable[Answer]]


class Meddler(Protocol):
    """What a fault may do; see faults.Fault, which does nothing."""

    async def write(self, number: int, call: Call, forward: Forward) -> Answer: ...

    async def read(self, call: Call, forward: Forward) -> Answer: ...

    def watch(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]: ...


class Proxy:
    """Plain HTTP on 127.0.0.1; as a context manager it listens inside the block."""

    def __init__(self, kubeconfig: Path, namespace: str, meddler: Meddler) -> None:
        self.writes: list[str] = []
        """Every mutating request, with its answer, in the order of arrival; not the Lease's, which time makes."""
        self._access = Access.read(kubeconfig)
        self._namespace = namespace
        self._meddler = meddler
        self._numbers = itertools.count(1)
        self._down = False
        self._open: set[asyncio.Transport] = set()

    async def __aenter__(self) -> Proxy:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._access.trust(), limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("Accept-Encoding",),
        )
        self._runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.cut()
        await self._runner.cleanup()
        await self._session.close()

    def write_kubeconfig(self, path: Path) -> None:
        """Access through this proxy with the token that `kubeconfig` holds."""
        port = self._runner.addresses[0][1]
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "operator", "user": {"token": self._access.token}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")

    def cut(self, down: bool = False) -> None:
        """Cut every connection; while `down`, new ones are cut too."""
        self._down = down
        for transport in list(self._open):
            transport.abort()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._open.add(transport)
        try:
            if self._down:
                raise Reset
            path, query = request.path, dict(request.query)
            if request.method == "GET":
                path, query = scoped(path, query, self._namespace)
            headers = {name: request.headers[name] for name in PASSED if name in request.headers}
            call = Call(request.method, path, query, headers, await request.read())
            if call.watches:
                return await self._watch(request, call)
            # What has arrived is carried out, also where the client is dead by now.
            answer = await asyncio.shield(asyncio.create_task(self._answer(call)))
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        except (Reset, aiohttp.ClientError):
            transport.abort()
            return web.Response()
        finally:
            self._open.discard(transport)

    async def _answer(self, call: Call) -> Answer:
        if not call.mutates:
            return await self._meddler.read(call, lambda: self._forward(call))
        if call.kind == LEASES:
            return await self._meddler.write(0, call, lambda: self._forward(call))
        number = next(self._numbers)
        self.writes.append(f"{call}: no answer")
        try:
            answer = await self._meddler.write(number, call, lambda: self._forward(call))
        except Reset:
            self.writes[number - 1] = f"{call}: reset"
            raise
        self.writes[number - 1] = f"{call}: {answer.status}"
        return answer

    async def _forward(self, call: Call) -> Answer:
        async with self._request(call) as answer:
            headers = {name: answer.headers[name] for name in ANSWERED if name in answer.headers}
            return Answer(answer.status, await answer.read(), headers)

    async def _watch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        async with self._request(call) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await response.prepare(request)
            if answer.status != 200:
                await response.write(await answer.read())
                return response
            with suppress(ConnectionResetError):
                async for line in self._meddler.watch(call, _lines(answer)):
                    await response.write(line + b"\n")
            return response

    def _request(self, call: Call) -> Any:
        url = f"{self._access.server}{call.path}"
        return self._session.request(call.method, url, params=call.query, data=call.body or None, headers=call.headers)


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in answer.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
