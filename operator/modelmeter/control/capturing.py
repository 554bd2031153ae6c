"""Notes on each running pod what decides its price, while its node and its devices are there to tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from modelmeter.api.names import PRICE_PROFILE
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import Conflict, NotFound
from modelmeter.meter.devices import Devices, claim_names, with_claims
from modelmeter.meter.objects import Node, Pod
from modelmeter.meter.observe import TERMINAL, gpu_resources, scheduled_at
from modelmeter.meter.profiles import CLAIM_UNKNOWN, Captured, captured, encode, on_node
from modelmeter.meter.shares import PREFIX, PRODUCT

PATIENCE: Final = timedelta(minutes=2)
"""How long a pod waits for its node's GPU labels and its claims' devices: a new node joins without labels."""


class Capturing:
    """Annotates pods with what is known of their price; beside the ledger, whose writes do not wait for it."""

    def __init__(
        self, client: Client, view: View, accounts: Accounts, belongings: Belongings, clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._view = view
        self._accounts = accounts
        self._belongings = belongings
        self._clock = clock
        self.queue = WorkQueue("capture", self._capture)

    def pods_changed(self, account: Account) -> None:
        """Look at the model's pods again where one lacks its profile."""
        if self._lacking(account):
            self.queue.add(account.ref.uid)

    async def _capture(self, uid: str) -> None:
        account = self._accounts.get(uid)
        for pod in self._lacking(account) if account else ():
            metadata = pod.metadata
            known = self._known(pod, self._view.nodes[pod.spec.node_name])
            if known is None:
                self.queue.add_later(uid, PATIENCE.total_seconds())
                continue
            body = {"metadata": {"uid": metadata.uid, "annotations": {PRICE_PROFILE: encode(known)}}}
            try:
                await self._client.merge_patch(path("Pod", metadata.namespace, metadata.name), body)
            except (NotFound, Conflict):
                continue

    def _lacking(self, account: Account) -> list[Pod]:
        pods = self._belongings.pods(account)
        return [pod for pod in pods if pod.spec.node_name in self._view.nodes and captured(pod) is None]

    def _known(self, pod: Pod, node: Node) -> Captured | None:
        """What is known by now; None where more is to come and there is time to wait for it."""
        claims: dict[str, Devices] = {}
        names = claim_names(pod)
        for name in names:
            if found := self._view.devices.of_claim(pod.metadata.namespace, name):
                claims[found[0]] = found[1]
        all_claims = len(claims) == len(names)
        resources = gpu_resources(pod)
        labelled = PRODUCT in node.metadata.labels or not any(name.startswith(PREFIX) for name in resources)
        if not (all_claims and labelled) and self._patient(pod):
            return None
        known = with_claims(on_node(node, resources), claims)
        return known if all_claims else known._replace(reason=CLAIM_UNKNOWN)

    def _patient(self, pod: Pod) -> bool:
        """Whether the pod will be there for a while and has not waited long."""
        start, _ = scheduled_at(pod)
        ending = pod.metadata.deletion_timestamp is not None or pod.status.phase in TERMINAL
        return not ending and start is not None and self._clock() - start < PATIENCE
