"""What is timed in a process of its own: `python -m tests.bench.worker KUBECONFIG WHAT N` prints its Sample as JSON.

All but `prepare` are references: the same calls of the API server with nothing of the product's work around them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import kopf  # noqa: F401  so that its memory is in every figure, as in the operator's

from modelmeter.api.names import LABEL_MODEL, METERING_FINALIZER
from modelmeter.api.resources import model_deployment
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.cluster.finalizers import remove_finalizer
from modelmeter.cluster.listing import items
from modelmeter.cluster.paths import path, path_of
from modelmeter.cluster.reflector import Reflector
from modelmeter.control.operator import Operator
from modelmeter.meter.objects import Pod
from modelmeter.provision.children import desired
from modelmeter.settings import DEFAULT_LOADER_IMAGE, Settings
from tests.bench.load import connected, each, held, model, pods
from tests.bench.process import cpu_seconds, peak_rss_mib

NAMESPACE = "burst-reference"

Work = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of work: `number` of things done in `wall_seconds`."""

    number: int
    wall_seconds: float
    cpu_seconds: float
    peak_rss_mib: float


async def list_pods(client: Client, _: int) -> tuple[int, Work]:
    """A LIST of the metered pods, decoded as the operator decodes them."""
    return 1, lambda: pods(client)


async def prepare(client: Client, _: int) -> tuple[int, Work]:
    """What the operator does before it may write."""
    return 1, Operator(client, Clock(), Settings()).prepare


async def release(client: Client, _: int) -> tuple[int, Work]:
    """Finalizer patches of the pods that have ended."""
    ended = [pod.metadata for pod in await pods(client) if held(pod)]
    return len(ended), lambda: each(
        lambda pod: remove_finalizer(
            client, path("Pod", pod.namespace, pod.name), pod.uid, pod.finalizers, METERING_FINALIZER
        ),
        ended,
    )


async def release_seen(client: Client, number: int) -> tuple[int, Work]:
    """Finalizer patches of so many pods, each as its end is seen."""

    async def work() -> None:
        seen: dict[str, asyncio.Task[None]] = {}
        enough = asyncio.Event()

        def changed(_: Pod | None, pod: Pod | None) -> None:
            if pod is not None and held(pod) and pod.metadata.uid not in seen:
                at, uid = path("Pod", pod.metadata.namespace, pod.metadata.name), pod.metadata.uid
                patch = remove_finalizer(client, at, uid, pod.metadata.finalizers, METERING_FINALIZER)
                seen[uid] = asyncio.create_task(patch)
                if len(seen) == number:
                    enough.set()

        watching = asyncio.create_task(Reflector(client, path("Pod"), Pod, changed, LABEL_MODEL).run())
        await enough.wait()
        await asyncio.gather(*seen.values())
        watching.cancel()

    return number, work


async def apply(client: Client, number: int) -> tuple[int, Work]:
    """Server-side applies of the children of so many models."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await client.create("/api/v1/namespaces", namespace)

    async def one(index: int) -> None:
        body = model(NAMESPACE, f"model-{index}", replicas=1)
        body["metadata"] |= {"uid": "", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
        for manifest in desired(model_deployment(body), DEFAULT_LOADER_IMAGE):
            del manifest["metadata"]["ownerReferences"]
            await client.apply(path_of(manifest), manifest)

    return number, lambda: each(one, range(number))


async def status(client: Client, _: int) -> tuple[int, Work]:
    """One patch of each ModelDeployment's status, with all that it has."""
    models = await items(client, path("ModelDeployment"), dict[str, Any])

    async def one(body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        written = {"metadata": {"uid": metadata["uid"]}, "status": {**body["status"], "selector": "changed"}}
        await client.merge_patch(path("ModelDeployment", metadata["namespace"], metadata["name"], "status"), written)

    return len(models), lambda: each(one, models, parallel=1)


WORKS = {work.__name__: work for work in (list_pods, prepare, release, release_seen, apply, status)}


def sample(kubeconfig: Path, name: str, number: int = 0) -> Sample:
    """Do one of WORKS in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.worker", str(kubeconfig), name, str(number)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Sample(**json.loads(finished.stdout))


async def main(kubeconfig: Path, name: str, number: int) -> Sample:
    """Do it, timed without its preparations."""
    pid = os.getpid()
    async with connected(kubeconfig) as client:
        count, work = await WORKS[name](client, number)
        cpu, began = cpu_seconds(pid), time.perf_counter()
        await work()
        return Sample(count, time.perf_counter() - began, cpu_seconds(pid) - cpu, peak_rss_mib(pid))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))))
