"""The load: ModelDeployments, and reading how far the cluster is with them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from modelmeter.api.names import API_VERSION, LABEL_MODEL, LABEL_MODEL_UID, METERING_FINALIZER
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.cluster.listing import items
from modelmeter.cluster.paths import path
from modelmeter.control.facts import pod_facts
from modelmeter.meter.objects import Metadata, Pod

PATIENCE_SECONDS: Final = 1800.0
PARALLEL: Final = 32
T = TypeVar("T")


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Client]:
    """A client with these rights."""
    configuration = Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    client = Client(configuration, Clock())
    try:
        yield client
    finally:
        await client.close()


def model(namespace: str, name: str, replicas: int) -> dict[str, Any]:
    """A ModelDeployment whose pods may run on several nodes."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "model": {"source": "https://models.example.org/minilm.tar.gz", "labels": ["shoes", "phones", "books"]},
            "serving": {"replicas": replicas, "gpu": {"product": "NVIDIA-L4"}},
            "storage": {"accessModes": ["ReadWriteMany"]},
            "pricing": {"labour": [{"name": "mlops", "price": "7300", "per": "month", "share": "0.1"}]},
        },
    }


async def each(work: Callable[[T], Awaitable[Any]], arguments: Iterable[T], parallel: int = PARALLEL) -> None:
    """Work on all arguments, so many at a time."""
    remaining = iter(arguments)

    async def worker() -> None:
        for argument in remaining:
            await work(argument)

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(worker())


async def make(client: Client, manifests: Iterable[dict[str, Any]], parallel: int = PARALLEL) -> None:
    """Create ModelDeployments, each in its namespace, which is made where it is missing."""
    manifests = list(manifests)
    namespaces = sorted({manifest["metadata"]["namespace"] for manifest in manifests})
    bodies = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces]
    await each(lambda body: client.create("/api/v1/namespaces", body), bodies)
    await each(
        lambda body: client.create(path("ModelDeployment", body["metadata"]["namespace"]), body), manifests, parallel
    )


async def delete_pods(client: Client, each_model: int) -> None:
    """Delete so many running pods of each model."""
    chosen: dict[str, list[Metadata]] = {}
    for pod in await pods(client):
        of_model = chosen.setdefault(pod.metadata.labels[LABEL_MODEL_UID], [])
        if pod.metadata.deletion_timestamp is None and len(of_model) < each_model:
            of_model.append(pod.metadata)
    await each(
        lambda pod: client.delete(path("Pod", pod.namespace, pod.name), pod.uid),
        [pod for of_model in chosen.values() for pod in of_model],
    )


async def pods(client: Client) -> list[Pod]:
    """All metered pods."""
    return await items(client, path("Pod"), Pod, labelSelector=LABEL_MODEL)


def ready(pod: Pod) -> bool:
    """Whether it runs and serves."""
    return pod.metadata.deletion_timestamp is None and pod_facts(pod).ready


def held(pod: Pod) -> bool:
    """Whether it has ended and only our finalizer keeps it."""
    return pod.metadata.deletion_timestamp is not None and (
        pod.status.phase in ("Succeeded", "Failed") and METERING_FINALIZER in pod.metadata.finalizers
    )


async def statuses(client: Client) -> dict[str, dict[str, Any]]:
    """The status of each ModelDeployment, by its namespace."""
    bodies = await items(client, path("ModelDeployment"), dict[str, Any])
    return {body["metadata"]["namespace"]: body.get("status") or {} for body in bodies}


async def until(what: str, done: Callable[[], Awaitable[bool]], every_seconds: float = 0.25) -> None:
    """Poll until it is done."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not after {PATIENCE_SECONDS:.0f} s: {what}")
        await asyncio.sleep(every_seconds)


async def count(client: Client, kind: str, namespace: str) -> int:
    """How many objects of a kind a namespace holds; the server counts."""
    page = json.loads(await client.get(path(kind, namespace), limit="1"))
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


def as_of(status: dict[str, Any]) -> datetime | None:
    """The moment of a status' figures."""
    text = (status.get("cost") or {}).get("asOf")
    return datetime.fromisoformat(text) if text else None


class Deletions:
    """Counts pods that go, from a watch that decodes nothing but the type of each event."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._seen = 0
        self._changed = asyncio.Event()
        self._version = ""

    async def start(self) -> asyncio.Task[None]:
        """Watch from now on."""
        page = msgspec.json.decode(await self._client.get(path("Pod"), limit="1"))
        self._version = page["metadata"]["resourceVersion"]
        return asyncio.create_task(self._watch())

    async def reach(self, number: int) -> None:
        """Wait for so many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._seen < number:
                self._changed.clear()
                await self._changed.wait()

    async def _watch(self) -> None:
        query = {"labelSelector": LABEL_MODEL, "resourceVersion": self._version, "timeoutSeconds": "3000"}
        async for line in self._client.watch(path("Pod"), **query):
            if line.startswith(b'{"type":"DELETED"'):
                self._seen += 1
                self._changed.set()
