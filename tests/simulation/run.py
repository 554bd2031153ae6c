"""One history from its beginning to its end, with the operator's real processes."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from unittest.mock import patch

from modelmeter.cluster.clock import Clock
from modelmeter.cluster.paths import path
from modelmeter.control import counting, ticking
from modelmeter.control.operator import Operator
from modelmeter.errors import ClusterError, Expired
from modelmeter.handlers import _model_event, memo
from modelmeter.settings import Settings
from tests.simulation import loop, oracle
from tests.simulation.client import Connection, Faults, SimulatedClient
from tests.simulation.histories import SPAN, History
from tests.simulation.monitor import Monitor, read, requests
from tests.simulation.oracle import Answer
from tests.simulation.server import Server
from tests.simulation.tritons import Run, Session, Tritons
from tests.simulation.world import NAME, World

READ_SECONDS: Final = 3600.0
"""Instead of 5 to 60, for the same reason."""
TICK_SECONDS: Final = 7200.0
"""Instead of 5: the passes of a tick that finds nothing to do would cost most of the time."""
RESTART_SECONDS: Final = 7
MOMENT: Final = 1e-6
"""Seconds by which a timer may be early: else lives of no length would follow each other for ever."""
PATIENCE_SECONDS: Final = SPAN + 30 * 3600
"""After the model is deleted everything must come to its end within this."""
LOOK_SECONDS: Final = 1800


class Clocks(Clock):
    """The operator's clock: the API server's, plus what the history says that it is wrong by."""

    def __init__(self, server: Server, skews: tuple[tuple[int, int], ...]) -> None:
        self._server = server
        self._skews = sorted(skews)

    def __call__(self) -> datetime:
        passed = asyncio.get_running_loop().time()
        skew = next((seconds for since, seconds in reversed(self._skews) if since <= passed), 0)
        return self._server.now() + timedelta(seconds=skew)


class Process:
    """An operator process: runs, crashes where a fault says so, and comes back, unless it is an outage."""

    def __init__(
        self,
        server: Server,
        faults: Faults,
        clock: Clock,
        out: tuple[tuple[int, int], ...],
        tritons: Tritons,
        lag: int = 0,
    ) -> None:
        self._server = server
        self._tritons = tritons
        self._faults = faults
        self._clock = clock
        self._out = sorted(out)
        self._lag = lag
        self.connection: Connection | None = None

    async def run(self, until: float = float("inf")) -> None:
        """Live, again and again."""
        clock = asyncio.get_running_loop()
        while (now := clock.time() + MOMENT) < until:
            gap = next(((a, n) for a, n in self._out if a <= now < a + n), None)
            if gap is not None:
                await asyncio.sleep(sum(gap) - clock.time())
                continue
            stop = min([until, *(a for a, _ in self._out if a > now)])
            crashed = asyncio.Event()
            self.connection = Connection(self._server, self._faults, crashed.set, self._lag)
            life = asyncio.create_task(live(self.connection, self._clock, tritons=self._tritons))
            crash = asyncio.create_task(crashed.wait())
            left = None if stop == float("inf") else stop - clock.time()
            await asyncio.wait((life, crash), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self.connection.dead = True
            life.cancel()
            crash.cancel()
            # Not awaited one by one: our own cancellation would be taken for theirs, and the next life never ended.
            await asyncio.wait((life, crash))
            for task in (life, crash):
                if not task.cancelled():
                    task.result()
            await asyncio.sleep(RESTART_SECONDS if crashed.is_set() else 0)


async def live(connection: Connection, clock: Clock, statuses: bool = False, tritons: Tritons | None = None) -> None:
    """All of an operator but the question whether Triton answers.

    Statuses only where somebody looks at them, for they cost, and what Tritons count where there are any.
    """
    client = SimulatedClient(connection)
    operator = Operator(client, clock, Settings())
    await operator.prepare()
    async with asyncio.TaskGroup() as group:
        if tritons is not None:
            operator.counting._session = Session(tritons, NAME, lambda: connection.dead)  # type: ignore[assignment]
            group.create_task(operator.counting.queue.run(2))
        if statuses:
            group.create_task(operator.publishing.queue.run(1))
        for part in (
            operator.view.run(),
            operator.metering.queue.run(2),
            operator.provisioning.queue.run(1),
            operator.capturing.queue.run(1),
            operator.adopting.queue.run(1),
            operator.ticking.run(),
            _models(client, operator),
        ):
            group.create_task(part)


async def _models(client: SimulatedClient, operator: Operator) -> None:
    """What kopf does: list, watch, and tell the handler; what vanished between two lists is never told."""
    where = path("ModelDeployment")
    given = memo(client, operator)
    while True:
        with suppress(ClusterError):
            listed = json.loads(await client.get(where))
            version = listed["metadata"]["resourceVersion"]
            for body in listed["items"]:
                await _model_event({"type": "ADDED", "object": body}, given)
            while True:
                try:
                    async for line in client.watch(where, resourceVersion=version):
                        event = json.loads(line)
                        version = event["object"]["metadata"]["resourceVersion"]
                        await _model_event(event, given)
                except Expired:
                    break
                except ClusterError:
                    await asyncio.sleep(1)
        await asyncio.sleep(1)


@dataclass
class Result:
    """What a history came to."""

    ledger: Answer
    truth: Answer
    statement_writes: int
    largest_page: int
    requests: int
    uncaptured: int
    """Pods whose node was gone before anybody could note what decides their price."""
    counted: int
    """Requests on the ledger."""
    runs: tuple[Run, ...]
    """What the servers told to operators."""
    undisturbed: bool
    """One operator lived all the time, and saw everything when it happened."""
    tells_runs_apart: bool

    def difference(self) -> list[str]:
        """Where the ledger is not the truth; in money only where every pod's price could be known."""
        told = sum(run.told_at_most() for run in self.runs)
        in_time = sum(run.told_in_time() for run in self.runs) if self.undisturbed else 0
        within = in_time <= self.counted and (self.counted <= told or not self.tells_runs_apart)
        counts = [] if within else [f"{self.counted} requests of {in_time} to {told} told"]
        parts = ("usage",) if self.uncaptured else ("usage", "unpriced", "cost", "revisions")
        return counts + [
            f"{part} {name}: {ledger.get(name, 0)} on the ledger, {truth.get(name, 0)} in truth"
            for part in parts
            for ledger, truth in [(getattr(self.ledger, part), getattr(self.truth, part))]
            for name in sorted({*ledger, *truth})
            if ledger.get(name, 0) != truth.get(name, 0)
        ]


