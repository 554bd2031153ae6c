"""What pods answer over HTTP, scripted: silence matters. A pod pN is at 127.2.0.N."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

from modelmeter.control.view import View


class Operating(Protocol):
    """What runs a part of the operator."""

    view: View


R = TypeVar("R", bound=Operating)


class Servers:
    """HTTP servers at the pods' addresses, all on one port; `says` may be changed, None: never answers."""

    def __init__(self, path: str, usually: bytes) -> None:
        """`usually` is what a pod answers at the path of which `says` says nothing."""
        self._path = path
        self._usually = usually
        self.port = 0
        self.says: dict[str, bytes | None] = {}
        self.asked: list[str] = []
        self.silent = 0
        """Requests that wait for an answer in vain."""

    @asynccontextmanager
    async def at(self, *numbers: int) -> AsyncIterator[Servers]:
        """Serve the pods of these numbers."""
        servers = []
        for number in numbers:
            address = f"127.2.0.{number}"
            server = await asyncio.start_server(self._serve, address, self.port, reuse_address=True)
            self.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        try:
            yield self
        finally:
            for server in servers:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(f"GET {self._path} ".encode()), head
        name = f"p{writer.get_extra_info('sockname')[0].rpartition('.')[2]}"
        self.asked.append(name)
        body = self.says.get(name, self._usually)
        if body is None:
            self.silent += 1
            with suppress(asyncio.CancelledError):
                await reader.read()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()


async def act(
    servers: Servers,
    numbers: range,
    make: Callable[[int], R],
    run: Callable[[R], Coroutine[Any, Any, None]],
    story: Callable[[Servers, R], Awaitable[None]],
) -> None:
    """Act a story out while what is made for the servers' port runs beside the pods of these numbers."""
    async with servers.at(*numbers):
        running = make(servers.port)
        await running.view.list()
        task = asyncio.create_task(run(running))
        try:
            await story(servers, running)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
