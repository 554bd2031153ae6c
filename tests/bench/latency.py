"""How long a pod that has ended waits for the release of our finalizer, under a steady flow of ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from statistics import median, quantiles
from typing import Final

import msgspec

from modelmeter.api.names import LABEL_MODEL, METERING_FINALIZER
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.meter.objects import Metadata
from tests.bench import load

RATE: Final = 50
"""Pods that are asked to end, a second."""
TERMINAL: Final = ("Succeeded", "Failed")


class _Status(msgspec.Struct, frozen=True):
    phase: str = ""


class _Pod(msgspec.Struct):
    metadata: Metadata
    status: _Status = _Status()


class _Event(msgspec.Struct):
    type: str
    object: _Pod


class Releases:
    """Watches metered pods: when each was first seen in its terminal phase, and when first without our finalizer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._version = ""
        self._ended: dict[str, float] = {}
        self._released: dict[str, float] = {}
        self._decode = msgspec.json.Decoder(_Event).decode

    async def start(self) -> asyncio.Task[None]:
        """Watch from now on."""
        page = msgspec.json.decode(await self._client.get(path("Pod"), limit="1"))
        self._version = page["metadata"]["resourceVersion"]
        return asyncio.create_task(self._watch())

    async def seconds(self, uids: Sequence[str]) -> list[float]:
        """The wait of each of these pods, once all are released."""
        async with asyncio.timeout(load.PATIENCE_SECONDS):
            while not self._released.keys() >= set(uids):
                await asyncio.sleep(0.2)
        return [self._released[uid] - self._ended.get(uid, self._released[uid]) for uid in uids]

    async def _watch(self) -> None:
        query = {"labelSelector": LABEL_MODEL, "resourceVersion": self._version, "timeoutSeconds": "3000"}
        async for line in self._client.watch(path("Pod"), **query):
            if line.startswith(b'{"type":"BOOKMARK"'):
                continue
            event, now = self._decode(line), time.perf_counter()
            metadata = event.object.metadata
            if event.object.status.phase in TERMINAL:
                self._ended.setdefault(metadata.uid, now)
            if event.type == "DELETED" or METERING_FINALIZER not in metadata.finalizers:
                self._released.setdefault(metadata.uid, now)


async def measure(client: Client, number: int) -> list[float]:
    """End so many running pods, RATE a second, those of all models in turn; each one's wait in seconds."""
    releases = Releases(client)
    watch = await releases.start()
    chosen = _in_turn([pod.metadata for pod in await load.pods(client) if load.ready(pod)])[:number]
    began = time.perf_counter()
    deletions = []
    for index, pod in enumerate(chosen):
        await asyncio.sleep(max(0.0, began + index / RATE - time.perf_counter()))
        deletions.append(asyncio.create_task(client.delete(path("Pod", pod.namespace, pod.name), pod.uid)))
    await asyncio.gather(*deletions)
    waits = await releases.seconds([pod.uid for pod in chosen])
    watch.cancel()
    return waits


def middle_and_p99(waits: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    return median(waits), quantiles(waits, n=100, method="inclusive")[98]


def _in_turn(pods: Sequence[Metadata]) -> list[Metadata]:
    """One of each namespace, then the next of each."""
    turns: dict[str, int] = {}
    keyed = []
    for pod in pods:
        turns[pod.namespace] = turns.get(pod.namespace, 0) + 1
        keyed.append((turns[pod.namespace], pod))
    return [pod for _, pod in sorted(keyed, key=lambda entry: entry[0])]
