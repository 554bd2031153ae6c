"""One list, then a watch, for one kind: what exists, always consistent with some moment of the API server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from modelmeter.cluster.client import Client
from modelmeter.cluster.listing import pages
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


class _Bookmark(msgspec.Struct):
    class Metadata(msgspec.Struct, rename="camel"):
        resource_version: str

    metadata: Metadata


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


Changed = Callable[[T | None, T | None], None]
"""Called with the object before and after: None before is new, None after is gone."""


class Reflector(Generic[T]):
    """Keeps `objects` (by UID) equal to what the API server has of one kind."""

    def __init__(self, client: Client, path: str, kind: type[T], changed: Changed[T], selector: str = "") -> None:
        self.objects: dict[str, T] = {}
        self._version = ""
        self._listed = 0
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
        found: dict[str, T] = {}
        version = ""
        async for page in pages(self._client, self._path, self._kind, **self._query):
            found.update((item.metadata.uid, item) for item in page.items or ())
            version = page.metadata.resource_version
        before, self.objects = self.objects, found
        for uid, old in before.items():
            if uid not in found:
                self._changed(old, None)
        for uid, new in found.items():
            known = before.get(uid)
            if known is None or known.metadata.resource_version != new.metadata.resource_version:
                self._changed(known, new)
        self._version = version
        self._listed = int(version or 0)
        return version

    async def _watch(self, version: str) -> str:
        query = {**self._query, "resourceVersion": version, "timeoutSeconds": WATCH_SECONDS}
        since = version
        try:
            async for line in self._client.watch(self._path, **query):
                version = self._handle(self._decode_event(line)) or version
        except Expired:
            raise
        except ClusterError as error:
            log.info("%s: %s; watching on", self._path, error)
            if version == since:
                await asyncio.sleep(RETRY_SECONDS)
        return version

    def _handle(self, event: _Event) -> str:
        match event.type:
            case "BOOKMARK":
                return msgspec.json.decode(event.object, type=_Bookmark).metadata.resource_version
            case "ERROR":
                status = msgspec.json.decode(event.object, type=_Status)
                raise (Expired if status.code == 410 else ClusterError)(status.code, "WatchError", status.message)
            case _:
                item = self._decode_object(event.object)
                self._replace(item, gone=event.type == "DELETED")
                return str(item.metadata.resource_version)

    def _replace(self, item: T, gone: bool) -> None:
        uid = item.metadata.uid
        old = self.objects.get(uid)
        # A list that ran beside this watch may have been ahead of it.
        known = self._listed if old is None else int(old.metadata.resource_version)
        if known > int(item.metadata.resource_version):
            return
        if gone:
            self.objects.pop(uid, None)
            self._changed(old or item, None)
        else:
            self.objects[uid] = item
            self._changed(old, item)
