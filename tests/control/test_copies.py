"""`modelmeter tune` against a model API server: its copies cost, so none is left without a word, whatever fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from modelmeter.cluster.client import TIMEOUT_SECONDS
from modelmeter.cluster.paths import path
from modelmeter.control.copies import DELETE_SECONDS
from modelmeter.control.tuning import PRICE_SECONDS, Plan, tune
from modelmeter.errors import ClusterError, ModelmeterError
from modelmeter.report.tuning import Setting, Trial, best
from tests.meter.builders import START
from tests.simulation import loop
from tests.simulation.client import Connection, Faults, SimulatedClient, _Response
from tests.simulation.server import Key, Object, Server

BODY: dict[str, Any] = {
    "metadata": {"namespace": "search", "name": "intent"},
    "spec": {
        "model": {"source": "pvc://models/minilm"},
        "serving": {"batching": {"maxBatchSize": 32, "maxQueueDelayMicroseconds": 500}},
        "benchmark": {"p95Milliseconds": 50},
    },
}
FIRST, SECOND = (Key("modeldeployments", "search", f"intent-tune-{number}") for number in (1, 2))
COMMAND = "kubectl delete modeldeployments.modelmeter.dev intent-tune-1 --namespace search"
MEASURING_SECONDS = 30.0


def status(rate: str, cost: str | None, **conditions: str) -> Object:
    """The status of a copy that was measured; conditions by their message, of status False."""
    found = {
        "inferencesPerSecond": rate,
        "p95Milliseconds": "48",
        "configHash": "a",
        "measuredAt": "2026-11-10T12:00:00Z",
    }
    return {
        "performance": {**found, **({"costPer1000AtSlo": cost} if cost else {})},
        "conditions": [condition("Benchmarked"), *(condition(kind, said) for kind, said in conditions.items())],
    }


def condition(kind: str, said: str = "") -> Object:
    """One, True where nothing is said."""
    return {
        "type": kind, "status": "False" if said else "True", "reason": "Any", "message": said,
        "lastTransitionTime": "2026-11-10T12:00:00Z", "observedGeneration": 1,
    }  # fmt: skip


class Cluster(SimulatedClient):
    """A model API server whose operator measures copies: each gets these statuses, at seconds after it was made."""

    def __init__(self, faults: Faults | None = None, **statuses: list[tuple[float, Object]]) -> None:
        self.server = Server(START, lambda kind, now: 0)
        self.refuses_deletion = False
        self.creates_after_seconds = 0.0
        """A creation is done so late, whether or not anybody still waits for the answer."""
        self.creations: list[asyncio.Task[_Response]] = []
        self.asked: list[str] = []
        self.trials: list[Trial] = []
        self.said: list[str] = []
        self._statuses = statuses
        super().__init__(Connection(self.server, faults or Faults(), lambda: None))

    async def _send(self, method: str, path: str, *arguments: Any) -> _Response:  # type: ignore[override]
        self.asked.append(method)
        if method == "DELETE" and self.refuses_deletion:
            return _Response(403, b'{"reason": "Forbidden", "message": "cannot delete"}')
        if method == "POST" and self.creates_after_seconds:
            self.creations.append(asyncio.ensure_future(self._create_late(method, path, *arguments)))
            done, _ = await asyncio.wait(self.creations[-1:], timeout=TIMEOUT_SECONDS)
            if not done:
                raise TimeoutError
            return self.creations[-1].result()
        return await super()._send(method, path, *arguments)

    async def _create_late(self, *arguments: Any) -> _Response:
        await asyncio.sleep(self.creates_after_seconds)
        return await super()._send(*arguments)

    def _changed(self, key: Key, before: Object | None, after: Object | None) -> None:
        if before is None:
            for seconds, told in self._statuses.get(key.name.replace("-", "_"), []):
                asyncio.get_running_loop().call_later(seconds, self._tell, key, told)

    def _tell(self, key: Key, told: Object) -> None:
        if key in self.server.objects:
            self.server.update(key, lambda item: item.update(status=told))

    def left(self) -> set[Key]:
        """Copies that exist."""
        return {key for key in self.server.objects if key.name != "intent"}

    async def tune(self, *settings: Setting) -> None:
        """Tune the model."""
        self.server.listeners.append(self._changed)
        self.server.create("modeldeployments", BODY)
        await self.again(*settings)

    async def again(self, *settings: Setting) -> None:
        """Tune it once more."""
        plan = Plan(settings or (Setting(8, 0),), {}, patience_seconds=600, run="5eed")
        body = json.loads(await self.get(path("ModelDeployment", "search", "intent")))
        await tune(self, body, plan, self.said.append, self.trials.append)


def play(story: Coroutine[Any, Any, None]) -> ModelmeterError | None:
    """A story under virtual time, and how it failed."""
    failed: list[ModelmeterError] = []

    async def main() -> None:
        try:
            await story
        except ModelmeterError as error:
            failed.append(error)
        except asyncio.CancelledError:
            return

    loop.run(main())
    return failed[0] if failed else None


async def ended(cluster: Cluster, *moments: float) -> None:
    """Tune, and be told to end at these moments, in seconds."""
    task = asyncio.ensure_future(cluster.tune())
    for moment in moments:
        asyncio.get_running_loop().call_at(moment, task.cancel)
    await task


MEASURED = status("100.00", "0.0030")


def test_all_are_tried_and_none_is_left() -> None:
    cluster = Cluster(
        intent_tune_1=[(MEASURING_SECONDS, MEASURED)], intent_tune_2=[(MEASURING_SECONDS, status("90.00", "0.0025"))]
    )
    assert play(cluster.tune(Setting(32, 500), Setting(64, 0))) is None
    assert [(trial.copy, trial.note) for trial in cluster.trials] == [("intent-tune-1", ""), ("intent-tune-2", "")]
    assert best(cluster.trials) == (cluster.trials[1], "cost per 1,000")
    assert not cluster.left()


@pytest.mark.parametrize("fault", ["reset", "lost", "error", "conflict", "slow"])
def test_a_deletion_is_tried_until_it_is_answered(fault: str) -> None:
    cluster = Cluster(Faults(writes={2: fault, 3: fault}), intent_tune_1=[(MEASURING_SECONDS, MEASURED)])
    assert play(cluster.tune()) is None
    assert not cluster.left()
    assert [trial.copy for trial in cluster.trials] == ["intent-tune-1"]


def test_a_deletion_that_is_never_answered_is_left_to_the_user() -> None:
    cluster = Cluster(Faults(writes=dict.fromkeys(range(2, 1000), "reset")), intent_tune_1=[(1, MEASURED)])
    failure = play(cluster.tune())
    assert str(failure).endswith(f"(the API server does not answer): {COMMAND}")
    assert cluster.left() == {FIRST}
    assert cluster.asked.count("DELETE") > DELETE_SECONDS / 4
    assert [trial.copy for trial in cluster.trials] == ["intent-tune-1"], "what was measured has been paid for"


def test_a_deletion_that_is_refused_is_left_to_the_user_at_once() -> None:
    cluster = Cluster(intent_tune_1=[(1, MEASURED)])
    cluster.refuses_deletion = True
    assert str(play(cluster.tune())).endswith(f"(cannot delete): {COMMAND}")
    assert cluster.asked.count("DELETE") == 1


@pytest.mark.parametrize("fault", ["lost", "slow"])
def test_a_copy_that_was_made_though_nobody_heard_of_it_is_deleted(fault: str) -> None:
    cluster = Cluster(Faults(writes={1: fault}))
    failure = play(ended(cluster, 20.0) if fault == "slow" else cluster.tune())
    assert (failure is None) is (fault == "slow")
    assert not cluster.left()
    assert cluster.asked.count("DELETE") == 1


def test_a_copy_that_is_made_after_its_answer_was_given_up_is_deleted() -> None:
    cluster = Cluster()
    cluster.creates_after_seconds = TIMEOUT_SECONDS + 3

    failed = []

    async def story() -> None:
        failed.extend(await asyncio.gather(cluster.tune(), return_exceptions=True))
        await asyncio.sleep(60)

    assert play(story()) is None
    assert "no answer" in str(failed)
    assert len(cluster.creations) == 1
    assert not cluster.left()


def test_whoever_ends_it_while_a_copy_is_being_made_waits_for_that() -> None:
    """The API server goes on with a request of which nobody waits for the answer."""
    cluster = Cluster()
    cluster.creates_after_seconds = 20

    async def story() -> None:
        await asyncio.wait([asyncio.ensure_future(ended(cluster, 5.0))])
        await asyncio.sleep(60)

    assert play(story()) is None
    assert cluster.creations[0].done()
    assert not cluster.left()


def test_a_copy_that_could_not_be_made_is_not_looked_for() -> None:
    cluster = Cluster()
    foreign = {"metadata": {"namespace": "search", "name": "intent-tune-1"}, "spec": {}}

    async def story() -> None:
        cluster.server.create("modeldeployments", foreign)
        await cluster.tune()

    assert str(play(story())).endswith(f"if nobody needs it: {COMMAND}")
    assert cluster.left() == {FIRST}, "it is somebody else's"
    assert "DELETE" not in cluster.asked


@pytest.mark.parametrize("moment", [0.03, 0.045, 5.0])
def test_whoever_ends_it_leaves_no_copy(moment: float) -> None:
    """Before, while and after the copy is made: each request takes 0.01 s, and the third is the creation."""
    cluster = Cluster()
    assert play(ended(cluster, moment)) is None
    assert not cluster.left()
    assert not cluster.trials


def test_whoever_ends_it_once_while_a_copy_is_being_deleted_waits_for_that() -> None:
    """The first deletion, at 2 s or so, gets no answer; the next is tried 2 s later."""
    cluster = Cluster(Faults(writes={2: "reset"}), intent_tune_1=[(1, MEASURED)])
    assert play(ended(cluster, 3.5)) is None
    assert cluster.asked.count("DELETE") == 2
    assert not cluster.left()
    assert [trial.copy for trial in cluster.trials] == ["intent-tune-1"]


def test_whoever_ends_it_twice_is_told_what_is_left() -> None:
    cluster = Cluster(Faults(writes={2: "reset"}))
    assert str(play(ended(cluster, 5.0, 5.5))).endswith(f"(its deletion was given up): {COMMAND}")
    assert cluster.left() == {FIRST}


def test_whoever_ends_it_twice_while_the_copy_is_being_made_is_told_too() -> None:
    cluster = Cluster(Faults(writes={1: "slow"}))
    assert str(play(ended(cluster, 5.0, 5.5))).endswith(f"(its deletion was given up): {COMMAND}")


def test_what_is_left_of_another_run_is_told_of_and_left_alone() -> None:
    cluster = Cluster()
    theirs = {"modelmeter.dev/tune-of": "intent", "modelmeter.dev/tune-run": "another"}
    left = {"metadata": {"namespace": "search", "name": "intent-tune-1", "labels": theirs}, "spec": {}}

    async def story() -> None:
        cluster.server.create("modeldeployments", left)
        await cluster.tune()

    failure = play(story())
    assert isinstance(failure, ClusterError)
    assert "copies of intent exist (intent-tune-1)" in failure.message
    assert COMMAND in failure.message
    assert cluster.left() == {FIRST}
    assert "POST" not in cluster.asked


THEIRS = {
    "namespace": "search",
    "name": "intent-tune-1",
    "labels": {"modelmeter.dev/tune-of": "intent", "modelmeter.dev/tune-run": "another"},
    "finalizers": ["modelmeter.dev/ledger"],
}


def test_what_another_run_has_deleted_is_waited_for() -> None:
    cluster = Cluster(intent_tune_1=[(1, MEASURED)])

    def released() -> None:
        cluster.server.update(FIRST, lambda item: item["metadata"].update(finalizers=[]))

    async def story() -> None:
        cluster.server.create("modeldeployments", {"metadata": dict(THEIRS), "spec": {}})
        cluster.server.delete(FIRST)
        asyncio.get_running_loop().call_later(20, released)
        await cluster.tune()

    assert play(story()) is None
    assert [trial.copy for trial in cluster.trials] == ["intent-tune-1"]
    assert not cluster.left()


def test_what_was_measured_is_told_though_a_later_trial_fails() -> None:
    cluster = Cluster(Faults(writes={3: "error"}), intent_tune_1=[(1, MEASURED)])
    failure = play(cluster.tune(Setting(32, 500), Setting(64, 0)))
    assert isinstance(failure, ClusterError)
    assert [trial.copy for trial in cluster.trials] == ["intent-tune-1"]
    assert not cluster.left()


def test_a_cost_that_comes_later_is_waited_for() -> None:
    cluster = Cluster(intent_tune_1=[(1, status("100.00", None)), (61, MEASURED)])
    assert play(cluster.tune()) is None
    (trial,) = cluster.trials
    assert trial.performance is not None
    assert trial.performance.cost_per1000_at_slo == "0.0030"


def test_where_there_is_no_price_rates_are_compared_and_nobody_waits_twice() -> None:
    unpriced = status("100.00", None, Priced="no rate for gpu")
    cluster = Cluster(intent_tune_1=[(1, unpriced)], intent_tune_2=[(1, status("90.00", None)), (60, MEASURED)])
    took = []

    async def story() -> None:
        await cluster.tune(Setting(32, 500), Setting(64, 0))
        took.append(asyncio.get_running_loop().time())

    assert play(story()) is None
    assert [trial.note for trial in cluster.trials] == [
        "its cost is not known: no rate for gpu",
        "its cost is not known",
    ]
    assert best(cluster.trials) == (cluster.trials[0], "rate, for a price is not known")
    assert PRICE_SECONDS < took[0] < 2 * PRICE_SECONDS


def test_what_was_measured_is_kept_though_its_cost_cannot_be_asked_for() -> None:
    cluster = Cluster(Faults(reads=dict.fromkeys(range(6, 11), "error")), intent_tune_1=[(3, status("100.00", None))])
    assert play(cluster.tune()) is None
    (trial,) = cluster.trials
    assert trial.performance is not None
    assert trial.note.startswith("its cost is not known: ")


def test_what_another_run_has_deleted_and_stays_is_told_of_and_nothing_is_made() -> None:
    cluster = Cluster()

    async def story() -> None:
        cluster.server.create("modeldeployments", {"metadata": dict(THEIRS), "spec": {}})
        cluster.server.delete(FIRST)
        await cluster.tune()

    assert "intent-tune-1 is being deleted, but still there, and costs" in str(play(story()))
    assert "POST" not in cluster.asked


def test_a_copy_whose_deletion_is_not_done_is_told_of() -> None:
    cluster = Cluster(intent_tune_1=[(1, MEASURED)])

    def held(key: Key, before: Object | None, after: Object | None) -> None:
        if before is None and key == FIRST:
            asyncio.get_running_loop().call_soon(hold)

    def hold() -> None:
        cluster.server.update(FIRST, lambda item: item["metadata"].update(finalizers=["modelmeter.dev/ledger"]))

    cluster.server.listeners.append(held)
    assert play(cluster.tune()) is None
    assert [trial.copy for trial in cluster.trials] == ["intent-tune-1"]
    assert any("intent-tune-1 is being deleted, but still there, and costs" in said for said in cluster.said)


def test_a_copy_that_another_run_makes_meanwhile_is_left_alone() -> None:
    cluster = Cluster(intent_tune_1=[(1, MEASURED)])

    def made(key: Key, before: Object | None, after: Object | None) -> None:
        if key == FIRST and after is None:
            second = {**THEIRS, "name": "intent-tune-2", "finalizers": []}
            cluster.server.create("modeldeployments", {"metadata": second, "spec": {}})

    cluster.server.listeners.append(made)
    assert "another tune has made intent-tune-2" in str(play(cluster.tune(Setting(8, 0), Setting(16, 0))))
    assert {key.name for key in cluster.left()} == {"intent-tune-2"}
