"""What the pods of benchmark Jobs found is noted on their Jobs, whatever ends, goes or is refused in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from modelmeter.api.benchmark import Outcome
from modelmeter.api.cost_statement import ModelRef
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.benchmarking import JOB_UID, Benchmarking
from modelmeter.control.refusals import REFUSED_RETRY_SECONDS
from modelmeter.control.view import View
from modelmeter.meter.objects import Bare, Claim, Pod
from modelmeter.provision.benchmark import job
from tests.meter.builders import START
from tests.provision.builders import MEASURED, model
from tests.simulation import loop
from tests.simulation.client import Connection, Faults, SimulatedClient, _Response
from tests.simulation.server import Key, Server

MODEL = model(MEASURED)
MANIFEST = job(MODEL, "loader:1", "NVIDIA-L4")
JOB = Key("jobs", "search", MANIFEST["metadata"]["name"])
NOTED = "modelmeter.dev/benchmark-outcome"
SOON = 2.0


class Cluster(SimulatedClient):
    """A model API server with one model, whose Job is made by hand."""

    def __init__(self, jobs_late_seconds: float = 0) -> None:
        self.server = Server(START, lambda kind, now: jobs_late_seconds if kind == "jobs" else 0)
        self.refusal: tuple[int, str, str] | None = None
        """How a note on a Job is answered."""
        super().__init__(Connection(self.server, Faults(), lambda: None))
        accounts = Accounts()
        self.account = Account(ModelRef(namespace=MODEL.namespace, name=MODEL.name, uid=MODEL.uid), START, model=MODEL)
        accounts.add(self.account)
        self.view = View(self, self._pod_changed, self._job_changed)
        self.benchmarking = Benchmarking(
            self, self.view, accounts, Belongings(self.view, accounts), "loader:1", lambda uid: None
        )

    def _pod_changed(self, kind: str, item: Pod | Claim, gone: bool) -> None:
        if isinstance(item, Pod):
            self.benchmarking.pod_changed(self.account, item)

    def _job_changed(self, kind: str, child: Bare | Claim, gone: bool) -> None:
        self.benchmarking.queue.add(self.account.ref.uid)

    async def _send(self, method: str, path: str, *arguments: Any) -> _Response:  # type: ignore[override]
        if method == "PATCH" and "/jobs/" in path and self.refusal:
            status, reason, message = self.refusal
            return _Response(status, b'{"reason": "%s", "message": "%s"}' % (reason.encode(), message.encode()))
        return await super()._send(method, path, *arguments)

    def make_job(self) -> str:
        """The Job, as the operator makes it; its UID."""
        return str(self.server.create("jobs", MANIFEST)["metadata"]["uid"])

    def pod(self, name: str, job_uid: str, found: Outcome | None = None, disrupted: bool = False) -> Key:
        """A pod of the Job that has ended: with a result, or killed."""
        text = found.model_dump_json(by_alias=True, exclude_none=True) if found else ""
        ended = {"exitCode": 0 if found else 143, "finishedAt": "2026-11-10T12:00:00Z", "message": text}
        conditions = [{"type": "DisruptionTarget", "status": "True"}] if disrupted else []
        metadata = {"namespace": "search", "name": name, "labels": {**LABELS, JOB_UID: job_uid}}
        self.server.create(
            "pods",
            {
                "metadata": metadata,
                "status": {
                    "phase": "Succeeded" if found else "Failed",
                    "conditions": conditions,
                    "containerStatuses": [{"name": "benchmark", "state": {"terminated": ended}}],
                },
            },
        )
        return Key("pods", "search", name)

    def wait_for_node(self, name: str, job_uid: str, said: str) -> None:
        """A pod of the Job that the scheduler finds no node for."""
        metadata = {"namespace": "search", "name": name, "labels": {**LABELS, JOB_UID: job_uid}}
        condition = {"type": "PodScheduled", "status": "False", "message": said}
        self.server.create("pods", {"metadata": metadata, "status": {"phase": "Pending", "conditions": [condition]}})

    def noted(self) -> Outcome | None:
        """What stands on the Job."""
        text = self.server.read(JOB)["metadata"]["annotations"].get(NOTED)
        return Outcome.model_validate_json(text) if text else None


LABELS: dict[str, str] = MANIFEST["spec"]["template"]["metadata"]["labels"]
FOUND = Outcome(inferences_per_second="96.40", p95_milliseconds="48.21")


def play(cluster: Cluster, scene: Callable[[], Awaitable[None]]) -> None:
    """A scene with an operator at work."""

    async def main() -> None:
        await cluster.view.list()
        working = [asyncio.create_task(work) for work in (cluster.view.run(), cluster.benchmarking.queue.run(1))]
        await scene()
        for task in working:
            task.cancel()

    loop.run(main())


def test_what_a_drain_ended_is_no_result_and_what_the_next_pod_finds_is() -> None:
    cluster = Cluster()

    async def scene() -> None:
        uid = cluster.make_job()
        cluster.pod("first", uid, disrupted=True)
        await asyncio.sleep(SOON)
        assert cluster.noted() is None
        cluster.pod("second", uid, FOUND)
        await asyncio.sleep(SOON)
        found = cluster.noted()
        assert found is not None
        assert (found.inferences_per_second, found.error) == ("96.40", "")

    play(cluster, scene)


def test_a_pod_without_a_node_says_why() -> None:
    cluster = Cluster()

    async def scene() -> None:
        cluster.wait_for_node("first", cluster.make_job(), "0/3 nodes are available: 3 had untolerated taint(s).")
        await asyncio.sleep(SOON)
        facts = cluster.benchmarking.facts(cluster.account)
        assert facts is not None
        assert facts.unscheduled == "0/3 nodes are available: 3 had untolerated taint(s)."

    play(cluster, scene)


def test_a_drained_pod_that_stays_does_not_hide_how_its_job_ended() -> None:
    cluster = Cluster()

    async def scene() -> None:
        cluster.pod("first", cluster.make_job(), disrupted=True)
        failed = {"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}
        cluster.server.update(JOB, lambda item: item.update(status={"conditions": [failed]}))
        await asyncio.sleep(SOON)
        facts = cluster.benchmarking.facts(cluster.account)
        assert facts is not None
        assert facts.ended == "Job was active longer than specified deadline"

    play(cluster, scene)


def test_what_a_killed_pod_did_not_find_is_noted() -> None:
    cluster = Cluster()

    async def scene() -> None:
        cluster.pod("first", cluster.make_job())
        await asyncio.sleep(SOON)
        found = cluster.noted()
        assert found is not None
        assert "pod first ended with exit code 143" in found.error

    play(cluster, scene)


def test_a_note_that_is_refused_says_so_and_is_tried_again() -> None:
    cluster = Cluster()
    cluster.refusal = 422, "Invalid", "metadata.annotations: too long"

    async def scene() -> None:
        cluster.pod("first", cluster.make_job(), FOUND)
        await asyncio.sleep(SOON)
        said = f"what Job {JOB.name} found cannot be noted on it: Invalid: metadata.annotations: too long"
        assert cluster.account.benchmark_error == said
        cluster.refusal = None
        await asyncio.sleep(REFUSED_RETRY_SECONDS)
        assert cluster.account.benchmark_error is None
        assert cluster.noted() is not None

    play(cluster, scene)


def test_a_job_that_is_another_by_now_is_no_refusal() -> None:
    """The API server says of its UID that it cannot be changed; the watch has yet to show that it is another."""
    cluster = Cluster(jobs_late_seconds=30)
    cluster.refusal = 422, "Invalid", "metadata.uid: field is immutable"

    async def scene() -> None:
        uid = cluster.make_job()
        await asyncio.sleep(40)
        cluster.server.delete(JOB)
        cluster.make_job()
        cluster.pod("first", uid, FOUND)
        await asyncio.sleep(SOON)
        assert cluster.account.benchmarks, "the operator has tried to note it"
        assert cluster.account.benchmark_error is None

    play(cluster, scene)


def test_what_a_job_that_is_gone_found_is_forgotten_with_its_pod() -> None:
    cluster = Cluster()
    cluster.refusal = 403, "Forbidden", "no"

    async def scene() -> None:
        uid = cluster.make_job()
        key = cluster.pod("first", uid, FOUND)
        await asyncio.sleep(SOON)
        assert set(cluster.account.benchmarks) == {uid}
        cluster.server.delete(JOB)
        await asyncio.sleep(SOON)
        cluster.server.delete(key)
        await asyncio.sleep(SOON)
        assert cluster.account.benchmarks == {}

    play(cluster, scene)


def test_what_was_found_waits_for_a_job_that_a_late_watch_has_yet_to_show() -> None:
    cluster = Cluster(jobs_late_seconds=30)

    async def scene() -> None:
        cluster.pod("first", cluster.make_job(), FOUND)
        await asyncio.sleep(SOON)
        assert cluster.noted() is None
        await asyncio.sleep(40)
        assert cluster.noted() is not None
        await asyncio.sleep(40)
        assert cluster.account.benchmarks == {}, "the watch has shown the note"

    play(cluster, scene)
