"""The load and the search against servers whose truth is known, under virtual time."""

from __future__ import annotations

import asyncio
from fractions import Fraction

import pytest

from modelmeter.benchmark.load import MOST_UNDER_WAY, arrivals, load
from modelmeter.benchmark.measure import Asked, Measured, Plan, measure, outcome, rows
from modelmeter.benchmark.search import Point, Step
from modelmeter.benchmark.texts import mixed
from modelmeter.errors import BenchmarkError
from tests.benchmark.queueing import Batching, Queueing
from tests.simulation.loop import VirtualLoop, run

MILLI = 1000


def point(server: Queueing, requests: int, seconds: int, limit: int) -> Point:
    """One point under virtual time."""
    points = []

    async def main() -> None:
        points.append(await load(server.ask, Step(requests), seconds, limit))

    run(main())
    return points[0]


def measured(server: Asked, plan: Plan) -> Measured:
    """A whole benchmark under virtual time."""
    found = []

    async def main() -> None:
        found.append(await measure(server, 8, plan, lambda _: None))

    run(main())
    return found[0]


def test_requests_begin_at_their_times_though_none_is_answered() -> None:
    """With a closed loop each would wait for the one before, and the latencies would all be 3 s."""
    times = arrivals(4, 4)
    assert list(times) == sorted(times)
    told = point(Queueing(seconds=3.0), 4, 4, limit=10**9)
    # One worker: the last answer comes when all have been worked on, or later.
    ends, free = [], 0.0
    for begun in times:
        free = max(free, begun) + 3.0
        ends.append(free)
    worst = max(end - begun for begun, end in zip(times, ends, strict=True))
    assert worst > 3.0
    assert told.p95 == pytest.approx(worst * 10**6, abs=2)
    assert told.late <= 1


def test_what_the_load_itself_was_late_with_is_latency_too() -> None:
    """The process stalls for 2 s at its first request; latencies from when the others were sent would all be 1 ms."""
    asked = []

    async def ask(number: int) -> str:
        asked.append(number)
        if len(asked) == 1:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.stall(2.0)
        await asyncio.sleep(0.001)
        return ""

    points = []

    async def main() -> None:
        points.append(await load(ask, Step(20), 2, limit=10**9))

    run(main())
    (told,) = points
    assert len(asked) == 20
    assert told.p95 > 1_500_000
    assert told.late > 1_500_000


def test_what_cannot_pass_any_more_is_not_gone_on_with() -> None:
    server = Queueing(seconds=0.1)
    told = point(server, 1_000, 5, limit=200 * MILLI)
    assert not told.keeps(200 * MILLI)
    assert server.asked < 200


def test_the_highest_rate_of_a_known_server_is_found() -> None:
    """10 workers of 50 ms: 200 a second and no more; half of it leaves hardly anybody waiting."""
    plan = Plan(p95_milliseconds=100, seconds_per_point=10, most_seconds=600)
    found = measured(Queueing(0.05, workers=10), plan)
    told = outcome(found, plan.limit)
    assert 100 < float(told.inferences_per_second or 0) < 205
    assert float(told.p95_milliseconds or 0) <= 100
    assert float(told.fails_at_per_second or 0) <= float(told.inferences_per_second or 0) * 1.06
    assert told.batch == "2.00"
    assert (told.failures, told.cut_short, told.client_bound) == (0, False, False)


@pytest.mark.parametrize(
    ("server", "capacity"),
    [
        (Queueing(1 / 203), 203),
        (Queueing(10 / 61, workers=10), 61),
        # A batch takes longer, the fuller it is: a high latency alone is no queue that only fills.
        (Batching(16 / 203, 0.5 / 203, most=32), 203),
    ],
    ids=["one worker", "ten workers", "batches"],
)
def test_a_rate_that_only_fills_a_queue_is_not_found(server: Asked, capacity: int) -> None:
    """Within 5 s and a limit of 1 s a queue takes a fifth more than is ever answered."""
    plan = Plan(p95_milliseconds=1000, seconds_per_point=5, most_seconds=300)
    found = measured(server, plan)
    told = outcome(found, plan.limit)
    assert not told.cut_short
    assert float(told.inferences_per_second or 0) == pytest.approx(capacity, rel=0.05)
    assert max(point.rounds for point in found.points) > 1
    assert "-" in [row[-1] for row in rows(found.points, plan.limit)]


