"""The model API server: one store, one version counter, finalizers and deletion as Kubernetes has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

Object = dict[str, Any]

KINDS = {
    "pods": "Pod",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "nodes": "Node",
    "namespaces": "Namespace",
    "configmaps": "ConfigMap",
    "services": "Service",
    "events": "Event",
    "deployments": "Deployment",
    "jobs": "Job",
    "modeldeployments": "ModelDeployment",
    "pricebooks": "PriceBook",
    "coststatements": "CostStatement",
    "resourceclaims": "ResourceClaim",
    "resourceslices": "ResourceSlice",
    "resourceclaimtemplates": "ResourceClaimTemplate",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "scaledobjects": "ScaledObject",
    "poddisruptionbudgets": "PodDisruptionBudget",
}


class Key(NamedTuple):
    """Where an object is kept."""

    plural: str
    namespace: str
    name: str


class Refused(Exception):
    """The server's answer where it does not do as asked."""

    def __init__(self, status: int, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Event:
    """One change; the watch shows it from `due` on."""

    version: int
    type: str
    object: bytes
    labels: dict[str, str]
    due: float


@dataclass
class _Kind:
    """All changes of one kind, and who waits for the next."""

    events: list[Event] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)


Changed = Callable[[Key, Object | None, Object | None], None]
"""Called after each change with the object before and after it."""


