"""The queue of keys: order, one worker a key, what fails comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from modelmeter.control.workqueue import FIRST_RETRY_SECONDS, WorkQueue
from modelmeter.errors import ClusterError


async def work_through(queue: WorkQueue, workers: int = 1) -> None:
    """Run until nothing waits."""
    task = asyncio.create_task(queue.run(workers))
    while len(queue):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def noting(done: list[str]) -> Callable[[str], Awaitable[None]]:
    async def work(key: str) -> None:
        done.append(key)

    return work


async def test_urgent_keys_go_first_and_none_overtakes_another_of_its_kind() -> None:
    done: list[str] = []
    queue = WorkQueue("test", noting(done))
    for key, urgent in (("a", False), ("b", False), ("c", True), ("b", True), ("c", False), ("c", True), ("a", False)):
        queue.add(key, urgent)
    await work_through(queue)
    assert done == ["c", "b", "a"]


async def test_a_key_is_worked_on_by_one_worker_and_again_if_it_was_added_meanwhile() -> None:
    done: list[str] = []
    busy = 0

    async def work(key: str) -> None:
        nonlocal busy
        busy += 1
        assert busy == 1
        if not done:
            queue.add("z")
            queue.add(key, urgent=True)
            queue.add(key)
        done.append(key)
        await asyncio.sleep(0)
        busy -= 1

    queue = WorkQueue("test", work)
    queue.add("a")
    await work_through(queue)
    assert done == ["a", "a", "z"]


async def test_what_fails_comes_back_and_stops_nobody() -> None:
    done: list[str] = []

    async def work(key: str) -> None:
        done.append(key)
        if done == ["a"]:
            raise ClusterError(500, "InternalError", "etcd is away")
        if done == ["a", "b"]:
            raise ValueError("a bug")

    queue = WorkQueue("test", work)
    queue.add("a")
    queue.add("b")
    task = asyncio.create_task(queue.run(1))
    async with asyncio.timeout(10 * FIRST_RETRY_SECONDS):
        while len(done) < 4:
            await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert sorted(done) == ["a", "a", "b", "b"]


async def test_attempts_before_their_time_make_no_later_one_wait_longer() -> None:
    done: list[str] = []

    async def work(key: str) -> None:
        done.append(key)
        if len(done) <= 6:
            raise ClusterError(500, "InternalError", "etcd is away")

    queue = WorkQueue("test", work)
    task = asyncio.create_task(queue.run(1))
    for number in range(1, 7):
        queue.add("a")
        while len(done) < number or not queue._timers:
            await asyncio.sleep(0)
    async with asyncio.timeout(3 * FIRST_RETRY_SECONDS):
        while len(done) < 7:
            await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
