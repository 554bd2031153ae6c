"""Notes on each running pod what decides its price, while its node and devices are there to tell, and what it holds."""

from __future__ import annotations

import msgspec

from modelmeter.api.names import HELD_AT_FIRST, PRICE_PROFILE
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.profiling import PATIENCE, Profiling
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import Conflict, NotFound
from modelmeter.meter.lifetime import resized_at
from modelmeter.meter.objects import Bare, Pod
from modelmeter.meter.observe import to_be_noted
from modelmeter.meter.profiles import Captured, encode
from modelmeter.meter.requests import encode_at_first, held_by


class Capturing:
    """Annotates pods with what is known of their price; beside the ledger, whose writes do not wait for it."""

    def __init__(
        self, client: Client, view: View, accounts: Accounts, belongings: Belongings, profiling: Profiling
    ) -> None:
        self._client = client
        self._view = view
        self._accounts = accounts
        self._belongings = belongings
        self._profiling = profiling
        self.queue = WorkQueue("capture", self._capture)

    def pod_changed(self, account: Account, pod: Pod) -> None:
        """Look at the model's pods again where this one lacks its profile."""
        if to_be_noted(pod):
            self.queue.add(account.ref.uid)

    async def _capture(self, uid: str) -> None:
        account = self._accounts.get(uid)
        for pod in list(filter(to_be_noted, self._belongings.pods(account))) if account else ():
            if account and account.page and pod.metadata.uid in account.page.settled:
                # It was posted without; noted now, others would share their claims with it.
                continue
            if known := self._profiling.known(pod):
                await self._note(pod, known)
            elif self._profiling.awaits(pod):
                self.queue.add_later(uid, PATIENCE.total_seconds())

    async def _note(self, pod: Pod, known: Captured) -> None:
        metadata = pod.metadata
        noted = {PRICE_PROFILE: encode(known, pod)}
        if resized_at(metadata) is None:
            amounts, _ = held_by(pod, known)
            noted[HELD_AT_FIRST] = encode_at_first(amounts, pod)
        body = {"metadata": {"uid": metadata.uid, "annotations": noted}}
        try:
            answer = await self._client.merge_patch(path("Pod", metadata.namespace, metadata.name), body)
        except (NotFound, Conflict):
            return
        self._view.noted(msgspec.json.decode(answer, type=Bare).metadata, noted)
