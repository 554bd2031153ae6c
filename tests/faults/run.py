"""One run: a namespace, a proxy, operators, the scenario, and the verdict."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults import check
from tests.faults.admin import Admin
from tests.faults.faults import Fault
from tests.faults.journal import CORE, Journal, Late
from tests.faults.operators import Operators
from tests.faults.oracle import BEGINNING, Oracle, Unended
from tests.faults.proxy import Proxy
from tests.faults.scenario import FIRST_PRICE, World, end, play, prepare

STEP_SECONDS: Final = 60.0

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
    log: Path


@dataclass(slots=True)
class Hands:
    """What a fault may do to its run."""

    operators: Operators
    proxy: Proxy

    def kill(self) -> None:
        self.operators.restart()

    def second(self) -> None:
        self.operators.start()

    def cut(self, down: bool = False) -> None:
        self.proxy.cut(down)


async def run(ground: Ground, make_fault: Callable[[], Fault]) -> Verdict:
    """Play the scenario under a fault."""
    namespace = f"run-{next(_numbers)}"
    began = time.monotonic()
    fault = make_fault()
    async with (
        Proxy(ground.rights, namespace, fault) as proxy,
        Journal(ground.admin, namespace) as journal,
    ):
        kubeconfig = ground.directory / f"{namespace}.kubeconfig"
        proxy.write_kubeconfig(kubeconfig)
        operators = Operators(kubeconfig, ground.directory / f"{namespace}.log", ground.environment)
        fault.hands = Hands(operators, proxy)
        world = World(namespace, ground.admin, journal, Oracle(journal, {BEGINNING: FIRST_PRICE}))
        world.patience_seconds = STEP_SECONDS + fault.lasts_seconds
        await prepare(world)
        operators.start()
        try:
            breaches = await _play(world)
        finally:
            await asyncio.to_thread(operators.stop)
        with suppress(FileNotFoundError):
            if "Traceback" in operators.log.read_text(encoding="utf-8"):
                breaches.append(f"a traceback in {operators.log}")
        with suppress(AssertionError, Unended):
            return Verdict(
                breaches, fault.fired, proxy.writes, time.monotonic() - began,
                check.difference_seconds(world), operators.log,
            )  # fmt: skip
        return Verdict(breaches, fault.fired, proxy.writes, time.monotonic() - began, 0, operators.log)


async def _play(world: World) -> list[str]:
    breaches: list[str] = []
    try:
        live = await play(world)
        breaches += check.while_it_lives(world, live)
        await end(world)
        breaches += check.after_the_end(world)
    except (Late, Unended) as error:
        breaches.append(f"{type(error).__name__}: {error}; {_left(world)}")
    return breaches


def _left(world: World) -> list[str]:
    return [
        f"{kind} {seen.name} {'deleted ' if seen.deleted else ''}{seen.last['metadata'].get('finalizers', '')}"
        for kind, objects in world.journal.objects.items()
        for seen in objects.values()
        if not seen.gone and seen.model
    ]


async def tidy(ground: Ground, namespace: str) -> None:
    """Drop a namespace, unwatched."""
    await ground.admin.remove(f"{CORE}/namespaces/{namespace}")
