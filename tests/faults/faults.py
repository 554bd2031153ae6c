"""What can go wrong with the calls and the processes of an operator: one small class a kind of fault."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Final, Protocol

from tests.faults.operators import HOST
from tests.faults.proxy import LEASES, Answer, Call, Forward, Reset

STATUS_REASONS: Final = {
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
}


class Hands(Protocol):
    """What a fault may do to the run beside its calls."""

    def kill(self) -> None:
        """SIGKILL to all operators, and one new one."""

    def second(self, host: str) -> None:
        """One more operator, on this host."""

    async def said(self, words: str) -> None:
        """Wait until an operator has said this in its log."""

    def cut(self, down: bool = False) -> None:
        """Cut all connections; `down`: and each new one, until cut again without."""


def refusal(status: int) -> Answer:
    """An error as the API server words it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"injected {status}",
        "reason": STATUS_REASONS[status],
        "code": status,
    }
    headers = {"Content-Type": "application/json"} | ({"Retry-After": "1"} if status == 429 else {})
    return Answer(status, json.dumps(body).encode(), headers)


@dataclass
class Fault:
    """Nothing goes wrong; `fired` counts how often something did."""

    lasts_seconds: ClassVar[float] = 0.0
    """How much longer than without it a step of the scenario may take."""
    fired: int = field(default=0, init=False)
    hands: Hands = field(init=False, repr=False)

    @property
    def says(self) -> str:
        """What an operator must say in its log."""
        return ""

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        """A mutating request, the `number`th of the run; 0 are those of the Lease, which come as time goes by."""
        return await forward()

    async def read(self, call: Call, forward: Forward) -> Answer:
        """A request that changes nothing, watches apart."""
        return await forward()

    async def watch(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The events of a watch."""
        async for line in lines:
            yield line


@dataclass
class Nth(Fault):
    """Something happens to the nth write of a kind, or of all but the Lease's."""

    at: int
    kind: str = field(default="", kw_only=True)
    _count: int = field(default=0, init=False)

    def met(self, call: Call) -> bool:
        """Count a write; whether it is the one."""
        ours = call.kind == self.kind if self.kind else call.kind != LEASES
        self._count += ours
        if not ours or self._count != self.at:
            return False
        self.fired += 1
        return True


@dataclass
class Kill(Nth):
    """The operator is killed: before the API server has the write, or before the answer arrives."""

    after: bool

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        if not self.met(call):
            return await forward()
        if self.after:
            await forward()
        self.hands.kill()
        raise Reset


@dataclass
class Refuse(Nth):
    """The write gets this answer; status 0 is a connection that is reset.

    `after`: the API server has carried it out nevertheless, and the truth about it is lost.
    """

    status: int
    after: bool = False

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        if not self.met(call):
            return await forward()
        if self.after:
            await forward()
        if self.status == 0:
            raise Reset
        return refusal(self.status)


@dataclass
class Sometimes(Fault):
    """One of so many calls gets this answer; which ones is the same in every run. Reads meet no 409 and no 422."""

    of: int
    status: int
    lasts_seconds = 60.0
    _chance: random.Random = field(default_factory=lambda: random.Random(1), init=False, repr=False)

    async def read(self, call: Call, forward: Forward) -> Answer:
        return await forward() if self.status in (409, 422) else await self.write(0, call, forward)

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        if self._chance.randrange(self.of):
            return await forward()
        self.fired += 1
        return refusal(self.status)


@dataclass
class Stale(Fault):
    """After a kill at the nth write the first lists are those of long ago, as from a cache that lags behind."""

    at: int
    kinds: tuple[str, ...]
    _old: dict[str, Answer] = field(default_factory=dict, init=False)
    _told: set[str] = field(default_factory=set, init=False)
    _killed: bool = field(default=False, init=False)

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        if number != self.at:
            return await forward()
        await forward()
        self._killed = True
        self.hands.kill()
        raise Reset

    async def read(self, call: Call, forward: Forward) -> Answer:
        key = f"{call.path} {sorted(call.query.items())} {call.headers.get('Accept')}"
        if self._killed and key in self._old and key not in self._told:
            self._told.add(key)
            self.fired += 1
            return self._old[key]
        answer = await forward()
        if not self._killed and call.lists and call.kind in self.kinds and answer.status == 200:
            self._old.setdefault(key, answer)
        return answer


@dataclass
class Down(Fault):
    """From the nth write on nobody answers for a while."""

    at: int
    seconds: float
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.lasts_seconds = self.seconds  # type: ignore[misc]

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        if number != self.at:
            return await forward()
        self.fired += 1
        self.hands.cut(down=True)
        self._timer = asyncio.get_running_loop().call_later(self.seconds, self.hands.cut)
        raise Reset


@dataclass
class Two(Fault):
    """A second operator starts at the nth write, by mistake; `writes` later both are ended and one goes on.

    On the first one's host it takes over, and the first ends by itself; on another it waits.
    """

    at: int
    host: str
    writes: int = 60

    @property
    def says(self) -> str:
        return "has taken over" if self.host == HOST else f"waiting: operator {HOST} is at work"

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        if number == self.at:
            self.fired += 1
            self.hands.second(self.host)
        if number == self.at + self.writes:
            await self.hands.said(self.says)
            self.hands.kill()
            raise Reset
        return await forward()


@dataclass
class Outside(Fault):
    """At the nth write something happens to the control plane itself; `what` is called in a thread."""

    at: int
    what: Callable[[], Any] = field(repr=False)
    lasts_seconds = 60.0
    _task: asyncio.Task[Any] | None = field(default=None, init=False)

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        if number == self.at:
            self.fired += 1
            self._task = asyncio.create_task(asyncio.to_thread(self.what))
        return await forward()


class Several(Fault):
    """Faults one after another: each sees the calls that the ones before it let through."""

    def __init__(self, *faults: Fault) -> None:
        self._faults = faults
        self.lasts_seconds = sum(fault.lasts_seconds for fault in faults)  # type: ignore[misc]

    @property
    def fired(self) -> int:  # type: ignore[override]
        """How many of them have fired."""
        return sum(fault.fired > 0 for fault in self._faults)

    @property
    def hands(self) -> Hands:  # type: ignore[override]
        """Those of all."""
        return self._faults[0].hands

    @hands.setter
    def hands(self, hands: Hands) -> None:
        for fault in self._faults:
            fault.hands = hands

    async def write(self, number: int, call: Call, forward: Forward) -> Answer:
        for fault in self._faults:
            forward = partial(fault.write, number, call, forward)
        return await forward()

    async def read(self, call: Call, forward: Forward) -> Answer:
        for fault in self._faults:
            forward = partial(fault.read, call, forward)
        return await forward()

    async def watch(self, call: Call, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        for fault in self._faults:
            lines = fault.watch(call, lines)
        async for line in lines:
            yield line
