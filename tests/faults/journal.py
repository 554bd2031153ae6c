"""All that the API server has shown of one run's namespace, from its beginning, by a watch of the tests' own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from tests.faults.admin import Admin, Object

CORE: Final = "/api/v1"
APPS: Final = "/apis/apps/v1"
OURS: Final = "/apis/modelmeter.dev/v1alpha1"
CHILDREN: Final = ("deployments", "services", "configmaps", "persistentvolumeclaims")
COLLECTIONS: Final = {
    "pods": CORE,
    "persistentvolumeclaims": CORE,
    "services": CORE,
    "configmaps": CORE,
    "deployments": APPS,
    "modeldeployments": OURS,
    "coststatements": OURS,
}
MODEL: Final = "modelmeter.dev/model"
POLL_SECONDS: Final = 0.05


class Late(Exception):
    """What was waited for did not come."""


@dataclass(slots=True)
class Seen:
    """One object by UID: as it was last, and whether it is gone."""

    last: Object
    gone: bool = False

    @property
    def name(self) -> str:
        return str(self.last["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.last["metadata"]["uid"])

    @property
    def model(self) -> str:
        """Name of the model that it is labelled with."""
        return str(self.last["metadata"].get("labels", {}).get(MODEL, ""))

    @property
    def deleted(self) -> datetime | None:
        """Its deletionTimestamp."""
        text = self.last["metadata"].get("deletionTimestamp")
        return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True)
class Published:
    """One status of a model, as somebody who watches it sees it."""

    model: str
    as_of: datetime
    usage: dict[str, Any]


def finished(pod: Object) -> datetime | None:
    """When the last container ended, of a pod that ended."""
    status = pod["status"]
    if status.get("phase") not in ("Succeeded", "Failed"):
        return None
    ends = [
        datetime.fromisoformat(entry["state"]["terminated"]["finishedAt"])
        for entry in (*status.get("containerStatuses", []), *status.get("initContainerStatuses", []))
        if "terminated" in entry["state"]
    ]
    return max(ends, default=None)


class Journal:
    """Objects by kind and UID; as a context manager it watches inside the block."""

    def __init__(self, admin: Admin, namespace: str) -> None:
        self.objects: dict[str, dict[str, Seen]] = {kind: {} for kind in COLLECTIONS}
        self.published: list[Published] = []
        self.moved: list[str] = []
        """Ends of pods that were said anew: then the run proves nothing about the product."""
        self._admin = admin
        self._namespace = namespace
        self._watches: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._watches += (asyncio.create_task(self._watch(kind, path)) for kind, path in self._paths())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    def all(self, kind: str, model: str) -> list[Seen]:
        """All of a kind that there ever was for a model."""
        return [seen for seen in self.objects[kind].values() if seen.model == model]

    def here(self, kind: str) -> Iterator[Seen]:
        """What exists now."""
        return (seen for seen in self.objects[kind].values() if not seen.gone)

    def running(self, model: str) -> list[Seen]:
        """The model's pods that run and are not asked to end."""
        return [
            seen
            for seen in self.here("pods")
            if seen.model == model and seen.deleted is None and seen.last["status"].get("phase") == "Running"
        ]

    def model(self, name: str) -> Seen | None:
        """A ModelDeployment, there or gone."""
        return next((seen for seen in self.objects["modeldeployments"].values() if seen.name == name), None)

    def pages(self, uid: str) -> list[Object]:
        """The ledger pages of a model, oldest first."""
        specs = (seen.last["spec"] for seen in self.objects["coststatements"].values())
        return sorted((spec for spec in specs if spec["model"]["uid"] == uid), key=lambda spec: str(spec["month"]))

    async def until(self, what: str, done: Callable[[], Any], seconds: float) -> Any:
        """Wait for something; Late says what did not come."""
        deadline = time.monotonic() + seconds
        while not (found := done()):
            if time.monotonic() > deadline:
                raise Late(f"not after {seconds:.0f} s: {what}")
            for watch in self._watches:
                if watch.done():
                    watch.result()
            await asyncio.sleep(POLL_SECONDS)
        return found

    async def catch_up(self, seconds: float) -> None:
        """Wait until it has seen all that is there now: each kind's watch is at a moment of its own."""
        for kind, path in self._paths():
            listed = await self._admin.call("GET", path)
            there = {item["metadata"]["uid"]: int(item["metadata"]["resourceVersion"]) for item in listed["items"]}
            await self.until(f"{kind} as a list shows them", partial(self._shows, kind, there), seconds)

    def _shows(self, kind: str, there: dict[str, int]) -> bool:
        here = {seen.uid: int(seen.last["metadata"]["resourceVersion"]) for seen in self.here(kind)}
        return here.keys() == there.keys() and all(here[uid] >= version for uid, version in there.items())

    def _paths(self) -> Iterator[tuple[str, str]]:
        return ((kind, f"{group}/namespaces/{self._namespace}/{kind}") for kind, group in COLLECTIONS.items())

    async def _watch(self, kind: str, path: str) -> None:
        known = self.objects[kind]
        async for event, item in self._admin.watch(path):
            seen = known.setdefault(item["metadata"]["uid"], Seen(item))
            if kind == "pods" and (before := finished(seen.last)) and before != (after := finished(item)):
                self.moved.append(f"the end of pod {seen.name} moved from {before} to {after}, which no kubelet does")
            seen.last, seen.gone = item, event == "DELETED"
            if kind == "modeldeployments":
                self._note(seen)

    def _note(self, model: Seen) -> None:
        status = model.last.get("status") or {}
        if moment := (status.get("cost") or {}).get("asOf"):
            published = Published(model.name, datetime.fromisoformat(moment), status["usage"])
            if published not in self.published[-8:]:
                self.published.append(published)
