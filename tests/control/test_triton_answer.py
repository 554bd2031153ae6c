"""What is said of a Triton that does not answer."""

from __future__ import annotations

import asyncio
import socket

from modelmeter.cluster.triton import model_ready


def test_nobody_listens() -> None:
    with socket.socket() as taken:  # bound, so nobody else listens there either
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        answer = asyncio.run(model_ready("127.0.0.1", port, "intent"))
    assert answer == (False, f"connection refused at 127.0.0.1:{port}")


def test_somebody_hangs_up() -> None:
    async def ask() -> tuple[tuple[bool, str], int]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await model_ready("127.0.0.1", port, "intent"), port

    answer, port = asyncio.run(ask())
    assert answer == (False, f"Server disconnected at 127.0.0.1:{port}")
