"""A model's optional children: made where its spec asks for them, deleted where it no longer does.

Nobody watches them, for an autoscaler notes in its own what it reads, every few seconds: they are applied again now and
then, which repairs what somebody changed. A model that asks for none costs no request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from modelmeter.api.names import LABEL_MODEL, LABEL_MODEL_UID
from modelmeter.cluster.client import METADATA_LIST, Client
from modelmeter.cluster.listing import items
from modelmeter.cluster.paths import kind_and_name, path, path_of
from modelmeter.cluster.present import present
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.refusals import REFUSED_RETRY_SECONDS, said, taken
from modelmeter.control.view import OURS
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import ClusterError, NotFound
from modelmeter.meter.objects import Bare
from modelmeter.provision.children import EXTRA_KINDS, extras
from modelmeter.provision.labels import is_child_of

REPAIR_SECONDS: Final = 600.0
UNKNOWN: Final = (403, 404)
"""What is answered about a kind that the cluster does not have, or that we may not list, so have never made."""


class Extras:
    """Settles one model at a time; `changed` hears of models whose conditions may differ."""

    def __init__(self, client: Client, accounts: Accounts, changed: Callable[[str], None]) -> None:
        self._client = client
        self._accounts = accounts
        self._changed = changed
        self._known = False
        self._knowing = asyncio.Lock()
        self.queue = WorkQueue("extras", self._settle)

    async def _settle(self, uid: str) -> None:
        account = self._accounts.get(uid)
        if account is None or account.gone:
            return
        if account.deleted is not None:
            failures = await self._make(account, ())
        elif account.model is not None:
            failures = await self._make(account, extras(account.model))
        else:
            return
        self._note(account, failures)
        if passing := next((failure for failure in failures if failure.passing), None):
            raise passing
        if failures or account.extras:
            self.queue.add_later(uid, REFUSED_RETRY_SECONDS if failures else REPAIR_SECONDS)

    async def _make(self, account: Account, manifests: Sequence[dict[str, Any]]) -> list[ClusterError]:
        """Make these and no others: first what is not to be goes, for two autoscalers of one model work against each
        other."""
        try:
            await self._know()
            for key in sorted(account.extras - {kind_and_name(manifest) for manifest in manifests}):
                await self._remove(account, *key)
        except ClusterError as failure:
            return [failure]
        failures = []
        for manifest in manifests:
            try:
                await self._apply(account, manifest)
            except ClusterError as failure:
                failures.append(failure)
        return failures

    async def _know(self) -> None:
        """Learn, once, what an operator before us made."""
        async with self._knowing:
            if self._known:
                return
            for kind in EXTRA_KINDS:
                try:
                    found = await items(
                        self._client, path(kind), Bare, METADATA_LIST, labelSelector=f"{OURS},{LABEL_MODEL}"
                    )
                except ClusterError as failure:
                    if failure.status not in UNKNOWN:
                        raise
                    continue
                for metadata in (child.metadata for child in found):
                    if account := self._accounts.get(metadata.labels.get(LABEL_MODEL_UID, "")):
                        account.extras.add((kind, metadata.name))
            self._known = True

    async def _remove(self, account: Account, kind: str, name: str) -> None:
        where = path(kind, account.ref.namespace, name)
        there = await present(self._client, where)
        if there and is_child_of(account.ref.uid, there.labels) and not there.deletion_timestamp:
            await self._client.delete(where, there.uid)
        account.extras.discard((kind, name))

    async def _apply(self, account: Account, manifest: dict[str, Any]) -> None:
        there = await present(self._client, path_of(manifest))
        if there and not is_child_of(account.ref.uid, there.labels):
            raise taken(manifest, "so it is left alone")
        # Before it is: an answer may get lost.
        account.extras.add(kind_and_name(manifest))
        try:
            await self._client.apply(path_of(manifest), manifest)
        except NotFound as failure:
            if "namespaces" in failure.message:
                raise
            kind, version = manifest["kind"], manifest["apiVersion"]
            raise NotFound(404, "NoSuchKind", f"this cluster has no {kind} of {version}") from None

    def _note(self, account: Account, failures: Sequence[ClusterError]) -> None:
        error = said(failures, again=account.extras_failed)
        account.extras_failed = bool(failures)
        if error != account.extras_error:
            account.extras_error = error
            self._changed(account.ref.uid)
