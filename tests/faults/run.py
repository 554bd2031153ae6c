"""One run: a namespace, a proxy, operators, the scenario, and the verdict."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults import check
from tests.faults.admin import Admin
from tests.faults.cases import RELEASE, Case
from tests.faults.journal import POLL_SECONDS, Journal, Late
from tests.faults.operators import Operators
from tests.faults.oracle import BEGINNING, Oracle, Unended
from tests.faults.proxy import Proxy
from tests.faults.scenario import (
    FIRST_PRICE,
    World,
    begin,
    carry,
    end,
    end_without_operator,
    play,
    prepare,
)

STEP_SECONDS: Final = 60.0
RELEASES: Final = 4
"""How often `modelmeter release` may fail."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all runs share: the control plane, the operator's rights, a folder for logs."""

    admin: Admin
    rights: Path
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the operators: PYTHONPATH names another tree of the product."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run."""

    breaches: list[str]
    fired: int
    writes: list[str]
    seconds: float
    off_seconds: int
    late_ends: int
    log: Path


@dataclass(slots=True)
class Hands:
    """What a fault may do to its run."""

    operators: Operators
    proxy: Proxy

    def kill(self) -> None:
        self.operators.restart()

    def second(self, host: str) -> None:
        self.operators.start(host)

    async def said(self, words: str) -> None:
        while words not in self.operators.log.read_text(encoding="utf-8"):
            await asyncio.sleep(POLL_SECONDS)

    def cut(self, down: bool = False) -> None:
        self.proxy.cut(down)


async def run(ground: Ground, case: Case) -> Verdict:
    """Play the scenario under the fault of a case."""
    namespace = f"run-{next(_numbers)}"
    began = time.monotonic()
    fault = case.fault()
    async with (
        Proxy(ground.rights, namespace, fault) as proxy,
        Journal(ground.admin, namespace) as journal,
    ):
        kubeconfig = ground.directory / f"{namespace}.kubeconfig"
        proxy.write_kubeconfig(kubeconfig)
        operators = Operators(kubeconfig, namespace, ground.directory / f"{namespace}.log", ground.environment)
        fault.hands = Hands(operators, proxy)
        world = World(namespace, ground.admin, journal, Oracle(journal, {BEGINNING: FIRST_PRICE}))
        world.patience_seconds = STEP_SECONDS + fault.lasts_seconds
        await prepare(world)
        operators.start()
        try:
            if case.name.startswith(RELEASE):
                breaches = await _release(world, operators, broken=case.name != RELEASE)
            else:
                breaches = await _play(world)
        finally:
            await asyncio.to_thread(operators.stop)
        log = operators.log.read_text(encoding="utf-8")
        if "Traceback" in log:
            breaches.append("a traceback in the operator's log")
        if fault.says not in log:
            breaches.append(f"the operator's log does not say {fault.says!r}")
        breaches += journal.moved
        if breaches:
            breaches += (f"by the oracle: {span}" for name in check.PODS for span in world.oracle.spans(name))
        seconds = time.monotonic() - began
        off, late = check.difference_seconds(world), check.late_ends(world)
        return Verdict(breaches, fault.fired, proxy.writes, seconds, off, late, operators.log)


async def _play(world: World) -> list[str]:
    try:
        live = await play(world)
        breaches = list(check.while_it_lives(world, live))
        await end(world)
        return [*breaches, *check.after_the_end(world)]
    except (Late, Unended) as error:
        return [f"{type(error).__name__}: {error}; left: {_left(world)}"]


async def _release(world: World, operators: Operators, broken: bool) -> list[str]:
    try:
        await begin(world)
        operators.kill()
        if broken and (breaches := await _refused(world, operators)):
            return breaches
        again = False
        for _ in range(RELEASES):
            # As the chart's hook does, which is a Job with a backoff.
            if await asyncio.to_thread(operators.release) == 0:
                break
            again = True
        else:
            return [f"release failed {RELEASES} times"]
        await world.catch_up()
        log = operators.log.read_text(encoding="utf-8") if again else ""
        breaches = list(check.released(world, log))
        await end_without_operator(world)
        return breaches
    except (Late, Unended) as error:
        return [f"{type(error).__name__}: {error}; left: {_left(world)}"]


async def _refused(world: World, operators: Operators) -> list[str]:
    """Of a page that cannot be written nothing is let go, nor of the other model; then it is mended."""
    await carry(world, "-1000000")
    status = await asyncio.to_thread(operators.release)
    breaches = list(check.held(world)) if status else ["release let go of a model that it could not post"]
    await carry(world, None)
    return breaches


def _left(world: World) -> list[str]:
    return [
        f"{kind} {seen.name} {'(deleted) ' if seen.deleted else ''}{seen.last['metadata'].get('finalizers', '')}"
        for kind, objects in world.journal.objects.items()
        for seen in objects.values()
        if not seen.gone and seen.model
    ]
