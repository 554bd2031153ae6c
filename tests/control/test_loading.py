"""Whose loader is asked, what is kept of its answers, and when they are news. The loaders are scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from modelmeter.api.cost_statement import ModelRef
from modelmeter.cluster import load_progress
from modelmeter.control import loading
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings
from modelmeter.control.loading import Loading
from modelmeter.control.view import View
from modelmeter.meter.objects import Pod
from modelmeter.provision.loading import LoadProgress
from tests.control.servers import Servers, act
from tests.control.test_sharing import Lists
from tests.meter.builders import at
from tests.simulation import loop as virtual_time

GIB = 1 << 30
RUNS: dict[str, Any] = {"running": {"startedAt": "2026-11-10T12:00:00Z"}}
ENDED: dict[str, Any] = {"terminated": {"exitCode": 0}}


def pod(number: int, model: str = "m1", state: dict[str, Any] = RUNS, **metadata: Any) -> Pod:
    """A pod of a model, at 127.2.0.NUMBER, whose loader is in this state."""
    ours = {
        "app.kubernetes.io/managed-by": "modelmeter",
        "modelmeter.dev/model": model,
        "modelmeter.dev/model-uid": model,
    }
    return msgspec.convert(
        {
            "metadata": {
                "name": f"p{number}",
                "uid": f"p{number}",
                "namespace": "team",
                "resourceVersion": "1",
                "labels": ours,
                **metadata,
            },
            "status": {"podIP": f"127.2.0.{number}", "initContainerStatuses": [{"name": "loader", "state": state}]},
        },
        Pod,
    )


def says(arrived: int, total: int | None = 2 * GIB, **more: Any) -> bytes:
    """What a loader answers while it fetches."""
    return json.dumps({"phase": "fetching", "bytes": arrived, "totalBytes": total, "percent": 7, **more}).encode()


class Running:
    """Loading over pods that exist; a model for each that their labels name."""

    def __init__(self, port: int, *pods: Pod) -> None:
        self.accounts = Accounts()
        for name in sorted({one.metadata.labels["modelmeter.dev/model"] for one in pods}):
            self.accounts.add(Account(ModelRef(namespace="team", name=name, uid=name), at(0)))
        self.news: list[str] = []
        self._lists = Lists(*pods)
        self._version = 1
        self.view = View(self._lists, self._changed, lambda *_: None)  # type: ignore[arg-type]
        self._belongings = Belongings(self.view, self.accounts)
        self.loading = Loading(self._belongings, self.accounts, self.news.append, port)

    def _changed(self, kind: str, item: Any, gone: bool) -> None:
        if isinstance(item, Pod) and (account := self._belongings.owner(item.metadata)):
            self.loading.pod_changed(account, item, gone)

    async def see(self, *pods: Pod) -> None:
        """These are all the pods now, of a later version."""
        self._version += 1
        later = str(self._version)
        self._lists.replace(
            *(
                msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, resource_version=later))
                for one in pods
            )
        )
        await self.view.list()

    def load(self, model: str = "m1") -> LoadProgress | None:
        """What is known of a model's load."""
        account = self.accounts.get(model)
        assert account is not None
        return account.load

    async def until(self, done: Callable[[], object]) -> None:
        """Run until something is the case."""
        async with asyncio.timeout(20):
            while not done():
                await asyncio.sleep(0.005)


