"""Claims and their volumes: users who ask for them, and the controllers that bind, resize and protect them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from tests.simulation.histories import ClaimStory
from tests.simulation.oracle import Held
from tests.simulation.server import Key, Object
from tests.simulation.stage import GIB, LABELS, METERING, NAME, NAMESPACE, Stage

PROTECTION: Final = "kubernetes.io/pvc-protection"


class Claims:
    """Acts the stories of claims."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._server = stage.server
        self._truth = stage.truth
        self.deleted: dict[str, datetime] = {}
        """When claims were deleted, by UID."""

    def changed(self, before: Object | None, after: Object | None) -> None:
        """Claims are bound, and protected while they are used."""
        item = after or before
        assert item is not None
        uid = item["metadata"]["uid"]
        if before is None and item["metadata"]["name"] == f"{NAME}-models":
            self._stage.start(self._bind(Key("persistentvolumeclaims", NAMESPACE, f"{NAME}-models"), 2))
        if after is not None and "deletionTimestamp" in after["metadata"] and uid not in self.deleted:
            self.deleted[uid] = self._server.now()
            asyncio.get_running_loop().call_soon(self.unprotect)

    async def act(self, name: str, story: ClaimStory) -> None:
        """A claim from its creation on."""
        await self._stage.until(story.created)
        if story.created >= self._stage.history.length or self._stage.over.is_set():
            return
        metadata = {
            "namespace": NAMESPACE,
            "name": name,
            "labels": dict(LABELS),
            "finalizers": [PROTECTION, METERING],
        }
        spec = {
            "storageClassName": story.storage_class,
            "resources": {"requests": {"storage": f"{story.gibibytes}Gi"}},
        }
        made = self._server.create("persistentvolumeclaims", {"metadata": metadata, "spec": spec, "status": {}})
        key, uid = Key("persistentvolumeclaims", NAMESPACE, name), made["metadata"]["uid"]
        if story.deleted is not None:
            self._stage.start(self._delete(key, story.deleted))
        if story.bound is None or not await self._bind(key, story.bound):
            return
        if story.resized is not None and not await self._stage.pause(story.resized) and self._stage.lives(key):
            asked = {"requests": {"storage": f"{story.gibibytes * 2}Gi"}}
            self._server.update(key, lambda item: item["spec"].update(resources=asked), ("", "spec.resources"))
            self._capacity(key, story.gibibytes * 2)
            self._truth.held[uid].sizes.append((self._server.now(), {"storage": story.gibibytes * 2 * GIB}))

    async def _delete(self, key: Key, seconds: int) -> None:
        if not await self._stage.pause(seconds) and self._stage.lives(key):
            self._server.delete(key)

    async def _bind(self, key: Key, seconds: int) -> bool:
        if seconds:
            await asyncio.sleep(seconds)
        if not self._stage.lives(key):
            return False
        claim = self._server.read(key)
        gibibytes = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))
        self._capacity(key, gibibytes, ("status", "status.phase"))
        metadata, start = claim["metadata"], self._server.now()
        self._truth.held[metadata["uid"]] = Held(
            start,
            [(start, {"storage": gibibytes * GIB})],
            {"storageClass": claim["spec"].get("storageClassName", "")},
        )
        return True

    def _capacity(self, key: Key, gibibytes: int, *also: tuple[str, str]) -> None:
        status = {"phase": "Bound", "capacity": {"storage": f"{gibibytes}Gi"}}
        self._server.update(key, lambda claim: claim.update(status=status), ("status", "status.capacity"), *also)

    def unprotect(self) -> None:
        """Take the protection off deleted claims that no pod uses."""
        using = {
            volume["persistentVolumeClaim"]["claimName"]
            for pod in self._server.select("pods")
            for volume in pod["spec"]["volumes"]
            if pod["status"].get("phase") not in ("Succeeded", "Failed")
        }
        for claim in list(self._server.select("persistentvolumeclaims")):
            metadata = claim["metadata"]
            unused = "deletionTimestamp" in metadata and metadata["name"] not in using
            if unused and PROTECTION in metadata["finalizers"]:
                key = Key("persistentvolumeclaims", NAMESPACE, metadata["name"])
                self._server.update(key, lambda item: item["metadata"]["finalizers"].remove(PROTECTION))