def test_what_was_too_short_is_no_result() -> None:
    short, kept = Point(900, 5, 300 * MILLI), Point(500, 5, 40 * MILLI)
    told = outcome(Measured((kept, short), True), 1000 * MILLI)
    assert (told.inferences_per_second, told.fails_at_per_second) == ("100.00", None)
    assert told.cut_short
    missed = Point(900, 5, 1200 * MILLI, rounds=3)
    told = outcome(Measured((short, missed), True), 1000 * MILLI)
    assert (told.inferences_per_second, told.p95_milliseconds, told.fails_at_per_second) == (None, "1200.00", "180.00")


def test_the_first_rate_is_tried_for_as_long_as_it_needs_however_little_time_there_is() -> None:
    plan = Plan(p95_milliseconds=1000, seconds_per_point=5, most_seconds=1)
    told = outcome(measured(Queueing(0.3, workers=10), plan), plan.limit)
    assert (told.inferences_per_second, told.p95_milliseconds, told.cut_short) == ("1.60", "300.00", True)


def test_those_that_are_answered_are_no_longer_under_way() -> None:
    told = point(Queueing(0.001, workers=100), 2 * MOST_UNDER_WAY, 2, limit=1000 * MILLI)
    assert not told.crowded


def test_no_more_requests_are_under_way_than_the_load_can_hold() -> None:
    """They would take its pod's memory, and it would end as if the server could not be measured."""
    server = Queueing(seconds=60.0)
    told = point(server, 50_000, 5, limit=10**9)
    assert server.asked == MOST_UNDER_WAY
    assert told.crowded
    assert told.misses(10**9)
    good = told._replace(requests=40_000, p95=1, crowded=False)
    assert outcome(Measured((good, told), False), 10**9).client_bound


def test_a_limit_below_one_text_s_time_is_kept_by_no_rate() -> None:
    plan = Plan(p95_milliseconds=20, seconds_per_point=5, most_seconds=600)
    told = outcome(measured(Queueing(0.05), plan), plan.limit)
    assert told.inferences_per_second is None
    assert told.fails_at_per_second == "1.00"
    assert "no rate keeps a p95 of 20 ms: at 1.00 a second it is 50.00 ms" in told.words(20)


def test_a_failure_is_counted_and_told() -> None:
    plan = Plan(p95_milliseconds=200, seconds_per_point=5, most_seconds=600)
    server = Queueing(0.05, workers=4, fails=frozenset({60}))
    found = measured(server, plan)
    assert [entry.failures for entry in found.points[:1]] == [1]
    assert not found.points[0].keeps(plan.limit)
    told = outcome(found, plan.limit)
    assert (told.failures, told.first_failure) == (1, "unavailable")


def test_it_ends_in_time_and_says_so() -> None:
    plan = Plan(p95_milliseconds=100, seconds_per_point=10, most_seconds=30)
    told = outcome(measured(Queueing(0.01, workers=100), plan), plan.limit)
    assert told.cut_short
    assert told.inferences_per_second is not None
    assert "the server may do more" in told.words(100)


def test_one_rate_is_tried_however_little_time_there_is() -> None:
    plan = Plan(p95_milliseconds=100, seconds_per_point=10, most_seconds=1)
    found = measured(Queueing(0.08), plan)
    assert (len(found.points), found.cut_short) == (1, True)
    told = outcome(found, plan.limit)
    assert told.inferences_per_second is None
    assert told.words(100).endswith("; there was no time for lower ones")


def test_what_is_not_even_answered_once_is_an_error_with_a_remedy() -> None:
    plan = Plan(p95_milliseconds=100, seconds_per_point=2, most_seconds=30)
    with pytest.raises(BenchmarkError, match=r"not answered: unavailable; .*spec\.model\.labels"):
        measured(Queueing(0.01, fails=frozenset({1})), plan)


def test_a_load_that_begins_late_says_that_it_was_the_limit() -> None:
    good, slow = Point(500, 5, 40 * MILLI), Point(1_000, 5, 70 * MILLI, late=30 * MILLI)
    assert outcome(Measured((good, slow), False), 50 * MILLI).client_bound
    server_is_slow = slow._replace(late=2 * MILLI)
    assert not outcome(Measured((good, server_is_slow), False), 50 * MILLI).client_bound
    assert outcome(Measured((good._replace(batch=Fraction(31, 10)),), True), 50 * MILLI).batch == "3.10"


def test_texts_are_the_same_at_every_run_and_of_all_lengths() -> None:
    texts = mixed(("意大利 ⚽",), (2, 64))
    assert texts == mixed(("意大利 ⚽",), (2, 64))
    assert sorted({len(text.split()) for text in texts}) == [2, 64]
    assert sum(text == "意大利 ⚽" for text in texts) * 3 == len(texts)
    assert mixed(("a", "b"), ()) in (["a", "b"], ["b", "a"])
