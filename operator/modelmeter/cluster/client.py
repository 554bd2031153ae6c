"""A thin client of the API server: paths in, bytes out, our errors. Credentials and TLS are kubernetes.aio's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from modelmeter.api.names import FIELD_MANAGER, GROUP
from modelmeter.cluster.clock import Clock
from modelmeter.errors import ClusterError, Conflict, Expired, NotFound

APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Asks for the answer without spec and status: we rarely need more back from a write."""
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

CONNECTIONS: Final = 64
ATTEMPTS: Final = 5
"""How often a request is tried while the API server says 429; a read also while it fails or does not answer."""
FAILING: Final = (500, 502, 503, 504)
"""What an API server says that cannot do anything now: a read is tried again, for it changes nothing."""
TIMEOUT_SECONDS: Final = 30
WATCH_SILENCE_SECONDS: Final = 120
"""Bookmarks come about once a minute; a watch that is silent for longer hangs."""

NOT_SERVED: Final = "404 page not found"
"""All that the API server says of a kind that it does not know."""

ERRORS: Final[dict[int, type[ClusterError]]] = {404: NotFound, 409: Conflict, 410: Expired}


class _Status(msgspec.Struct):
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """How an API server is reached."""

    server: str
    authorization: str
    """Value of the header: "Bearer ..."; empty where a certificate says who we are."""
    ca_path: str | None
    insecure: bool
    certificate_path: str | None
    private_key_path: str | None
    proxy_url: str | None


class Client:
    """Requests to one API server; use `await Client.connect(clock)`."""

    def __init__(self, configuration: Configuration, clock: Clock) -> None:
        configuration.connection_pool_maxsize = CONNECTIONS
        self._configuration = configuration
        self._rest = RESTClientObject(configuration)
        self._clock = clock

    @classmethod
    async def connect(cls, clock: Clock) -> Client:
        """In-cluster configuration where there is one, else KUBECONFIG; ClusterError where there is neither."""
        configuration = Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            try:
                await config.load_kube_config(client_configuration=configuration)
            except config.ConfigException as error:
                raise ClusterError(0, "NoCluster", f"{error}; run in a cluster or set KUBECONFIG") from None
        return cls(configuration, clock)

    async def connection(self) -> Connection:
        """How to reach the same API server, with credentials as they are now."""
        configuration = self._configuration
        return Connection(
            server=configuration.host,
            authorization=(await self._headers()).get("authorization", ""),
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=configuration.proxy,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.close()

    async def get(self, path: str, accept: str = "application/json", **query: str) -> bytes:
        """Read an object or a list."""
        return await self._request("GET", path, query=query, accept=accept)

    async def create(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Create an object; Conflict where it exists."""
        return await self._request("POST", path, body, query={"fieldManager": FIELD_MANAGER})

    async def replace(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Replace an object; Conflict unless its resourceVersion is the body's."""
        return await self._request("PUT", path, body, query={"fieldManager": FIELD_MANAGER})

    async def apply(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Server-side apply, by force as the only manager of what the body names; answers with metadata only."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._request("PATCH", path, body, query=query, content=APPLY, accept=METADATA_ONLY)

    async def json_patch(self, path: str, operations: list[dict[str, Any]]) -> bytes:
        """Patch, with tests that fail as 422."""
        return await self._request("PATCH", path, operations, content=JSON_PATCH, accept=METADATA_ONLY)

    async def merge_patch(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Patch some fields."""
        return await self._request(
            "PATCH", path, body, query={"fieldManager": FIELD_MANAGER}, content=MERGE_PATCH, accept=METADATA_ONLY
        )

    async def strategic_patch(self, path: str, body: Mapping[str, Any]) -> bytes:
        """Patch some fields; what it says of a list such as finalizers is added to it."""
        return await self._request("PATCH", path, body, content=STRATEGIC_PATCH, accept=METADATA_ONLY)

    async def delete(self, path: str, uid: str, propagation: str = "Background") -> None:
        """Delete the object with this UID, if it is not gone; Conflict where it is changing, or is another by now."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": propagation}
        try:
            await self._request("DELETE", path, body)
        except NotFound:
            return

    async def watch(self, path: str, **query: str) -> AsyncIterator[bytes]:
        """The lines of a watch, until the server ends it; ClusterError where it breaks or hangs."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=WATCH_SILENCE_SECONDS)
        query = {"watch": "true", "allowWatchBookmarks": "true", **query}
        try:
            response = await self._send("GET", path, None, query, "application/json", "application/json", timeout)
            async with response:
                if response.status >= 400:
                    raise await _error(response, path)
                async for line in _lines(response):
                    yield line
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ClusterError(0, "WatchBroken", f"watch of {path} broke: {error!r}") from None

    async def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                response = await self._send(method, path, body, query or {}, content, accept, timeout)
                async with response:
                    if response.status == 429 and not last:
                        await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
                        continue
                    if response.status in FAILING and method == "GET" and not last:
                        await asyncio.sleep(2**attempt / 4)
                        continue
                    if response.status >= 400:
                        raise await _error(response, path)
                    return await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                if last or method != "GET":
                    raise ClusterError(0, "NoAnswer", f"{method} {path}: no answer: {error!r}") from None
                await asyncio.sleep(2**attempt / 4)
        raise AssertionError("unreachable")

    async def _send(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str],
        content: str,
        accept: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept, "Content-Type": content, **await self._headers()}
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        answer = await self._rest.request(method, url, headers=headers, body=body, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        if date := response.headers.get("Date"):
            self._clock.observe(date)
        return response

    async def _headers(self) -> dict[str, str]:
        """Who we are; a token that has expired is asked for anew."""
        settings = await self._configuration.auth_settings()
        return {setting["key"]: setting["value"] for setting in settings.values()}


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Split a stream at newlines; an event may be longer than any buffer."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line


async def _error(response: aiohttp.ClientResponse, path: str) -> ClusterError:
    text = await response.read()
    try:
        status = msgspec.json.decode(text, type=_Status)
    except msgspec.DecodeError:
        status = _Status(text.decode(errors="replace")[:500].strip(), response.reason or "")
    if status.message == NOT_SERVED:
        _, _, group, version, *_ = f"{path}////".split("/")
        status.message += f" (no such kind in {group}/{version})"
        if group == GROUP:
            status.message += f"; apply the CRDs of {GROUP}"
    kind = ERRORS.get(response.status, ClusterError)
    return kind(response.status, status.reason, status.message or f"HTTP {response.status}")
