"""What ResourceClaims and ResourceSlices say, where the API server serves them, and which pods use which claim."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.cluster.reflector import Reflector
from modelmeter.errors import NotFound
from modelmeter.meter.device_objects import Allocated, Device, ResourceClaim, ResourceSlice
from modelmeter.meter.devices import Devices as ClaimedDevices
from modelmeter.meter.devices import allocated_devices
from modelmeter.meter.objects import Bare, Pod
from modelmeter.meter.profiles import captured


class Devices:
    """Lists and watches claims and slices; `allocated` hears the UIDs of pods for which a claim is reserved.

    `templates` are our claims' own, which the same API servers have.
    """

    def __init__(self, client: Client, allocated: Callable[[Iterable[str]], None], templates: Reflector[Bare]) -> None:
        self._allocated = allocated
        self._claims: dict[tuple[str, str], ResourceClaim] = {}
        self._slices: dict[tuple[str, str], dict[str, ResourceSlice]] = {}
        self._users: dict[str, dict[str, Pod]] = {}
        self._served = True
        self._reflectors: tuple[Reflector[Any], ...] = (
            # Slices first: a claim that is allocated finds its devices.
            Reflector(client, path("ResourceSlice"), ResourceSlice, self._slice_changed),
            Reflector(client, path("ResourceClaim"), ResourceClaim, self._claim_changed),
            templates,
        )

    async def list(self) -> None:
        """List everything once; where the API server does not know these kinds, there is nothing."""
        try:
            for reflector in self._reflectors:
                await reflector.list()
            self._served = True
        except NotFound:
            self._served = False

    async def run(self) -> None:
        """Keep up until cancelled."""
        if self._served:
            async with asyncio.TaskGroup() as group:
                for reflector in self._reflectors:
                    group.create_task(reflector.run())

    def of_claim(self, namespace: str, name: str) -> tuple[str, ClaimedDevices] | None:
        """A claim's UID and its GPUs; None while it is not there or nothing is allocated."""
        claim = self._claims.get((namespace, name))
        devices = allocated_devices(claim, self._device) if claim else None
        return (claim.metadata.uid, devices) if claim and devices else None

    def users(self, claim_uid: str) -> Iterator[Pod]:
        """Metered pods that use a claim, of whichever model."""
        yield from self._users.get(claim_uid, {}).values()

    def users_changed(self, before: Pod | None, after: Pod | None) -> tuple[Pod, ...]:
        """Note a pod's claims; answers the other pods that use them, for what each bears may be another now."""
        old, new = _claims_of(before), _claims_of(after)
        pod = after or before
        assert pod is not None
        for uid in old - new:
            users = self._users.get(uid, {})
            users.pop(pod.metadata.uid, None)
            if not users:
                self._users.pop(uid, None)
        for uid in new:
            assert after is not None
            self._users.setdefault(uid, {})[after.metadata.uid] = after
        return tuple(other for uid in old | new for other in self.users(uid) if other is not after)

    def _device(self, allocated: Allocated) -> Device | None:
        slices = self._slices.get((allocated.driver, allocated.pool), {}).values()
        newest = max((item.spec.pool.generation for item in slices), default=0)
        return next(
            (
                device
                for item in slices
                if item.spec.pool.generation == newest
                for device in item.spec.devices
                if device.name == allocated.device
            ),
            None,
        )

    def _slice_changed(self, before: ResourceSlice | None, after: ResourceSlice | None) -> None:
        for item in (before, after):
            if item is not None:
                known = self._slices.setdefault((item.spec.driver, item.spec.pool.name), {})
                known.pop(item.metadata.uid, None)
        if after is not None:
            self._slices[after.spec.driver, after.spec.pool.name][after.metadata.uid] = after

    def _claim_changed(self, before: ResourceClaim | None, after: ResourceClaim | None) -> None:
        if before is not None:
            self._claims.pop((before.metadata.namespace, before.metadata.name), None)
        if after is not None:
            self._claims[after.metadata.namespace, after.metadata.name] = after
            if after.status.allocation is not None:
                self._allocated(consumer.uid for consumer in after.status.reserved_for)


def _claims_of(pod: Pod | None) -> frozenset[str]:
    known = captured(pod) if pod else None
    return frozenset(known.claims) if known else frozenset()
