"""Children are applied as far as they can be, and what cannot be is said; nobody else's object is touched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from modelmeter.api.cost_statement import ModelRef
from modelmeter.api.names import LEDGER_FINALIZER, TEMPLATE_HASH
from modelmeter.api.resources import ModelDeployment
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.provisioning import LEFT_RETRY_SECONDS, Provisioning
from modelmeter.control.refusals import REFUSED_RETRY_SECONDS
from modelmeter.control.rollouts import Rollouts
from modelmeter.control.view import View
from modelmeter.provision.device_claim import claim_templates
from modelmeter.provision.labels import labels
from modelmeter.provision.plan import CANARIES
from modelmeter.provision.workload import template_hash
from tests.meter.builders import START
from tests.provision.builders import DEVICES, model, serving
from tests.simulation import loop
from tests.simulation.client import Connection, Faults, SimulatedClient, _Response
from tests.simulation.server import Key, Object, Server

NAMESPACE, NAME = "search", "intent"
STABLE = Key("deployments", NAMESPACE, NAME)
CANARY = Key("deployments", NAMESPACE, f"{NAME}-canary")
SOON = 1.5
"""Seconds within which all is done that need not wait."""


class Cluster(SimulatedClient):
    """A model API server without controllers, and one model; it refuses what `refuses` says: method and words."""

    def __init__(self) -> None:
        self.server = Server(START, lambda kind, now: 0)
        self.refuses: tuple[str, str] | None = None
        super().__init__(Connection(self.server, Faults(), lambda: None))
        made = model()
        ref = ModelRef(namespace=made.namespace, name=made.name, uid=made.uid)
        self.account = Account(ref, START, generation=1, finalizers=(LEDGER_FINALIZER,))
        self.accounts = Accounts()
        self.accounts.add(self.account)

    async def _send(self, method: str, path: str, *arguments: Any) -> _Response:  # type: ignore[override]
        if self.refuses and method == self.refuses[0] and self.refuses[1] in path:
            return _Response(403, json.dumps({"reason": "Forbidden", "message": "a policy says no"}).encode())
        return await super()._send(method, path, *arguments)

    async def ask(self, provisioning: Provisioning, spec: dict[str, Any]) -> ModelDeployment:
        """The spec changes."""
        asked = self.account.model = model(spec)
        provisioning.queue.add(self.account.ref.uid)
        await asyncio.sleep(SOON)
        return asked


def play(cluster: Cluster, scene: Callable[[Provisioning], Awaitable[None]]) -> None:
    """A scene with an operator at work."""

    async def main() -> None:
        ref = cluster.account.ref
        metadata = {"namespace": ref.namespace, "name": ref.name, "uid": ref.uid}
        cluster.server.create("modeldeployments", {"metadata": metadata})

        def used(*_: object) -> None:
            provisioning.pod_changed(cluster.account)

        def changed(*change: Any) -> None:
            provisioning.child_changed(*change)

        view = View(cluster, used, changed)
        clock = cluster.server.now
        rollouts = Rollouts(cluster, view, clock)
        provisioning = Provisioning(
            cluster, view, cluster.accounts, rollouts, clock, "loader:1", lambda _: None, lambda _: None
        )
        await view.list()
        tasks = [asyncio.create_task(provisioning.queue.run(2)), asyncio.create_task(view.run())]
        await scene(provisioning)
        for task in tasks:
            task.cancel()

    loop.run(main())


def careful(replicas: int, batch: int) -> dict[str, Any]:
    """A spec that wants a canary; another batch size is another revision."""
    return serving(replicas=replicas, rollout={"canaryShare": "0.25"}, batching={"maxBatchSize": batch})


def pods_of(server: Server, asked: ModelDeployment, count: int) -> None:
    """The pods of the model's own Deployment are there and ready."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": server.stamp()}
    for number in range(count):
        metadata = {"namespace": NAMESPACE, "name": f"{NAME}-{number}", "labels": labels(asked)}
        metadata["annotations"] = {TEMPLATE_HASH: template_hash(asked)}
        status = {"phase": "Running", "conditions": [ready]}
        server.create("pods", {"metadata": metadata, "spec": {"nodeName": "l4-0"}, "status": status})


def test_who_has_the_canarys_name_keeps_neither_it_nor_the_models_own_replicas() -> None:
    cluster = Cluster()
    server = cluster.server
    sizes: list[int] = []

    def sized(key: Key, _: Object | None, after: Object | None) -> None:
        if key == STABLE and after:
            sizes.append(after["spec"]["replicas"])

    async def scene(provisioning: Provisioning) -> None:
        before = await cluster.ask(provisioning, careful(4, 8))
        pods_of(server, before, 4)
        theirs = {"namespace": NAMESPACE, "name": CANARY.name, "labels": {"app": "shop"}}
        server.create("deployments", {"metadata": theirs, "spec": {"any": 1}})
        server.listeners.append(sized)
        await cluster.ask(provisioning, careful(4, 16))
        error = str(cluster.account.apply_error)
        assert "NameTaken: Deployment intent-canary exists and belongs to somebody else, so the current spec" in error
        await cluster.ask(provisioning, careful(8, 16))
        await asyncio.sleep(3 * REFUSED_RETRY_SECONDS)
        assert set(sizes) <= {4, 8}
        stable = server.read(STABLE)
        assert stable["spec"]["replicas"] == 8
        assert stable["metadata"]["annotations"][TEMPLATE_HASH] == template_hash(before)
        assert server.read(CANARY)["spec"] == {"any": 1}

        server.delete(CANARY)
        await asyncio.sleep(REFUSED_RETRY_SECONDS + SOON)
        assert cluster.account.apply_error is None
        assert server.read(STABLE)["spec"]["replicas"] == 6
        made = server.read(CANARY)
        assert (made["spec"]["replicas"], made["metadata"]["annotations"][CANARIES]) == (2, "2")

    play(cluster, scene)


def test_a_template_that_may_not_be_deleted_is_told_of_and_tried_again() -> None:
    cluster = Cluster()
    device = DEVICES["serving"]["gpu"]
    fewer = {**DEVICES, "serving": {"gpu": {**device, "count": 1}}}

    async def scene(provisioning: Provisioning) -> None:
        before = await cluster.ask(provisioning, DEVICES)
        (old,) = (template["metadata"]["name"] for template in claim_templates(before))
        cluster.refuses = "DELETE", old
        await cluster.ask(provisioning, fewer)
        await asyncio.sleep(LEFT_RETRY_SECONDS)
        assert cluster.account.apply_error == "Forbidden: a policy says no"
        cluster.refuses = None
        await asyncio.sleep(REFUSED_RETRY_SECONDS + SOON)
        assert cluster.account.apply_error is None
        assert Key("resourceclaimtemplates", NAMESPACE, old) not in cluster.server.objects

    play(cluster, scene)
