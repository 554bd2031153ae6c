"""Takes the finalizer off what a written page has settled, once nobody needs to see the object any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from modelmeter.api.names import METERING_FINALIZER
from modelmeter.cluster.client import Client
from modelmeter.cluster.finalizers import remove_finalizer
from modelmeter.cluster.paths import path
from modelmeter.cluster.present import present
from modelmeter.control.accounts import Account
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.sharing import Sharing
from modelmeter.meter.objects import Claim, Metadata, Pod
from modelmeter.meter.observe import claims_of, own_claims_of
from modelmeter.provision.labels import is_child_of


class LettingGo:
    """Lets go of pods and claims by UID; `account.released` keeps what was let go of and is still shown as it was."""

    def __init__(self, client: Client, belongings: Belongings, sharing: Sharing) -> None:
        self._client = client
        self._belongings = belongings
        self._sharing = sharing

    async def release(self, account: Account) -> frozenset[str]:
        """Let go of what is settled; answers UIDs of the models that pods are kept for, for those have to hurry."""
        page = account.page
        assert page is not None
        held = {
            item.metadata.uid: (kind, item)
            for kind, item in self._belongings.objects(account)
            if item.metadata.uid in page.settled and METERING_FINALIZER in item.metadata.finalizers
        }
        # What was let go of already may be shown as it was before, for the watch is later than the answers.
        released = account.released = {uid: version for uid, version in account.released.items() if uid in held}
        unseen = await self._unseen(account, (item for _, item in held.values()))
        settled: list[tuple[str, Metadata]] = []
        awaited: set[str] = set()
        for uid, (kind, item) in held.items():
            # A claim that has lost its volume has ended, and goes only when somebody deletes it.
            stays = isinstance(item, Claim) and item.metadata.deletion_timestamp is None
            if stays or int(item.metadata.resource_version) < released.get(uid, 0):
                continue
            others = self._sharing.awaited(item) if isinstance(item, Pod) else frozenset()
            awaited |= others
            if not others and not self._outlasted(account, item, unseen):
                settled.append((kind, item.metadata))
        versions = await asyncio.gather(*(self._let_go(kind, metadata) for kind, metadata in settled))
        account.released |= {metadata.uid: version for (_, metadata), version in zip(settled, versions, strict=True)}
        return frozenset(awaited)

    async def _unseen(self, account: Account, items: Iterable[Pod | Claim]) -> frozenset[str]:
        """Names of a deleted model's own claims that exist, though a watch that is late has yet to show them."""
        if account.deleted is None:
            return frozenset()
        names = {name for item in items if isinstance(item, Pod) for name in claims_of(item)}
        found = set()
        for name in names - {claim.metadata.name for claim in self._belongings.claims(account)}:
            there = await present(self._client, path("PersistentVolumeClaim", account.ref.namespace, name))
            if there and is_child_of(account.ref.uid, there.labels) and METERING_FINALIZER in there.finalizers:
                found.add(name)
        return frozenset(found)

    def _outlasted(self, account: Account, item: Pod | Claim, unseen: frozenset[str]) -> bool:
        """Whether a pod has to stay for a claim that it mounts.

        So has one of a deleted model until the end of its claims, which is not before the pod's own, is on the page;
        and one whose own claim, which goes with it, does not carry our finalizer yet.
        """
        if not isinstance(item, Pod):
            return False
        mounted, own = claims_of(item), own_claims_of(item)
        if not unseen.isdisjoint(mounted) and not account.gone:
            return True
        settled = account.page.settled if account.page else {}
        for metadata in (claim.metadata for claim in self._belongings.claims(account)):
            if not is_child(metadata) or metadata.name not in mounted:
                continue
            # Where nobody tears down a model that is gone, its pod's own claim goes only after the pod.
            goes = account.deleted is not None and not (account.gone and metadata.name in own)
            if goes and metadata.uid not in settled:
                return True
            if METERING_FINALIZER not in metadata.finalizers and metadata.deletion_timestamp is None:
                return True
        return False

    async def _let_go(self, kind: str, metadata: Metadata) -> int:
        where = path(kind, metadata.namespace, metadata.name)
        return await remove_finalizer(self._client, where, metadata.uid, metadata.finalizers, METERING_FINALIZER)