class Server:
    """`lag` says how many seconds late the watch of a kind is at a moment."""

    def __init__(self, begin: datetime, lag: Callable[[str, float], float]) -> None:
        self.begin = begin
        self.objects: dict[Key, Object] = {}
        self.listeners: list[Changed] = []
        self._lag = lag
        self._version = 0
        self._uids = 0
        self._kinds = {plural: _Kind() for plural in KINDS}

    def now(self) -> datetime:
        """The server's time: whole seconds."""
        return self.begin + timedelta(seconds=int(asyncio.get_running_loop().time()))

    def stamp(self) -> str:
        """Now, as the API writes it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    # Reading.

    def read(self, key: Key) -> Object:
        """The object; Refused where there is none."""
        if key not in self.objects:
            raise Refused(404, "NotFound", f"{key.plural} {key.name} not found")
        return self.objects[key]

    def select(self, plural: str, namespace: str = "", selector: str = "") -> Iterator[Object]:
        """Objects of a kind whose labels fit."""
        wanted = [part.partition("=")[::2] for part in selector.split(",") if part]
        for key, item in self.objects.items():
            if key.plural == plural and namespace in ("", key.namespace) and _fits(_labels(item), wanted):
                yield item

    def list(self, plural: str, namespace: str = "", selector: str = "") -> bytes:
        """A consistent list."""
        items = list(self.select(plural, namespace, selector))
        return _text({"metadata": {"resourceVersion": str(self._version)}, "items": items})

    async def watch(self, plural: str, version: int, selector: str, late: int) -> AsyncIterator[bytes]:
        """Events after a version, each when it is due, or `late` seconds after."""
        wanted = [part.partition("=")[::2] for part in selector.split(",") if part]
        kind, loop = self._kinds[plural], asyncio.get_running_loop()
        index = next((n for n, event in enumerate(kind.events) if event.version > version), len(kind.events))
        while True:
            while index < len(kind.events):
                event = kind.events[index]
                if event.due + late > loop.time():
                    await asyncio.sleep(event.due + late - loop.time())
                index += 1
                if _fits(event.labels, wanted):
                    yield b'{"type":"' + event.type.encode() + b'","object":' + event.object + b"}\n"
            await kind.news.wait()

    # Writing.

    def create(self, plural: str, body: Object) -> Object:
        """Create an object; Refused where the name is taken."""
        body = _copy(body)
        metadata = body["metadata"]
        self._uids += 1
        name = metadata.setdefault("name", f"{metadata.get('generateName', '')}{self._uids}")
        key = Key(plural, metadata.get("namespace", ""), name)
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f"{plural} {name} already exists")
        metadata.setdefault("uid", f"{self._uids:08x}-5eed-4000-8000-{self._uids:012x}")
        metadata.setdefault("creationTimestamp", self.stamp())
        metadata["generation"] = 1
        body["kind"] = KINDS[plural]
        return self._store(key, None, body)

    def update(self, key: Key, change: Callable[[Object], None], *managed: tuple[str, str]) -> Object:
        """Change an object in place; `managed` are subresources and fields whose managers did it."""
        before = self.read(key)
        after = _copy(before)
        change(after)
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        for subresource, owned in managed:
            _note(after, subresource, owned, self.stamp())
        return self._store(key, before, after)

    def replace(self, key: Key, body: Object) -> Object:
        """Replace an object at the version that the body names."""
        before = self.read(key)
        if body["metadata"].get("resourceVersion") != before["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified")
        kept = {name: before["metadata"][name] for name in ("uid", "creationTimestamp", "generation")}
        return self._store(key, before, {**before, **_copy(body), "metadata": {**body["metadata"], **kept}})

    def apply(self, key: Key, body: Object) -> Object:
        """Server-side apply, by the only manager that there is."""
        if key not in self.objects:
            if body["metadata"].get("uid"):
                raise Refused(409, "Conflict", "uid mismatch")
            return self.create(key.plural, body)
        return self.merge(key, body)

    def merge(self, key: Key, body: Object) -> Object:
        """A merge patch."""
        before = self.read(key)
        uid = body.get("metadata", {}).get("uid", before["metadata"]["uid"])
        if uid != before["metadata"]["uid"]:
            raise Refused(409, "Conflict", "uid mismatch")
        return self.update(key, lambda item: _merge(item, body))

    def json_patch(self, key: Key, operations: list[Object]) -> Object:
        """A JSON patch of tests and removals from lists."""
        after = _copy(self.read(key))
        for operation in operations:
            *parents, last = operation["path"].strip("/").split("/")
            target: Any = after
            try:
                for part in parents:
                    target = target[int(part) if isinstance(target, list) else part]
                place: Any = int(last) if isinstance(target, list) else last
                if operation["op"] == "remove":
                    del target[place]
                elif target[place] != operation["value"]:
                    raise LookupError(operation["path"])
            except LookupError:
                raise Refused(422, "Invalid", "the test of a patch failed") from None
        return self._store(key, self.objects[key], after)

    def delete(self, key: Key, grace: int = 0, uid: str = "") -> None:
        """Mark for deletion, `grace` seconds ahead; a shorter grace later brings the moment forward."""
        before = self.read(key)
        metadata = before["metadata"]
        if uid not in ("", metadata["uid"]):
            raise Refused(409, "Conflict", "uid mismatch")
        old = metadata.get("deletionGracePeriodSeconds")
        if old is not None and old <= grace:
            return
        asked = self.now() if old is None else _instant(metadata["deletionTimestamp"]) - timedelta(seconds=old)
        after = _copy(before)
        after["metadata"]["deletionTimestamp"] = (asked + timedelta(seconds=grace)).strftime("%Y-%m-%dT%H:%M:%SZ")
        after["metadata"]["deletionGracePeriodSeconds"] = grace
        self._store(key, before, after)

    def _store(self, key: Key, before: Object | None, after: Object) -> Object:
        metadata = after["metadata"]
        doomed = "deletionTimestamp" in metadata and metadata.get("deletionGracePeriodSeconds") == 0
        gone = doomed and not metadata.get("finalizers")
        if before == after and not gone:
            return after
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        if gone:
            self.objects.pop(key, None)
        else:
            self.objects[key] = after
        self._tell(key.plural, "DELETED" if gone else "ADDED" if before is None else "MODIFIED", after)
        for listener in self.listeners:
            listener(key, before, None if gone else after)
        return after

    def _tell(self, plural: str, event: str, item: Object) -> None:
        kind, now = self._kinds[plural], asyncio.get_running_loop().time()
        due = max(now + self._lag(plural, now), kind.events[-1].due if kind.events else 0.0)
        kind.events.append(Event(self._version, event, _text(item), _labels(item), due))
        kind.news.set()
        kind.news = asyncio.Event()


def _labels(item: Object) -> dict[str, str]:
    labels: dict[str, str] = item["metadata"].get("labels", {})
    return labels


def _fits(labels: dict[str, str], wanted: list[tuple[str, ...]]) -> bool:
    return all(name in labels and value in ("", labels[name]) for name, value in wanted)


def _merge(target: Object, patch: Object) -> None:
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict):
            _merge(target.setdefault(name, {}), value)
        else:
            target[name] = _copy(value)


def _note(item: Object, subresource: str, owned: str, at: str) -> None:
    """A manager's entry for a field, with the moment of its last change."""
    entries = item["metadata"].setdefault("managedFields", [])
    fields: Object = {}
    inner = fields
    for part in owned.split("."):
        inner = inner.setdefault(f"f:{part}", {})
    entry = {"manager": owned, "operation": "Update", "time": at, "subresource": subresource, "fieldsV1": fields}
    entries[:] = [other for other in entries if other["manager"] != owned] + [entry]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _text(item: Object) -> bytes:
    return msgspec.json.encode(item)


def _copy(item: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(item))
