"""The load: so many clients in a process of their own, each with a connection that it keeps; `Job` on stdin.

It must cost little, for it runs on the servers' processors: requests are bytes made before, and httptools parses.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import httptools
import uvloop

HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask, of whom, and for how long.

    bodies: of the requests. scores: what is to be answered to each.
    """

    port: int
    path: str
    bodies: list[str]
    scores: list[float]
    clients: int
    warm_up_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """What came back within the time, and how far the worst score was off; `total` counts the warm-up, too."""

    seconds: float
    latencies_seconds: list[float]
    total: int
    worst_difference: float


class Connection(asyncio.Protocol):
    """Asks one thing at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser: Any = None
        self._body = bytearray()
        self._answered: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Let the parser see it."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """No answer comes any more."""
        if self._answered and not self._answered.done():
            self._answered.set_exception(ConnectionError(f"the server hung up: {exc}"))

    def on_body(self, body: bytes) -> None:
        """A part of it."""
        self._body += body

    def on_message_complete(self) -> None:
        """The answer is there."""
        assert self._answered is not None
        status = self._parser.get_status_code()
        if status == 200:
            self._answered.set_result(bytes(self._body))
        else:
            self._answered.set_exception(ConnectionError(f"HTTP {status}: {bytes(self._body[:300])!r}"))

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer."""
        self._body.clear()
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


async def run(job: Job) -> Load:
    """Ask until the time is over."""
    requests = [
        f"POST {job.path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
        for body in job.bodies
    ]
    begins = time.perf_counter() + job.warm_up_seconds
    ends = begins + job.seconds
    latencies: list[float] = []
    answers: list[tuple[int, bytes]] = []

    async def client(number: int) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, HOST, job.port)
        order = random.Random(number).sample(range(len(requests)), len(requests))
        at, now = 0, time.perf_counter()
        while now < ends:
            place = order[at % len(order)]
            answers.append((place, await connection.ask(requests[place])))
            asked, now = now, time.perf_counter()
            if begins <= now < ends:
                latencies.append(now - asked)
            at += 1
        connection.close()

    async with asyncio.TaskGroup() as group:
        for number in range(job.clients):
            group.create_task(client(number))
    differences = (abs(json.loads(body)["score"] - job.scores[place]) for place, body in answers)
    return Load(job.seconds, latencies, len(answers), max(differences))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Job(**json.load(sys.stdin)))))))