def play(
    story: Callable[[Servers, Running], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
    *pods: Pod,
    workers: int = 4,
    **answers: bytes | None,
) -> None:
    """Act a story out while Loading runs, at a quicker pace; `answers` by pod."""
    monkeypatch.setattr(loading, "ASK_SECONDS", 0.02)
    monkeypatch.setattr(loading, "SOON_SECONDS", 0.02)
    monkeypatch.setattr(loading, "ASKS_PER_SECOND", 1000)

    servers = Servers("/progress", says(0))
    servers.says.update(answers)

    def run(running: Running) -> Coroutine[Any, Any, None]:
        return running.loading.run(workers)

    asyncio.run(act(servers, range(1, 12), lambda port: Running(port, *pods), run, story))


def test_one_loader_of_a_model_is_asked_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(servers: Servers, running: Running) -> None:
        await running.until(running.load)
        assert running.load() == LoadProgress("p1", "fetching", "", GIB // 2, 2 * GIB)
        assert set(servers.asked) == {"p1"}, "neither the second that loads nor one that has ended"
        await running.see(pod(1, state=ENDED), pod(2), pod(3, state=ENDED))
        await running.until(lambda: (load := running.load()) and load.pod == "p2")
        await running.see(pod(1, state=ENDED), pod(2, state=ENDED), pod(3, state=ENDED))
        await running.until(lambda: running.load() is None)
        times = len(servers.asked)
        await asyncio.sleep(0.1)
        assert len(servers.asked) == times

    play(story, monkeypatch, pod(1), pod(2), pod(3, state=ENDED), p1=says(GIB // 2))


def test_only_a_step_is_news_though_every_answer_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    percent = 2 * GIB // 100

    async def story(servers: Servers, running: Running) -> None:
        await running.until(running.load)
        for arrived in range(percent, 100 * percent, percent):
            servers.says["p1"] = says(arrived)
            await running.until(lambda now=arrived: (load := running.load()) and load.arrived_bytes == now)
        assert len(running.news) == 10
        servers.says["p1"] = b'{"phase": "converting"}'
        await running.until(lambda: len(running.news) == 11)
        assert running.load() == LoadProgress("p1", "converting")

    play(story, monkeypatch, pod(1))


def test_of_an_unknown_total_a_doubling_is_a_step() -> None:
    steps = {LoadProgress("p1", "fetching", arrived_bytes=n << 20).step() for n in range(1, 1025)}
    assert len(steps) == 11


def test_a_silent_loader_delays_nobody_and_is_shown_without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_progress, "TIMEOUT_SECONDS", 1000)

    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: servers.silent == 3)
        await running.until(lambda: all(running.load(f"m{number}") for number in range(4, 11)))
        assert [running.load(f"m{number}") for number in (1, 2, 3)] == [None] * 3

    play(story, monkeypatch, *(pod(n, f"m{n}") for n in range(1, 11)), p1=None, p2=None, p3=None)


def test_what_a_loader_said_is_forgotten_when_it_no_longer_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_progress, "TIMEOUT_SECONDS", 0.05)

    async def story(servers: Servers, running: Running) -> None:
        await running.until(running.load)
        servers.says["p1"] = None
        await running.until(lambda: running.load() is None)
        servers.says["p1"] = says(GIB)
        await running.until(running.load)
        assert len(running.news) == 3

    play(story, monkeypatch, pod(1))


@pytest.mark.parametrize(
    "said",
    [
        b"{",
        b'{"phase": "\xff"}',
        b"{}",
        b'{"phase": "fetching", "bytes": -1}',
        says(1) + b" " * load_progress.LARGEST_BYTES,
    ],
    ids=["no JSON", "no text", "no phase", "below 0", "too much"],
)
def test_an_answer_that_tells_nothing_is_none(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: len(servers.asked) >= 2)
        assert running.load() is None
        assert not running.news

    play(story, monkeypatch, pod(1), p1=said)


def test_long_words_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(servers: Servers, running: Running) -> None:
        await running.until(running.load)
        load = running.load()
        assert load is not None
        assert len(load.trouble) == loading.SAID_CHARACTERS

    play(story, monkeypatch, pod(1), p1=says(1, trouble="x" * 5000))


def test_nobody_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a pod that was labelled by hand, nor one that ends, nor one without an address."""
    by_hand = pod(1, labels={"modelmeter.dev/model": "m1"})
    ends = pod(2, deletionTimestamp="2026-11-10T12:00:00Z")
    nowhere = msgspec.structs.replace(pod(3), status=msgspec.structs.replace(pod(3).status, pod_ip=""))

    async def story(servers: Servers, running: Running) -> None:
        await running.until(lambda: running.load("m4"))
        assert set(servers.asked) == {"p4"}

    play(story, monkeypatch, by_hand, ends, nowhere, pod(4, "m4"))


class Fleet:
    """As much of aiohttp's session as asking needs: every loader is a percent further each second."""

    status = 200

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def get(self, url: str, **_: object) -> Fleet:
        """One request."""
        host = urlsplit(url).hostname or ""
        self.asked[host] = self.asked.get(host, 0) + 1
        return self

    @property
    def content(self) -> Fleet:
        """The body's stream."""
        return self

    async def __aenter__(self) -> Fleet:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def iter_any(self) -> AsyncIterator[bytes]:
        """What each says now."""
        yield says(int(asyncio.get_running_loop().time()), 100)


def test_200_models_that_load_at_once_make_few_requests_and_no_more_writes() -> None:
    """In virtual time, at the real pace: 100 s of a load each."""
    pods = [pod(number, f"m{number}") for number in range(1, 201)]
    fleet = Fleet()
    running = Running(80, *pods)

    async def act() -> None:
        await running.view.list()
        running.loading._session = fleet  # type: ignore[assignment]
        task = asyncio.create_task(running.loading.queue.run(32))
        await asyncio.sleep(100)
        task.cancel()

    virtual_time.run(act())
    assert len(fleet.asked) == 200
    assert min(fleet.asked.values()) >= 4
    assert len(running.news) <= sum(fleet.asked.values()) <= 100 * loading.ASKS_PER_SECOND + 1
