"""Which pods are read, when, and what a slow one does to the others. The servers are scripted: silence matters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from modelmeter.api.cost_statement import ModelRef
from modelmeter.api.scalars import rfc3339
from modelmeter.cluster import statistics
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.control import counting, ticking
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.counting import Counting
from modelmeter.control.operator import Operator
from modelmeter.control.view import View
from modelmeter.meter.counting import Counters, Reading, post
from modelmeter.meter.objects import Pod
from modelmeter.meter.page import first_page
from modelmeter.settings import Settings
from tests.control.servers import Servers, act
from tests.control.test_sharing import Lists
from tests.meter.builders import at

MODEL = "intent"
OURS = {"app.kubernetes.io/managed-by": "modelmeter", "modelmeter.dev/model": MODEL, "modelmeter.dev/model-uid": MODEL}
NOW = at(3600)


def pod(number: int, ready: bool = True, deleted: bool = False, phase: str = "Running", **status: Any) -> Pod:
    """A pod of the model, at 127.2.0.NUMBER."""
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    triton = {"name": "triton", "ready": ready, "restartCount": 0, "state": {"running": {}}, **status}
    metadata: dict[str, Any] = {"name": f"p{number}", "uid": f"p{number}", "namespace": "team", "labels": OURS}
    metadata |= {"resourceVersion": "1", "creationTimestamp": rfc3339(at(1))}
    if deleted:
        metadata |= {"deletionTimestamp": rfc3339(NOW), "deletionGracePeriodSeconds": 60}
    said = {"phase": phase, "podIP": f"127.2.0.{number}", "conditions": [condition], "containerStatuses": [triton]}
    return msgspec.convert({"metadata": metadata, "spec": {}, "status": said}, Pod)


def answer(requests: int = 5, *models: str) -> bytes:
    """What Triton 2.51 says: two requests shared a batch, so its time counts for both of them but once as busy."""
    once, twice = {"count": 1, "ns": 1000}, {"count": 2, "ns": 4000}
    compute = {"compute_input": once, "compute_infer": twice, "compute_output": once}
    stats = {"success": {"count": requests, "ns": 90_000}, "fail": {"count": 1, "ns": 7}, "queue": once, **compute}
    sizes = [
        {"batch_size": size, "compute_input": once, "compute_infer": once, "compute_output": once} for size in (1, 2)
    ]
    entries = [
        {
            "name": name,
            "version": "1",
            "last_inference": 1795633029031,
            "inference_count": 2 * requests,
            "execution_count": 3,
            "inference_stats": stats,
            "batch_stats": sizes,
            "memory_usage": [],
        }
        for name in models or (MODEL, f"{MODEL}-bert", f"{MODEL}-tokenizer", "another", "another-bert")
    ]
    return json.dumps({"model_stats": entries}).encode()


class Running:
    """Counting over pods that exist, and the model's account."""

    def __init__(self, port: int, *pods: Pod) -> None:
        self.account = Account(ModelRef(namespace="team", name=MODEL, uid=MODEL), at(0))
        self.account.page = first_page(self.account.ref, at(0))
        accounts = Accounts()
        accounts.add(self.account)
        self.written: list[str] = []
        self._version = 1
        self._lists = Lists(*pods)
        self.view = View(self._lists, self._changed, lambda *_: None)  # type: ignore[arg-type]
        self.counting = Counting(self.view, Belongings(self.view, accounts), lambda: NOW, self._write, port)

    def _changed(self, kind: str, item: Any, gone: bool) -> None:
        if isinstance(item, Pod):
            self.counting.pod_changed(item, gone)

    def _write(self, account: Account) -> None:
        self.written.append(account.ref.name)

    async def see(self, *pods: Pod) -> None:
        """These are all the pods now, of a later version."""
        self._version += 1
        later = str(self._version)
        metadata = (msgspec.structs.replace(one.metadata, resource_version=later) for one in pods)
        self._lists.replace(
            *(msgspec.structs.replace(one, metadata=kept) for one, kept in zip(pods, metadata, strict=True))
        )
        await self.view.list()

    def readings(self) -> dict[str, tuple[Reading, ...]]:
        """By pod."""
        return self.account.readings

    async def until(self, done: Callable[[], object]) -> None:
        """Run until something is the case."""
        async with asyncio.timeout(20):
            while not done():
                await asyncio.sleep(0.005)


def play(
    story: Callable[[Servers, Running], Awaitable[None]], *pods: Pod, workers: int = 4, servers: int = 20, **says: Any
) -> None:
    """Act a story out while Counting runs; `says` as in Servers, by pod."""

    scripted = Servers("/v2/models/stats", answer())
    scripted.says.update(says)

    def run(running: Running) -> Coroutine[Any, Any, None]:
        return running.counting.run(workers)

    asyncio.run(act(scripted, range(1, servers + 1), lambda port: Running(port, *pods), run, story))


