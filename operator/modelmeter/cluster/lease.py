"""One operator at a time: a Lease (coordination.k8s.io), held for as long as the process works.

The ledger does not stand on it: its writes are compared with what was read. Without it two operators would undo each
other's statuses and children. It is our own and not the client library's election, which brings 30 MiB of typed models
and gives up its work when the API server is away; while that is so, nobody else can take the Lease either.

A holder is named by its host, in a cluster its pod: a container that was killed and starts again need not wait until
the Lease runs out, only until one that still works on its host, by mistake, would have found out and ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from datetime import datetime
from typing import Any, Final

from modelmeter.api.scalars import instant
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.cluster.namespaces import create_in
from modelmeter.cluster.paths import path
from modelmeter.cluster.versions import version_of
from modelmeter.errors import ClusterError, Conflict, NotFound

log = logging.getLogger(__name__)

NAME: Final = "modelmeter"
DURATION_SECONDS: Final = 15
"""How long a holder that went away without a word is believed to work."""
RENEW_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 1.0
NOTICE_SECONDS: Final = RENEW_SECONDS + 1
"""How long a holder works on, at most, after somebody else has taken the Lease: until it renews."""


def this_host() -> str:
    """Names this process to others: the pod in a cluster, else the machine."""
    return os.environ.get("HOSTNAME") or socket.gethostname()


class Lease:
    """The Lease of one process; `acquire`, then `hold` beside the work, then `release`."""

    def __init__(self, client: Client, clock: Clock, namespace: str, holder: str) -> None:
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._holder = holder
        self._version = ""
        self._acquired = ""
        self._transitions = 0

    async def acquire(self, patience_seconds: float | None = None) -> None:
        """Wait until nobody else holds it; ClusterError after `patience_seconds`, which names who does."""
        loop = asyncio.get_running_loop()
        began = since = loop.time()
        seen: dict[str, Any] = {}
        told = ""
        while True:
            try:
                there = await self._read()
                spec = there.get("spec", {})
                if spec != seen:
                    seen, since = spec, loop.time()
                other = spec.get("holderIdentity") or ""
                if other in ("", self._holder) or loop.time() - since > DURATION_SECONDS:
                    self._acquired = _micro_time(self._clock())
                    self._transitions = spec.get("leaseTransitions", 0) + 1
                    renewed = instant(spec["renewTime"]) if other == self._holder else None
                    await self._write(there.get("metadata", {}).get("resourceVersion", ""))
                    if renewed and (self._clock() - renewed).total_seconds() < NOTICE_SECONDS:
                        await asyncio.sleep(NOTICE_SECONDS)
                    return
            except Conflict:
                continue
            except ClusterError as error:
                why = f"the lease cannot be taken: {error}"
            else:
                why = f"operator {other} is at work in {self._namespace}; only one works at a time"
            if why != told:
                log.info("waiting: %s", why)
                told = why
            if patience_seconds is not None and loop.time() - began > patience_seconds:
                raise ClusterError(409, "Held", f"{why}; stop it first")
            await asyncio.sleep(RETRY_SECONDS)

    async def hold(self) -> None:
        """Renew until cancelled; ClusterError where somebody else has taken it."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            other = ""
            try:
                other = await self._renew()
            except ClusterError as error:
                log.warning("the lease cannot be renewed: %s", error)
            if other:
                raise ClusterError(409, "Superseded", f"operator {other} has taken over, and only one works at a time")

    async def _renew(self) -> str:
        """Renew; answers who has taken it instead, or nothing."""
        try:
            await self._write(self._version)
        except NotFound:
            self._version = ""
        except Conflict:
            there = await self._read()
            spec = there.get("spec", {})
            # The answer to our own last write may have been lost.
            if there and (spec.get("holderIdentity"), spec.get("acquireTime")) != (self._holder, self._acquired):
                return spec.get("holderIdentity") or "(unknown)"
            self._version = there.get("metadata", {}).get("resourceVersion", "")
        return ""

    async def release(self) -> None:
        """Let the next one begin at once; where that cannot be said, it waits for a while."""
        try:
            await self._write(self._version, holder="")
        except ClusterError as error:
            log.info("the lease was not given back: %s", error)

    async def _read(self) -> dict[str, Any]:
        """The Lease as it is; empty where there is none."""
        try:
            return dict(json.loads(await self._client.get(path("Lease", self._namespace, NAME))))
        except NotFound:
            return {}

    async def _write(self, version: str, holder: str | None = None) -> None:
        """Say that it is ours, over what was read at `version` (empty: nothing); Conflict where that has changed."""
        metadata = {"name": NAME, "namespace": self._namespace}
        spec = {
            "holderIdentity": self._holder if holder is None else holder,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": self._acquired,
            "renewTime": _micro_time(self._clock()),
            "leaseTransitions": self._transitions,
        }
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        if version:
            metadata["resourceVersion"] = version
            answer = await self._client.replace(path("Lease", self._namespace, NAME), body)
        else:
            answer = await create_in(self._client, "Lease", self._namespace, body)
        self._version = version_of(answer)


def _micro_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
