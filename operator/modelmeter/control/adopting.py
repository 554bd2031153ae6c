"""Pods and claims that somebody labelled by hand: ours to meter from the moment that they are first seen.

They get the metering finalizer, so that they do not vanish uncounted, and the UID of their model, so that a later
model of the same name does not count them again. What carries our finalizer and belongs to no model is let go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from modelmeter.api.names import LABEL_MODEL, LABEL_MODEL_UID, METERING_FINALIZER
from modelmeter.cluster.client import Client
from modelmeter.cluster.events import record
from modelmeter.cluster.finalizers import remove_finalizer
from modelmeter.cluster.paths import path
from modelmeter.cluster.present import present
from modelmeter.control.accounts import Account
from modelmeter.control.belongings import Belongings
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import ClusterError, Conflict, NotFound
from modelmeter.meter.lifetime import TERMINAL
from modelmeter.meter.objects import Claim, Metadata, Pod

log = logging.getLogger(__name__)

ORPHAN_SECONDS: Final = 30.0
"""How long something may wait for its ModelDeployment: whoever applies both has no order to keep."""
NO_MODEL: Final = "NoModel"
"""Reason of the event about an orphan."""
NOT_HELD: Final = "NotHeld"
"""Reason of the event about what cannot get our finalizer."""


class Adopting:
    """Puts finalizer and UID on what belongs to a model, and takes the finalizer off what belongs to none."""

    def __init__(self, client: Client, view: View, belongings: Belongings, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._view = view
        self._belongings = belongings
        self._clock = clock
        self._told: set[str] = set()
        self.queue = WorkQueue("adopt", self._work)

    def changed(self, account: Account | None, kind: str, item: Pod | Claim) -> None:
        """Look at a pod or claim that was added or changed; `account` is its owner, if it has one."""
        uid = item.metadata.uid
        if account is None:
            if uid not in self._told or METERING_FINALIZER in item.metadata.finalizers:
                self.queue.add_later(f"{kind}/{uid}", ORPHAN_SECONDS)
        elif lacking(account, item):
            self.queue.add(f"{kind}/{uid}")

    def gone(self, uid: str) -> None:
        """Forget what no longer exists."""
        self._told.discard(uid)

    async def _work(self, key: str) -> None:
        kind, _, uid = key.partition("/")
        item = self._view.find(kind, uid)
        if item is None:
            return
        account = self._belongings.owner(item.metadata)
        if account is None:
            await self._let_go(kind, item)
        elif patch := lacking(account, item):
            await self._adopt(kind, item, patch)

    async def _adopt(self, kind: str, item: Pod | Claim, patch: dict[str, Any]) -> None:
        metadata = item.metadata
        where = path(kind, metadata.namespace, metadata.name)
        try:
            await self._client.strategic_patch(where, {"metadata": {"uid": metadata.uid, **patch}})
        except (NotFound, Conflict):
            return
        except ClusterError as error:
            # 422: deletion began meanwhile, and then no finalizer may be added; or a policy refuses it.
            there = await present(self._client, where) if error.status == 422 else None
            if error.status == 422 and (there is None or there.uid != metadata.uid or there.deletion_timestamp):
                return
            await self._tell(kind, metadata, NOT_HELD, f"not held for metering: {error.message}")
            raise

    async def _let_go(self, kind: str, item: Pod | Claim) -> None:
        metadata = item.metadata
        if METERING_FINALIZER in metadata.finalizers:
            where = path(kind, metadata.namespace, metadata.name)
            await remove_finalizer(self._client, where, metadata.uid, metadata.finalizers, METERING_FINALIZER)
        name = metadata.labels.get(LABEL_MODEL, "")
        message = f"not metered: label {LABEL_MODEL} names {name!r}, and there is no such ModelDeployment here"
        if LABEL_MODEL_UID in metadata.labels:
            message += f" of the UID in label {LABEL_MODEL_UID}; on a copy, leave that label out"
        await self._tell(kind, metadata, NO_MODEL, message)

    async def _tell(self, kind: str, metadata: Metadata, reason: str, message: str) -> None:
        """Once for each object."""
        if metadata.uid in self._told:
            return
        self._told.add(metadata.uid)
        log.warning("%s %s/%s is %s", kind, metadata.namespace, metadata.name, message)
        involved = {
            "apiVersion": "v1",
            "kind": kind,
            "namespace": metadata.namespace,
            "name": metadata.name,
            "uid": metadata.uid,
        }
        await record(self._client, involved, "Warning", reason, message, self._clock())


def lacking(account: Account, item: Pod | Claim) -> dict[str, Any]:
    """What of its metadata is to be added; empty where nothing lacks.

    Nothing can hold what is being deleted, and nothing need hold what has ended: those get the UID only.
    A model that is being deleted takes in nothing new.
    """
    metadata = item.metadata
    if account.deleted is not None:
        return {}
    patch: dict[str, Any] = {}
    if LABEL_MODEL_UID not in metadata.labels:
        patch["labels"] = {LABEL_MODEL_UID: account.ref.uid}
    ended = isinstance(item, Pod) and item.status.phase in TERMINAL
    if METERING_FINALIZER not in metadata.finalizers and metadata.deletion_timestamp is None and not ended:
        patch["finalizers"] = [METERING_FINALIZER]
    return patch