def test_a_ready_pod_is_read_and_its_figures_are_those_of_ensemble_and_bert() -> None:
    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: running.readings())
        (reading,) = running.readings()["p1"]
        assert reading == Reading(
            "p1", at(1), 0, None, NOW, False,
            Counters(
                answered=5, failed=1, inferences=10, request_nanoseconds=90_000, compute_nanoseconds=6000,
                executions=3, executed=10, busy_nanoseconds=6000,
            ),
        )  # fmt: skip
        assert servers.asked == ["p1"]
        assert running.written == [MODEL], "the first reading ever is written at once"

    play(story, pod(1), pod(2, ready=False), pod(3, phase="Succeeded"))


def test_slow_pods_delay_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four workers wait for pods that never answer; all others are read meanwhile."""
    monkeypatch.setattr(statistics, "TIMEOUT_SECONDS", 1000)

    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: servers.silent == 3)
        await running.until(lambda: len(running.readings()) == 17)
        assert not {"p1", "p2", "p3"} & running.readings().keys()

    play(story, *(pod(number) for number in range(1, 21)), p1=None, p2=None, p3=None)


def test_one_that_never_answers_is_given_up_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(counting, "SHORTEST_READ_SECONDS", 0.05)

    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: servers.silent >= 2)
        assert running.counting.unread_pods() == 1
        servers.says["p1"] = answer(7)
        await running.until(lambda: running.readings())
        assert running.counting.unread_pods() == 0

    play(story, pod(1), p1=None)


@pytest.mark.parametrize(
    "said",
    [
        b"{",
        b'{"model_stats": [{"name": "\xff"}]}',
        b'{"model_stats": 5}',
        answer(5, MODEL),
        answer(5, "another"),
        answer(-5),
        answer(2**63),
        answer() + b" " * statistics.LARGEST_BYTES,
    ],
    ids=["no JSON", "no text", "no list", "no BERT", "no ensemble", "below 0", "no counter", "too much"],
)
def test_an_answer_that_tells_nothing_is_no_reading(said: bytes) -> None:
    async def story(servers: Servers, running: Running) -> None:
        await running.until(running.counting.unread_pods)
        assert not running.readings()

    play(story, pod(1), p1=said)


def test_one_that_is_told_to_end_is_read_at_once_and_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "DRAIN_SECONDS", 0.01)

    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: running.readings())
        servers.says["p1"] = answer(8)
        await running.see(pod(1, deleted=True))
        await running.until(lambda: running.readings()["p1"][-1].draining)
        servers.says["p1"] = answer(9)
        await running.until(lambda: running.readings()["p1"][-1].counters.answered == 9)
        (last,) = running.readings()["p1"]
        assert last.draining
        await running.see(pod(1, deleted=True, phase="Succeeded"))
        await running.until(lambda: not running.counting._failures)
        times = len(servers.asked)
        await asyncio.sleep(0.1)
        assert len(servers.asked) <= times + 1, "one may have been under way"

    play(story, pod(1))


def test_a_restart_is_written_at_once() -> None:
    """Nobody can ask the run before again, so its last reading must not wait in memory."""

    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: running.readings())
        await running.see(pod(1, ready=False))
        servers.says["p1"] = answer(9)
        ended = {"terminated": {"exitCode": 137, "finishedAt": rfc3339(NOW)}}
        await running.see(pod(1, restartCount=1, lastState=ended))
        await running.until(lambda: len(running.readings()["p1"]) == 2)
        assert [reading.run for reading in running.readings()["p1"]] == [0, 1]
        assert running.readings()["p1"][-1].run_before_ended == NOW
        assert len(running.written) == 2

    play(story, pod(1))


def test_what_is_on_the_page_is_forgotten() -> None:
    account = Account(ModelRef(namespace="team", name=MODEL, uid=MODEL), at(0))
    first, second = (Reading("a", at(1), run, None, at(run), False, Counters(run)) for run in (0, 1))
    account.readings["a"] = (first,)
    posted = (first,)
    account.readings["a"] = (first, second)  # came while the page was being written
    account.posted(posted)
    assert account.readings == {"a": (second,)}
    account.posted((second,))
    assert not account.readings


def test_now_and_then_what_was_read_is_written_if_it_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticking, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(ticking, "SHORTEST_COUNT", timedelta(0))
    monkeypatch.setattr(ticking, "REFRESH_PER_MODEL", timedelta(0))

    def told(uid: str, *readings: Reading) -> Account:
        account = Account(ModelRef(namespace="team", name=uid, uid=uid), at(0))
        written = Reading("a", at(1), 0, None, at(10), False, Counters(5))
        page = first_page(account.ref, at(0))
        assert page.tally is not None
        account.page = replace(page, tally=post(page.tally, [written]))
        account.readings = {"a": readings} if readings else {}
        return account

    later = Reading("a", at(1), 0, None, at(20), False, Counters(5))
    accounts = (told("silent"), told("idle", later), told("busy", later._replace(counters=Counters(6))))

    async def ticks() -> None:
        operator = Operator(cast(Client, None), Clock(), Settings())
        for account in accounts:
            operator.accounts.add(account)
        with suppress(TimeoutError):
            await asyncio.wait_for(operator.ticking.run(), 0.2)

    asyncio.run(ticks())
    assert [account.counts_due for account in accounts] == [False, False, True]
