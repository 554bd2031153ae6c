"""Many runs at once on one control plane, and the table of what became of them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelmeter.report.table import table
from tests.cluster.chart import install
from tests.cluster.cluster import Cluster
from tests.cluster.pools import NodePool
from tests.faults.admin import Admin
from tests.faults.cases import Case, Plane
from tests.faults.hurry import hurry
from tests.faults.run import Ground, Verdict, run

POOLS: Final = (
    NodePool(name="l4", nodes=10, gpus_per_node=16, pods=500),
    NodePool(name="cpu", nodes=1, gpus_per_node=0),
)
PARALLEL: Final = 2 * (os.cpu_count() or 1)
HEADER: Final = ("CLASS", "POINTS", "INJECTED", "RUNS", "S OFF", "LATE ENDS", "BREACHES")


@dataclass(frozen=True, slots=True)
class Done:
    """A case and its verdict."""

    case: Case
    verdict: Verdict


@asynccontextmanager
async def ground(directory: Path, environment: Mapping[str, str]) -> AsyncIterator[tuple[Ground, Plane]]:
    """A control plane with the chart, and pods that are quick."""
    with Cluster.up(directory / "cluster", POOLS) as cluster:
        rights = install(cluster)
        async with Admin(cluster.kubeconfig) as admin:
            await hurry(admin)
            plane = Plane(lambda: cluster.restart("etcd"), lambda: cluster.restart("kube-apiserver"))
            yield Ground(admin, rights, directory, environment), plane


async def play(on: Ground, cases: Iterable[Case], parallel: int = PARALLEL) -> list[Done]:
    """Run all cases; those that must be alone come last, one by one."""
    cases = list(cases)
    done: list[Done] = []
    places = asyncio.Semaphore(parallel)

    async def one(case: Case) -> None:
        async with places:
            verdict = await run(on, case)
        done.append(Done(case, verdict))
        _say(len(done), len(cases), done[-1])

    await asyncio.gather(*(one(case) for case in cases if not case.alone))
    for case in cases:
        if case.alone:
            await one(case)
    return done


def _say(number: int, of: int, done: Done) -> None:
    verdict = done.verdict
    print(
        f"{number}/{of} {done.case.name} {done.case.point}: {'ok' if not verdict.breaches else 'BREACH'},"
        f" {len(verdict.writes)} writes, {verdict.seconds:.0f} s",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    for breach in verdict.breaches:
        print(f"    {breach}  ({verdict.log})", file=sys.stderr, flush=True)


def render(done: Iterable[Done]) -> str:
    """One row a class."""
    classes: dict[str, list[Done]] = {}
    for entry in done:
        classes.setdefault(entry.case.name, []).append(entry)
    rows = [
        (
            name,
            str(len({entry.case.point for entry in entries})),
            str(sum(entry.verdict.fired for entry in entries)),
            str(len(entries)),
            str(sum(entry.verdict.off_seconds for entry in entries)),
            str(sum(entry.verdict.late_ends for entry in entries)),
            str(sum(bool(entry.verdict.breaches) for entry in entries)),
        )
        for name, entries in classes.items()
    ]
    rows.append(("all", *(str(sum(int(row[column]) for row in rows)) for column in range(1, 7))))
    return table(HEADER, rows, frozenset(range(1, 7)))
