"""From a ModelDeployment to its children in the cluster, and back to none when it is deleted."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

from modelmeter.api.names import API_VERSION, LABEL_MODEL, LABEL_MODEL_UID, LEDGER_FINALIZER
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path, path_of
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.view import CHILD_KINDS, View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import ClusterError
from modelmeter.meter.objects import Bare, Claim
from modelmeter.provision.children import desired
from modelmeter.provision.workload import TEMPLATE_HASH, loader_image_of, template_hash

log = logging.getLogger(__name__)

RETRIABLE: Final = (0, 409, 429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may well succeed; others wait for a new spec."""
REFUSED_RETRY_SECONDS: Final = 60.0


class Provisioning:
    """Applies children; `changed` is called with a model's UID where its conditions may differ afterwards."""

    def __init__(self, client: Client, view: View, accounts: Accounts, loader_image: str, changed: Any) -> None:
        self._client = client
        self._view = view
        self._accounts = accounts
        self._loader_image = loader_image
        self._changed = changed
        self.queue = WorkQueue("provision", self._reconcile)

    def child_changed(self, kind: str, child: Bare | Claim, gone: bool) -> None:
        """Repair drift: a child that is gone, or not as our last apply left it, is applied again."""
        metadata = child.metadata
        account = self._accounts.owner(*_owner_key(child))
        if account is None or account.model is None:
            return
        if account.deleted is not None:
            self._changed(account.ref.uid)
            return
        known = account.applied.get(metadata.uid)
        if gone:
            account.applied.pop(metadata.uid, None)
        elif known == _version(metadata) or metadata.deletion_timestamp or known is None:
            return
        self.queue.add(account.ref.uid)

    async def _reconcile(self, uid: str) -> None:
        account = self._accounts.get(uid)
        if account is None or account.gone:
            return
        if account.deleted is not None:
            await self._tear_down(account)
        elif account.model is not None:
            await self._build_up(account)

    async def _build_up(self, account: Account) -> None:
        model = account.model
        assert model is not None
        error: str | None = None
        try:
            await self._hold(account)
            for manifest in desired(model, self._loader_image_for(account)):
                applied = msgspec.json.decode(await self._client.apply(path_of(manifest), manifest), type=Bare)
                account.applied[applied.metadata.uid] = _version(applied.metadata)
        except ClusterError as failure:
            error = f"{failure.reason}: {failure.message}" if failure.reason else failure.message
            if failure.status in RETRIABLE:
                raise
            self.queue.add_later(account.ref.uid, REFUSED_RETRY_SECONDS)
        finally:
            if error != account.apply_error:
                account.apply_error = error
                self._changed(account.ref.uid)

    async def _hold(self, account: Account) -> None:
        """Put our finalizer on the ModelDeployment before anything of it can cost."""
        ref = account.ref
        body = {
            "apiVersion": API_VERSION,
            "kind": "ModelDeployment",
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "uid": ref.uid,
                "finalizers": [LEDGER_FINALIZER],
            },
        }
        await self._client.apply(path("ModelDeployment", ref.namespace, ref.name), body)

    def _loader_image_for(self, account: Account) -> str:
        """The loader image that an unchanged spec already runs: a new operator restarts nobody's pods."""
        assert account.model is not None
        for deployment in self._view.children["Deployment"].of(*_ref_key(account)):
            annotations = deployment.metadata.annotations
            if annotations.get(TEMPLATE_HASH) == template_hash(account.model):
                return loader_image_of(annotations) or self._loader_image
        return self._loader_image

    async def _tear_down(self, account: Account) -> None:
        """Delete the children; the Deployment in the foreground, so that it is gone only after its pods."""
        key = _ref_key(account)
        for kind in CHILD_KINDS:
            for child in self._view.children[kind].of(*key):
                await self._delete(kind, child)
        for claim in self._view.claims.of(*key):
            await self._delete("PersistentVolumeClaim", claim)

    async def _delete(self, kind: str, child: Bare | Claim) -> None:
        metadata = child.metadata
        if metadata.deletion_timestamp is None:
            propagation = "Foreground" if kind == "Deployment" else "Background"
            await self._client.delete(path(kind, metadata.namespace, metadata.name), metadata.uid, propagation)


def _ref_key(account: Account) -> tuple[str, str, str]:
    return account.ref.namespace, account.ref.name, account.ref.uid


def _owner_key(child: Bare | Claim) -> tuple[str, str, str]:
    labels = child.metadata.labels
    return child.metadata.namespace, labels.get(LABEL_MODEL, ""), labels.get(LABEL_MODEL_UID, "")


def _version(metadata: Any) -> str:
    """What changes when somebody edits a child: its generation, where the kind has none its resourceVersion."""
    return str(metadata.generation or metadata.resource_version)
