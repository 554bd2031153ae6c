"""A plain client of the API server with the administrator's rights; it shares nothing with the product."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import yaml

MERGE: Final = "application/merge-patch+json"
PAUSE_SECONDS: Final = 0.2
Object = dict[str, Any]


class Refused(Exception):
    """The API server said no; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Access:
    """What a kubeconfig of the harness holds."""

    server: str
    token: str
    authority: str

    @classmethod
    def read(cls, kubeconfig: Path) -> Self:
        """The only cluster and user of a file."""
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], config["users"][0]["user"]["token"], authority)

    def trust(self) -> ssl.SSLContext:
        """TLS that trusts this cluster only."""
        return ssl.create_default_context(cadata=self.authority)


class Admin:
    """Calls that wait out an API server that is away; as a context manager it closes its connections."""

    def __init__(self, kubeconfig: Path) -> None:
        access = Access.read(kubeconfig)
        self._server = access.server
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=access.trust(), limit=0),
            headers={"Authorization": f"Bearer {access.token}"},
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Object:
        """The decoded answer; Refused at a 4xx. No answer, and a 5xx, is tried again: so make calls that may be."""
        data = None if body is None else json.dumps(body)
        while True:
            try:
                async with self._session.request(
                    method, self._server + path, data=data, headers={"Content-Type": content}
                ) as answer:
                    text = await answer.text()
                    if answer.status < 400:
                        return dict(json.loads(text))
                    if answer.status < 500 and answer.status != 429:
                        raise Refused(answer.status, text)
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)

    async def make(self, path: str, body: Object) -> None:
        """Create an object; one that exists stays as it is."""
        try:
            await self.call("POST", path, body)
        except Refused as refusal:
            if refusal.status != 409:
                raise

    async def remove(self, path: str, body: Any = None) -> None:
        """Delete an object, if it is there."""
        try:
            await self.call("DELETE", path, body)
        except Refused as refusal:
            if refusal.status != 404:
                raise

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Object]]:
        """All objects as ADDED, then all changes, for ever; where a watch cannot go on, a list tells what changed."""
        version, known = "", dict[str, Object]()
        while True:
            if not version:
                listed = await self.call("GET", path)
                version = listed["metadata"]["resourceVersion"]
                found = {item["metadata"]["uid"]: item for item in listed["items"]}
                for item in found.values():
                    yield "ADDED", item
                for uid in known.keys() - found.keys():
                    yield "DELETED", known[uid]
                known = found
            try:
                url = f"{self._server}{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}"
                async with self._session.get(url) as answer:
                    async for line in _lines(answer):
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            version = ""
                            break
                        item = event["object"]
                        version = item["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            known[item["metadata"]["uid"]] = item
                            if event["type"] == "DELETED":
                                del known[item["metadata"]["uid"]]
                            yield event["type"], item
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(PAUSE_SECONDS)


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole lines, however long; nothing where the server does not answer with a stream."""
    if answer.status != 200:
        return
    rest = b""
    async for chunk in answer.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