def play(history: History) -> Result:
    """Act out a history; AssertionError where an invariant breaks, or where it comes to no end."""
    results: list[Result] = []
    with (
        patch.object(ticking, "TICK_SECONDS", TICK_SECONDS),
        patch.object(counting, "SHORTEST_READ_SECONDS", READ_SECONDS),
        patch.object(counting, "LONGEST_READ_SECONDS", READ_SECONDS),
    ):
        loop.run(_play(history, results))
    return results[0]


async def _play(history: History, results: list[Result]) -> None:
    trouble = history.trouble
    server = Server(history.begin, lambda kind, now: _lag(trouble.lags, kind, now))
    faults = Faults(dict(trouble.writes), dict(trouble.reads), dict(trouble.pages))
    watched = Monitor(server)
    world = World(server, history)
    world.begin()
    clock = Clocks(server, trouble.skews)
    operators = [Process(server, faults, clock, trouble.outages, world.tritons)]
    tasks = [asyncio.create_task(operators[0].run())]
    for since, length, lag in trouble.twins:
        operators.append(twin := Process(server, faults, clock, (), world.tritons, lag))
        tasks.append(asyncio.create_task(_between(twin, since, min(since + length, history.length))))
    tasks += [asyncio.create_task(_break(operators, at, expired)) for at, expired in trouble.breaks]
    time = asyncio.get_running_loop().time
    while not world.finished():
        await asyncio.sleep(LOOK_SECONDS)
        world.check()
        for task in tasks:
            if task.done():
                task.result()
        watched.check()
        assert time() < history.length + PATIENCE_SECONDS, f"it comes to no end: {world.left()}"
    truth = world.close_truth()
    results.append(
        Result(
            ledger=read(server),
            truth=oracle.answer(truth),
            statement_writes=watched.writes,
            largest_page=watched.largest,
            requests=faults.written + faults.read,
            uncaptured=len(world.uncaptured),
            counted=requests(server),
            runs=tuple(world.tritons.runs),
            undisturbed=trouble.undisturbed,
            tells_runs_apart=trouble.tells_runs_apart,
        )
    )


def _lag(lags: tuple[tuple[str, int, int, int], ...], kind: str, now: float) -> float:
    return max((lag for name, since, length, lag in lags if name == kind and since <= now < since + length), default=0)


async def _between(process: Process, since: int, until: int) -> None:
    await asyncio.sleep(since)
    await process.run(until)


async def _break(operators: list[Process], at: int, expired: bool) -> None:
    await asyncio.sleep(at)
    for process in operators:
        if process.connection is not None:
            process.connection.break_watches(expired)
