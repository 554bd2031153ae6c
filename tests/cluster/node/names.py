"""The DNS of a cluster with real nodes: Services by name, as CoreDNS answers for them, and nothing of outside."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

from tests.cluster.api import Api, ApiError
from tests.cluster.layout import Layout
from tests.cluster.machines import DOMAIN

HEADER: Final = struct.Struct(">6H")
ANSWER: Final = struct.Struct(">HHHIH4s")
A, IN, POINTER = 1, 1, 0xC00C
NO_NAME: Final = 3
RESPONSE, AUTHORITATIVE, RECURSION_ASKED = 0x8000, 0x0400, 0x0100
TTL_SECONDS: Final = 5


class Names(asyncio.DatagramProtocol):
    """Answers A questions; each is one question to the API server."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep where to answer."""
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Answer beside others."""
        task = asyncio.ensure_future(self._answer(data, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, address: Any) -> None:
        name, kind, end = question(data)
        found = await asyncio.to_thread(self._find, name)
        assert self._transport is not None
        self._transport.sendto(reply(data[:end], found, kind), address)

    def _find(self, name: str) -> str | None:
        """The address of SERVICE.NAMESPACE.svc, with the cluster's domain or without."""
        words = name.lower().rstrip(".").removesuffix(f".{DOMAIN}").split(".")
        if len(words) != 3 or words[2] != "svc":
            return None
        api = Api(self._layout)
        try:
            service = api.call("GET", f"/api/v1/namespaces/{words[1]}/services/{words[0]}")
        except (ApiError, OSError):
            return None
        finally:
            api.close()
        return str(service["spec"]["clusterIP"])


def question(data: bytes) -> tuple[str, int, int]:
    """The name and the type that a message asks for, and where its question ends."""
    words, at = [], HEADER.size
    while length := data[at]:
        words.append(data[at + 1 : at + 1 + length].decode("ascii", errors="replace"))
        at += 1 + length
    kind, _ = struct.unpack_from(">2H", data, at + 1)
    return ".".join(words), kind, at + 5


def reply(asked: bytes, address: str | None, kind: int) -> bytes:
    """The answer to a message: an address, none of that type, or that there is no such name."""
    number, flags, *_ = HEADER.unpack_from(asked)
    flags = RESPONSE | AUTHORITATIVE | (flags & RECURSION_ASKED) | (0 if address else NO_NAME)
    answers = 1 if address and kind == A else 0
    head = HEADER.pack(number, flags, 1, answers, 0, 0) + asked[HEADER.size :]
    if not answers:
        return head
    return head + ANSWER.pack(POINTER, A, IN, TTL_SECONDS, 4, socket.inet_aton(str(address)))
