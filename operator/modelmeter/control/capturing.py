"""Notes on each running pod what decides its price, while its node is there to tell, and what it holds at first."""

from __future__ import annotations

from modelmeter.api.names import HELD_AT_FIRST, PRICE_PROFILE
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import Conflict, NotFound
from modelmeter.meter.objects import Pod
from modelmeter.meter.observe import (
    amounts,
    captured_profile,
    encode_amounts,
    encode_profile,
    node_profile,
    resized_at,
)


class Capturing:
    """Annotates pods with their node's price profile; beside the ledger, whose writes do not wait for it."""

    def __init__(self, client: Client, view: View, accounts: Accounts) -> None:
        self._client = client
        self._view = view
        self._accounts = accounts
        self.queue = WorkQueue("capture", self._capture)

    def pods_changed(self, account: Account) -> None:
        """Look at the model's pods again where one lacks its profile."""
        if self._lacking(account):
            self.queue.add(account.ref.uid)

    async def _capture(self, uid: str) -> None:
        account = self._accounts.get(uid)
        for pod in self._lacking(account) if account else ():
            metadata = pod.metadata
            profile = encode_profile(node_profile(self._view.nodes[pod.spec.node_name]))
            noted = {PRICE_PROFILE: profile}
            if resized_at(pod) is None:
                noted[HELD_AT_FIRST] = encode_amounts(amounts(pod))
            body = {"metadata": {"uid": metadata.uid, "annotations": noted}}
            try:
                await self._client.merge_patch(path("Pod", metadata.namespace, metadata.name), body)
            except (NotFound, Conflict):
                continue

    def _lacking(self, account: Account) -> list[Pod]:
        ref = account.ref
        pods = self._view.pods.of(ref.namespace, ref.name, ref.uid)
        return [pod for pod in pods if pod.spec.node_name in self._view.nodes and captured_profile(pod) is None]
