"""What is measured, step by step; each step adds its figures."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from modelmeter.cluster.client import Client
from modelmeter.meter.objects import Pod
from modelmeter.settings import Settings
from tests.bench import latency, load
from tests.bench.figures import Figure, Goal
from tests.bench.process import cpu_seconds, peak_rss_mib
from tests.bench.worker import Sample, sample
from tests.cluster.chart import SYSTEM
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator

NAME: Final = "search-intent"
REPLICAS: Final = 25
ENDING: Final = 5
"""Replicas of each model that end at once."""
STEADY_SECONDS: Final = 60
LATENCY_SECONDS: Final = 20
BURST: Final = "burst"
CHILDREN: Final = ("PersistentVolumeClaim", "ConfigMap", "Service", "Deployment")


class BenchError(Exception):
    """What was measured is wrong, so its speed does not count."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many models of REPLICAS pods, and how many more come at once."""

    models: int
    burst: int

    @property
    def pods(self) -> int:
        """Metered pods."""
        return self.models * REPLICAS

    @property
    def namespaces(self) -> list[str]:
        """One for each model, so that all may have the same name."""
        return [f"team-{index}" for index in range(self.models)]


@dataclass(slots=True)
class Bench:
    """The cluster, the operator, and the figures so far."""

    cluster: Cluster
    operator: Operator
    client: Client
    sizes: Sizes
    figures: list[Figure] = field(default_factory=list)

    def add(self, *figure: Any) -> None:
        """Keep a figure."""
        self.figures.append(Figure(*figure))

    async def sample(self, name: str, number: int = 0) -> Sample:
        """Do one of the worker's works, in a process of its own."""
        return await asyncio.to_thread(sample, self.cluster.kubeconfig, name, number)

    async def restart(self) -> None:
        """A fresh operator, after SIGKILL."""
        self.operator.kill()
        await asyncio.to_thread(self.operator.start)


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


async def fill(bench: Bench) -> None:
    """Models with all their replicas running; controllers, scheduler and KWOK make the pods."""
    say(f"{bench.sizes.models} models with {REPLICAS} replicas each")
    await load.make(bench.client, [load.model(namespace, NAME, REPLICAS) for namespace in bench.sizes.namespaces])

    async def ready() -> bool:
        statuses = await load.statuses(bench.client)
        return all(status.get("readyReplicas") == REPLICAS for status in statuses.values())

    await load.until("all replicas ready", ready, every_seconds=2)


async def cold_start(bench: Bench) -> None:
    """From nothing to every status right."""
    bench.operator.kill()
    bare = await bench.sample("list_pods")
    known = await bench.sample("prepare")
    bench.add("cold start: all is known", "s", known.wall_seconds, bare.wall_seconds,
              "bare LIST + decode of the pods", Goal("ratio", 3))  # fmt: skip

    say("a cold start")
    before, began = datetime.now(UTC), time.perf_counter()
    start = asyncio.create_task(asyncio.to_thread(bench.operator.start))

    async def fresh() -> bool:
        moments = [load.as_of(status) for status in (await load.statuses(bench.client)).values()]
        return all(moment is not None and moment >= before for moment in moments)

    await load.until("fresh statuses", fresh)
    seconds = time.perf_counter() - began
    await start
    await check(bench)
    budget = 3 * bare.wall_seconds + bench.sizes.models / Settings().status_writes_per_second
    bench.add("cold start: all statuses right", "s", seconds, budget,
              "3 bare LISTs + status writes at their rate", Goal("ratio", 1))  # fmt: skip


async def check(bench: Bench) -> None:
    """Each status' GPU-seconds are those of its pods' own timestamps."""
    begins: dict[str, list[datetime]] = {}
    for pod in await load.pods(bench.client):
        begins.setdefault(pod.metadata.namespace, []).extend(scheduled(pod))
    for namespace, status in (await load.statuses(bench.client)).items():
        moment = load.as_of(status)
        assert moment is not None
        expected = sum(int((moment - begin).total_seconds()) for begin in begins[namespace])
        seen = int(status["usage"]["gpuSeconds"])
        if seen != expected:
            raise BenchError(f"{namespace}: {seen} GPU-seconds in its status, {expected} by its pods' timestamps")


def scheduled(pod: Pod) -> Iterator[datetime]:
    """When it got its node."""
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.last_transition_time is not None:
            yield condition.last_transition_time


