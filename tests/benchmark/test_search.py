"""The search is a function of the points: what would be tried next, and where it ends."""

from __future__ import annotations

from fractions import Fraction

import pytest

from modelmeter.benchmark.search import MOST_PER_SECOND, Point, Step, bracket, next_step, percentile, rank

LIMIT = 50_000
SECONDS = 5


def point(requests: int, keeps: bool, failures: int = 0) -> Point:
    """A point of 5 s."""
    return Point(requests, SECONDS, LIMIT if keeps else LIMIT + 1, failures)


def tried(capacity: int, first: int) -> list[int]:
    """What is planned of a server that keeps the limit up to so many requests a point."""
    points: list[Point] = []
    while step := next_step(points, LIMIT, first, SECONDS):
        points.append(point(step.requests, step.requests <= capacity))
    return [entry.requests for entry in points]


def test_it_doubles_and_then_bisects() -> None:
    assert tried(capacity=450, first=60) == [60, 120, 240, 480, 360, 420, 450, 465, 465]


@pytest.mark.parametrize("capacity", [5, 6, 7, 93, 450, 1_000, 77_777])
@pytest.mark.parametrize("first", [0, 60, 5_000])
def test_it_ends_within_a_twentieth_of_the_truth(capacity: int, first: int) -> None:
    plan = tried(capacity, first)
    points = [point(requests, requests <= capacity) for requests in plan]
    good, bad = bracket(points, LIMIT)
    assert good is not None
    assert bad is not None
    assert good.requests <= capacity < bad.requests
    assert bad.requests - good.requests <= max(1, good.requests / 20)
    assert plan[-1] == bad.requests
    assert len(set(plan)) == len(plan) - 1 < 30


def test_a_server_that_keeps_no_rate_is_asked_down_to_one_a_second() -> None:
    assert tried(capacity=0, first=60) == [60, 30, 15, 7, 5, 5]


def test_no_rate_is_tried_that_one_process_cannot_send() -> None:
    assert tried(capacity=10**9, first=90_000) == [90_000, MOST_PER_SECOND * SECONDS]


def test_a_point_with_a_failure_does_not_pass() -> None:
    assert not point(60, keeps=True, failures=1).keeps(LIMIT)
    assert next_step([point(60, keeps=True, failures=1)], LIMIT, 60, SECONDS) == Step(30)


def test_a_rate_that_was_spoiled_once_ends_nothing() -> None:
    """60 and 30 fail the first time though 400 would pass: the search climbs back over both."""
    points: list[Point] = []
    while step := next_step(points, LIMIT, 60, SECONDS):
        spoiled = step.requests in (60, 30) and all(entry.requests != step.requests for entry in points)
        points.append(point(step.requests, step.requests <= 400 and not spoiled))
    good, bad = bracket(points, LIMIT)
    assert good is not None
    assert bad is not None
    assert 380 <= good.requests <= 400 < bad.requests


def test_a_rate_with_a_high_latency_is_tried_for_longer_before_it_counts() -> None:
    """400 ms times 40 are 16 s, hence 4 rounds of 5 s; a shorter try is neither kept nor missed."""
    limit = 1_000_000
    short = Point(60, SECONDS, p95=400_000)
    assert not short.keeps(limit)
    assert not short.misses(limit)
    assert next_step([short], limit, 60, SECONDS) == Step(60, rounds=4)
    longer = short._replace(p95=500_000, rounds=4)
    assert longer.keeps(limit)
    assert bracket([short, longer], limit) == (longer, None)
    assert next_step([short, longer], limit, 60, SECONDS) == Step(120, rounds=4)
    # What filled a queue meanwhile is tried for longer still, or misses the limit; the short try was none of the two.
    assert next_step([short, longer._replace(p95=900_000)], limit, 60, SECONDS) == Step(60, rounds=8)
    missed = longer._replace(p95=1_000_001)
    assert next_step([short, missed], limit, 60, SECONDS) == Step(30)
    assert next_step([Point(30, SECONDS, 1), short, missed], limit, 30, SECONDS) == Step(45)


def test_a_rate_that_was_too_short_once_is_still_tried_twice_to_its_end() -> None:
    limit = 1_000_000
    short, missed = Point(60, SECONDS, 400_000), Point(60, SECONDS, 1_000_001, rounds=4)
    points = [Point(59, SECONDS, 1), short, missed]
    assert next_step(points, limit, 59, SECONDS) == Step(60, rounds=4)
    assert next_step([*points, missed], limit, 59, SECONDS) is None


def test_a_failing_point_below_a_passing_one_was_noise() -> None:
    points = [point(100, True), point(200, False), point(400, True), point(500, False)]
    good, bad = bracket(points, LIMIT)
    assert (good, bad) == (points[2], points[3])
    assert good is not None
    assert good.per_second == Fraction(80)


def test_the_percentile_is_an_observed_latency() -> None:
    assert [percentile(values) for values in ([], [7], [1, 9], range(1, 101))] == [0, 7, 9, 95]
    assert [rank(count) for count in (1, 10, 20, 21, 100)] == [1, 10, 19, 20, 95]
