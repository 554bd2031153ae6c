"""Optional children come, stay and go as the spec says, whatever gets lost, and touch nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from modelmeter.api.cost_statement import ModelRef
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.extras import REPAIR_SECONDS, Extras
from modelmeter.control.refusals import REFUSED_RETRY_SECONDS
from tests.meter.builders import START
from tests.provision.builders import EXTRAS, model
from tests.simulation import loop
from tests.simulation.client import Connection, Faults, SimulatedClient, _Response
from tests.simulation.server import Key, Server

CPU, QUEUE, KEDA, ASLEEP = EXTRAS
AUTOSCALER = Key("horizontalpodautoscalers", "search", "intent")
BUDGET = Key("poddisruptionbudgets", "search", "intent")
SCALED = Key("scaledobjects", "search", "intent")
SOON = 1.5
"""Seconds within which all is done that need not wait."""


class Cluster(SimulatedClient):
    """A model API server, on which KEDA may be installed, and one model."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.server = Server(START, lambda kind, now: 0)
        self.faults = faults or Faults()
        self.keda = True
        self.told: list[str] = []
        super().__init__(Connection(self.server, self.faults, lambda: None))
        self.accounts = Accounts()
        made = model()
        self.account = Account(ModelRef(namespace=made.namespace, name=made.name, uid=made.uid), START)
        self.accounts.add(self.account)

    async def _send(self, method: str, path: str, *arguments: Any) -> _Response:  # type: ignore[override]
        if "scaledobjects" in path and not self.keda:
            return _Response(404, b"404 page not found\n")
        return await super()._send(method, path, *arguments)

    def operator(self) -> Extras:
        """A new operator process, which knows the model but not what one before it made."""
        self.account.extras.clear()
        return Extras(self, self.accounts, self.told.append)

    async def ask(self, extras: Extras, spec: dict[str, Any] | None) -> None:
        """The spec changes."""
        self.account.model = model(spec)
        extras.queue.add(self.account.ref.uid)
        await asyncio.sleep(SOON)

    def there(self) -> set[Key]:
        """What exists."""
        return set(self.server.objects)


def play(cluster: Cluster, scene: Callable[[Extras], Awaitable[None]]) -> None:
    """A scene with an operator at work."""

    async def main() -> None:
        extras = cluster.operator()
        working = asyncio.create_task(extras.queue.run(2))
        await scene(extras)
        working.cancel()

    loop.run(main())


def test_what_the_spec_no_longer_asks_for_goes() -> None:
    cluster = Cluster()

    async def scene(extras: Extras) -> None:
        for spec, expected in ((CPU, {AUTOSCALER, BUDGET}), (KEDA, {SCALED}), (QUEUE, {AUTOSCALER, BUDGET})):
            await cluster.ask(extras, spec)
            assert cluster.there() == expected
        await cluster.ask(extras, None)
        assert not cluster.there()

    play(cluster, scene)
    assert cluster.account.extras_error is None


def test_a_new_operator_finds_what_one_before_it_made() -> None:
    cluster = Cluster()
    play(cluster, lambda extras: cluster.ask(extras, CPU))
    assert cluster.there() == {AUTOSCALER, BUDGET}
    play(cluster, lambda extras: cluster.ask(extras, None))
    assert not cluster.there()


def test_what_was_made_though_the_answer_got_lost_goes_too() -> None:
    cluster = Cluster(Faults(writes={1: "lost"}))

    async def scene(extras: Extras) -> None:
        asking = asyncio.create_task(cluster.ask(extras, KEDA))
        await asyncio.sleep(SOON / 2)
        assert cluster.there() == {SCALED}
        # The spec changes before the next try.
        cluster.account.model = model()
        await asking
        assert not cluster.there()

    play(cluster, scene)


def test_what_somebody_deletes_or_changes_is_repaired_in_time() -> None:
    cluster = Cluster()

    async def scene(extras: Extras) -> None:
        await cluster.ask(extras, CPU)
        cluster.server.delete(BUDGET)
        cluster.server.merge(AUTOSCALER, {"spec": {"maxReplicas": 400}})
        await asyncio.sleep(REPAIR_SECONDS + SOON)
        assert cluster.there() == {AUTOSCALER, BUDGET}
        assert cluster.server.read(AUTOSCALER)["spec"]["maxReplicas"] == 8

    play(cluster, scene)


def test_a_model_that_asks_for_none_costs_no_request() -> None:
    cluster = Cluster()

    async def scene(extras: Extras) -> None:
        await cluster.ask(extras, None)
        listed = cluster.faults.read
        await cluster.ask(extras, None)
        await asyncio.sleep(2 * REPAIR_SECONDS)
        assert (listed, cluster.faults.read, cluster.faults.written) == (3, 3, 0)

    play(cluster, scene)


def test_a_cluster_without_keda_is_told_of_and_asked_again() -> None:
    cluster = Cluster()
    cluster.keda = False

    async def scene(extras: Extras) -> None:
        await cluster.ask(extras, {**ASLEEP, "serving": {**ASLEEP["serving"], "disruptionBudget": {}}})
        assert cluster.account.extras_error == "NoSuchKind: this cluster has no ScaledObject of keda.sh/v1alpha1"
        assert cluster.there() == {BUDGET}
        cluster.keda = True
        await asyncio.sleep(REFUSED_RETRY_SECONDS)
        assert cluster.there() == {BUDGET, SCALED}
        assert cluster.account.extras_error is None

    play(cluster, scene)
    assert len(cluster.told) == 2, "once that it is so, and once that it no longer is"


def test_somebody_elses_is_left_alone() -> None:
    cluster = Cluster()
    theirs = {"metadata": {"namespace": "search", "name": "intent", "labels": {"app": "shop"}}, "spec": {"any": 1}}

    async def scene(extras: Extras) -> None:
        cluster.server.create("horizontalpodautoscalers", theirs)
        await cluster.ask(extras, CPU)
        assert "belongs to somebody else" in str(cluster.account.extras_error)
        assert cluster.there() == {AUTOSCALER, BUDGET}
        await cluster.ask(extras, None)
        assert cluster.there() == {AUTOSCALER}
        assert cluster.server.read(AUTOSCALER)["spec"] == {"any": 1}
        # Ours is deleted, and another of the same name made, before the spec changes.
        cluster.server.delete(AUTOSCALER)
        await cluster.ask(extras, CPU)
        cluster.server.delete(AUTOSCALER)
        cluster.server.create("horizontalpodautoscalers", theirs)
        await cluster.ask(extras, None)
        assert cluster.there() == {AUTOSCALER}

    play(cluster, scene)


def test_a_deleted_models_go_even_where_its_spec_cannot_work() -> None:
    cluster = Cluster()

    async def scene(extras: Extras) -> None:
        await cluster.ask(extras, CPU)
        cluster.account.model, cluster.account.deleted = None, START
        extras.queue.add(cluster.account.ref.uid)
        await asyncio.sleep(SOON)
        assert not cluster.there()

    play(cluster, scene)