async def steady(bench: Bench) -> None:
    """A minute in which nothing happens but that time goes on."""
    say(f"{STEADY_SECONDS} s of steady state")
    await asyncio.sleep(STEADY_SECONDS)  # what the start left to do is done
    pid = bench.operator.pid
    before = cpu_seconds(pid)
    await asyncio.sleep(STEADY_SECONDS)
    cpu = cpu_seconds(pid) - before
    peak = peak_rss_mib(pid)
    bare, written = await bench.sample("list_pods"), await bench.sample("status")
    share, bare_share = (100 * seconds / STEADY_SECONDS for seconds in (cpu, written.cpu_seconds))
    bench.add("steady state: CPU of a core", "%", share, bare_share,
              "one bare status patch a model in the minute", Goal("measured", 3))  # fmt: skip
    bench.add("steady state: peak RSS", "MiB", peak, bare.peak_rss_mib,
              "bare LIST + decode of the pods", Goal("measured", 120))  # fmt: skip


async def release(bench: Bench) -> None:
    """Pods that ended while the operator was held up: settled on their pages, then released."""
    say(f"{ENDING} pods of each model end")
    os.kill(bench.operator.pid, signal.SIGSTOP)
    ending = await end_pods(bench)
    deletions = load.Deletions(bench.client)
    watch = await deletions.start()
    began = time.perf_counter()
    os.kill(bench.operator.pid, signal.SIGCONT)
    await deletions.reach(ending)
    rate = ending / (time.perf_counter() - began)
    watch.cancel()

    bench.operator.kill()
    await end_pods(bench)
    bare = await bench.sample("release")
    bench.add("pods settled and released", "/s", rate, bare.number / bare.wall_seconds,
              "bare finalizer patches", Goal("ratio", 0.6, at_least=True))  # fmt: skip
    await asyncio.to_thread(bench.operator.start)


async def release_latency(bench: Bench) -> None:
    """Pods that end at a steady rate, each released as soon as it is settled."""
    number = min(LATENCY_SECONDS * latency.RATE, bench.sizes.pods // 3)
    say(f"{number} pods end, {latency.RATE} a second")
    ours = latency.middle_and_p99(await latency.measure(bench.client, number))
    await all_ready(bench)
    bench.operator.kill()
    bare = asyncio.create_task(bench.sample("release_seen", 1 + number))
    await latency.measure(bench.client, 1)  # it watches from here on
    reference = latency.middle_and_p99(await latency.measure(bench.client, number))
    await bare
    await asyncio.to_thread(bench.operator.start)
    await all_ready(bench)
    for name, measured, beside, bound in zip(("median", "p99"), ours, reference, (2, 5), strict=True):
        bench.add(f"release of an ended pod: {name}", "s", measured, beside,
                  f"bare finalizer patches, {latency.RATE}/s too", Goal("measured", bound))  # fmt: skip


async def all_ready(bench: Bench) -> None:
    """Wait until every pod that ended is replaced."""

    async def ready() -> bool:
        return sum(map(load.ready, await load.pods(bench.client))) == bench.sizes.pods

    await load.until("all pods replaced", ready, every_seconds=2)


async def end_pods(bench: Bench) -> int:
    """Delete ENDING pods of each model, wait until they have ended and are replaced; how many."""
    await load.delete_pods(bench.client, ENDING)
    number = bench.sizes.models * ENDING

    async def ended() -> bool:
        pods = await load.pods(bench.client)
        ready = sum(map(load.ready, pods))
        return sum(map(load.held, pods)) == number and ready == bench.sizes.pods

    await load.until(f"{number} pods ended and replaced", ended, every_seconds=2)
    return number


async def burst(bench: Bench) -> None:
    """Many new models at once, beside those that are there."""
    number = bench.sizes.burst
    say(f"{number} new models at once")
    await bench.restart()
    idle = peak_rss_mib(bench.operator.pid)
    began = time.perf_counter()
    await load.make(bench.client, [load.model(BURST, f"model-{index}", replicas=1) for index in range(number)])

    async def applied() -> bool:
        counts = [await load.count(bench.client, kind, BURST) for kind in CHILDREN]
        return all(count >= number for count in counts)

    await load.until("all children applied", applied)
    seconds = time.perf_counter() - began

    async def metered() -> bool:
        return await load.count(bench.client, "CostStatement", SYSTEM) >= number + bench.sizes.models

    await load.until("all models metered", metered)
    peak = peak_rss_mib(bench.operator.pid)
    bench.operator.kill()
    bare = await bench.sample("apply", number)
    bench.add("burst: all children applied", "s", seconds, bare.wall_seconds,
              "bare server-side applies of the same children", Goal("ratio", 1.5))  # fmt: skip
    bench.add("burst: peak RSS", "MiB", peak, idle, "the same operator before the burst", Goal("measured", 200))
