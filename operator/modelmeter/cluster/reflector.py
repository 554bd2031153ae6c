"""One list, then a watch, for one kind: what exists, always consistent with some moment of the API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from modelmeter.cluster.client import Client
from modelmeter.cluster.listing import pages
from modelmeter.cluster.versions import version_of
from modelmeter.errors import ClusterError, Expired

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 2
WATCH_SECONDS: Final = "280"


class _Metadata(Protocol):
    uid: str
    resource_version: str


class _Object(Protocol):
    @property
    def metadata(self) -> Any: ...


T = TypeVar("T", bound=_Object)


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


Changed = Callable[[T | None, T | None], None]
"""Called with the object before and after: None before is new, None after is gone."""


class Reflector(Generic[T]):
    """Keeps `objects` (by UID) equal to what the API server has of one kind.

    A list may run beside the watch. Resource versions of one kind are comparable, so neither takes the other back:
    a list leaves alone what the watch has brought since, and the watch skips what a list already knew. Events come in
    the order of their versions; a watch that takes one back is not believed, and everything is listed again.
    """

    def __init__(self, client: Client, path: str, kind: type[T], changed: Changed[T], selector: str = "") -> None:
        self.objects: dict[str, T] = {}
        self.behind = False
        """Whether the watch has been broken since the last list: it goes on, but nobody can tell from where."""
        self._version = ""
        self._listed = 0
        self._watched = 0
        self._deleted: set[str] = set()
        self._listing = asyncio.Lock()
        self._client = client
        self._path = path
        self._query = {"labelSelector": selector} if selector else {}
        self._changed = changed
        self._kind = kind
        self._decode_object = msgspec.json.Decoder(kind).decode
        self._decode_event = msgspec.json.Decoder(_Event).decode

    async def run(self) -> None:
        """List, if nobody has, and watch until cancelled; what fails is tried again."""
        version = self._version
        while True:
            try:
                version = await self._watch(version or await self.list())
            except Expired:
                version = ""
            except ClusterError as error:
                log.warning("%s: %s", self._path, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def list(self) -> str:
        """Replace everything by a consistent list; answers the version to watch from."""
        async with self._listing:
            found: dict[str, T] = {}
            version = ""
            self._deleted.clear()
            async for page in pages(self._client, self._path, self._kind, **self._query):
                found.update((item.metadata.uid, item) for item in page.items or ())
                version = page.metadata.resource_version
            # Versions that went back are those of an API server restored from a backup: it is believed whole.
            restored, self._listed = int(version) < self._listed, int(version)
            for uid, old in list(self.objects.items()):
                if uid not in found and (restored or _version(old) <= self._listed):
                    del self.objects[uid]
                    self._changed(old, None)
            for uid, new in found.items():
                known = self.objects.get(uid)
                if uid not in self._deleted and (restored or known is None or _version(known) < _version(new)):
                    self.objects[uid] = new
                    self._changed(known, new)
            self._version = version
            self.behind = False
            return version

    async def _watch(self, version: str) -> str:
        query = {**self._query, "resourceVersion": version, "timeoutSeconds": WATCH_SECONDS}
        since = version
        self._watched = int(version)
        try:
            async for line in self._client.watch(self._path, **query):
                version = self._handle(self._decode_event(line)) or version
        except Expired:
            self.behind = True
            raise
        except ClusterError as error:
            self.behind = True
            log.info("%s: %s; watching on", self._path, error)
            if version == since:
                await asyncio.sleep(RETRY_SECONDS)
        return version

    def _handle(self, event: _Event) -> str:
        match event.type:
            case "BOOKMARK":
                return version_of(event.object)
            case "ERROR":
                status = msgspec.json.decode(event.object, type=_Status)
                raise (Expired if status.code == 410 else ClusterError)(status.code, "WatchError", status.message)
            case _:
                item = self._decode_object(event.object)
                self._replace(item, gone=event.type == "DELETED")
                return str(item.metadata.resource_version)

    def _replace(self, item: T, gone: bool) -> None:
        version = _version(item)
        if version < self._watched:
            raise Expired(410, "Disorder", f"the watch went back from version {self._watched} to {version}")
        self._watched = version
        if version <= self._listed:
            return
        uid = item.metadata.uid
        old = self.objects.get(uid)
        if gone:
            if self._listing.locked():
                self._deleted.add(uid)
            if self.objects.pop(uid, None) is not None:
                self._changed(old, None)
        else:
            self.objects[uid] = item
            self._changed(old, item)


def _version(item: _Object) -> int:
    return int(item.metadata.resource_version)
