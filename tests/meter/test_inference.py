"""What 1,000 inferences cost, by hand; and one window for what is divided and what it is divided by."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from modelmeter.api.model_deployment_status import Inference
from modelmeter.meter.account import Facts, account, live_page
from modelmeter.meter.counting import Counters, Reading
from modelmeter.meter.holding import REPLICA, Holding
from modelmeter.meter.inference import NO_COUNTS, Counts, status
from modelmeter.meter.ledger import NO_NEWS
from modelmeter.meter.page import Page, first_page
from modelmeter.meter.prices import Tariff
from tests.meter.builders import L4, MODEL, at, book, page, pod, tariff
from tests.meter.test_size import LARGEST, size, uid

HOUR = 3600
PRICES = tariff({"item": "gpu", "price": "0.9"}, {"item": "cpu", "price": "0.03"}, {"item": "memory", "price": "0.005"})
DONE = Counters(
    answered=36_000,
    failed=3,
    inferences=72_000,
    request_nanoseconds=36_000 * 5_000_000,
    compute_nanoseconds=36_000 * 3_000_000,
    executions=9_000,
    executed=72_000,
    busy_nanoseconds=9_000 * 100_000_000,
)


def read(second: int, counters: Counters = DONE, name: str = "a", draining: bool = False) -> Reading:
    """A pod's counters at that second."""
    return Reading(name, at(0), 0, None, at(second), draining, counters)


def known(*readings: Reading, due: bool = False) -> Counts:
    """These readings; their pods exist."""
    uids = frozenset(one.uid for one in readings)
    return Counts(readings, uids, uids, due)


def passed(sheet: Page, now: int, *held: Holding, counts: Counts = NO_COUNTS, **more: bool) -> Page:
    """The page after a pass."""
    return account(sheet, Facts(at(now), held, PRICES, "", counts=counts, terms=NO_NEWS, **more)).page


def test_cost_per_1000_by_hand() -> None:
    """An hour of 1 GPU, 2 cores and 8 GiB: 0.9 + 2 x 0.03 + 8 x 0.005 = 1 for 72,000 inferences.

    A thousandth of them: 1 / 72 = 0.01388889. Busy for 900 of 3,600 s: a quarter; so 0.75 is idle.
    """
    sheet = passed(page(), HOUR, pod("a", 0), counts=known(read(HOUR)), advance=True)
    shown = status(sheet)
    assert shown is not None
    assert shown.model_dump(by_alias=True, exclude_none=True) == {
        "since": "2026-11-10T00:00:00Z",
        "readAt": "2026-11-10T01:00:00Z",
        "requests": "36000",
        "failures": "3",
        "inferences": "72000",
        "meanBatch": "8.00",
        "meanQueueMicroseconds": "2000",
        "meanComputeMicroseconds": "3000",
        "costPer1000": "0.01388889",
        "busyShare": "0.2500",
        "idleCost": "0.7500",
        "unreadRuns": 0,
    }


def test_two_gpus_are_held_twice_as_long_as_one() -> None:
    sheet = passed(page(), HOUR, pod("a", 0, gpus=2), counts=known(read(HOUR)), advance=True)
    assert _status(sheet).busy_share == "0.1250"


def test_a_part_of_a_gpu_is_a_device_to_its_pod() -> None:
    held = Holding("a", at(0), None, {REPLICA: 1}, L4, slices={"1/7": 1})
    sheet = passed(page(), HOUR, held, counts=known(read(HOUR)), advance=True)
    assert _status(sheet).busy_share == "0.2500"
    assert _status(sheet).cost_per1000 == "0.00178571"


def test_without_a_gpu_the_time_of_the_pods_counts() -> None:
    sheet = passed(page(), HOUR, pod("a", 0, gpus=0), counts=known(read(HOUR)), advance=True)
    assert _status(sheet).busy_share == "0.2500"


def test_training_is_no_part_of_it() -> None:
    training = replace(pod("t", 0, gpus=4), stage="training")
    sheet = passed(page(), HOUR, pod("a", 0), training, counts=known(read(HOUR)), advance=True)
    assert (_status(sheet).cost_per1000, _status(sheet).busy_share) == ("0.01388889", "0.2500")


def test_unknown_is_absent_and_never_0() -> None:
    assert status(passed(page(), HOUR, pod("a", 0), advance=True)) is None
    nothing = _status(passed(page(), HOUR, pod("a", 0), counts=known(read(HOUR, Counters())), advance=True))
    assert (nothing.requests, nothing.cost_per1000, nothing.mean_batch) == ("0", None, None)
    assert (nothing.busy_share, nothing.idle_cost) == ("0.0000", "1.0000")
    unread = _status(passed(page(), HOUR, pod("a", 0, HOUR), counts=Counts((), frozenset("a"), frozenset("a"))))
    assert (unread.unread_runs, unread.requests) == (1, None)


def test_without_a_price_there_is_no_cost_of_1000() -> None:
    facts = Facts(at(HOUR), (pod("a", 0),), Tariff(book()), "", NO_NEWS, advance=True, counts=known(read(HOUR)))
    shown = _status(account(page(), facts).page)
    assert (shown.cost_per1000, shown.idle_cost, shown.busy_share) == (None, None, "0.2500")


def test_counts_make_no_write_before_it_is_time() -> None:
    sheet = passed(page(), 60, pod("a", 0), advance=True)
    assert passed(sheet, 70, pod("a", 0), counts=known(read(70))) == sheet
    assert passed(sheet, 70, pod("a", 0), counts=known(read(70), due=True)).tally.counters == DONE  # type: ignore[union-attr]


def test_a_drained_pods_counts_are_written_with_its_end() -> None:
    sheet = passed(page(), 60, pod("a", 0), advance=True)
    sheet = passed(sheet, 100, pod("a", 0, 90), counts=known(read(85, draining=True)))
    assert sheet.tally is not None
    assert (sheet.tally.counters, sheet.tally.unread, dict(sheet.tally.bases)) == (DONE, 0, {})
    # The write's answer was lost: the same pass over the page that was written changes nothing.
    assert passed(sheet, 101, pod("a", 0, 90), counts=known(read(85, draining=True), due=True)) == sheet


def test_a_reading_of_a_pod_that_was_settled_long_ago_comes_too_late() -> None:
    """Another operator wrote it, and its UID is forgotten; this one had read it, too, and does not see it any more."""
    sheet = passed(page(), 60, pod("a", 0), advance=True)
    sheet = replace(passed(sheet, 100, pod("a", 0, 90), counts=known(read(85, draining=True))), settled={})
    late = Counts((read(86, draining=True),), frozenset(), frozenset(), True)
    assert passed(sheet, 9000, counts=late).tally == sheet.tally


def test_the_last_page_keeps_no_pods() -> None:
    sheet = passed(page(), 60, pod("a", 0), counts=known(read(50)), advance=True)
    sheet = passed(sheet, 70, ended=True)
    assert sheet.tally is not None
    assert (sheet.ended, dict(sheet.tally.bases), sheet.tally.unread) == (True, {}, 1)


def test_the_window_goes_over_months() -> None:
    beginning = datetime(2026, 11, 30, 23, tzinfo=UTC)
    sheet = first_page(MODEL, beginning)
    held = replace(pod("a", 0), start=beginning)
    later = read(0)._replace(at=datetime(2026, 12, 1, tzinfo=UTC), created=beginning)
    facts = Facts(datetime(2026, 12, 1, 1, tzinfo=UTC), (held,), PRICES, "", NO_NEWS, advance=True, counts=known(later))
    outcome = account(sheet, facts)
    assert [closed.month for closed in outcome.closed] == ["2026-11"]
    # 2 hours cost 2.
    assert _status(outcome.page).cost_per1000 == "0.02777778"
    assert _status(outcome.page).busy_share == "0.1250"


def test_on_an_older_operators_page_the_window_begins_now() -> None:
    sheet = replace(passed(page(), HOUR, pod("a", 0), advance=True), tally=None)
    sheet = passed(sheet, 2 * HOUR, pod("a", 0), advance=True)
    assert sheet.tally is not None
    assert sheet.tally.since == at(2 * HOUR)
    sheet = passed(sheet, 3 * HOUR, pod("a", 0), counts=known(read(2 * HOUR + 1)), advance=True)
    twice = Counters(*(2 * count for count in DONE))
    sheet = passed(sheet, 3 * HOUR + 1, pod("a", 0), counts=known(read(3 * HOUR, twice), due=True))
    assert (_status(sheet).requests, _status(sheet).cost_per1000) == ("36000", "0.01388889")


def test_what_the_status_shows_has_what_is_not_written_yet() -> None:
    sheet = passed(page(), 60, pod("a", 0), advance=True)
    facts = Facts(at(HOUR), (pod("a", 0),), PRICES, "", NO_NEWS, counts=known(read(HOUR)))
    shown = _status(live_page(sheet, facts))
    assert (shown.requests, shown.cost_per1000) == ("36000", "0.01388889")


def test_a_reading_of_each_of_100_pods_is_small() -> None:
    large = Counters(*(10**13 for _ in DONE))
    pods = [pod(uid(n), 0) for n in range(100)]
    counts = known(*(read(HOUR, large, uid(n)) for n in range(100)))
    empty = passed(Page(MODEL, "2026-11", at(0)), HOUR, *pods, advance=True)
    full = passed(page(), HOUR, *pods, counts=counts, advance=True)
    assert size(full) - size(empty) < 25_000
    assert size(full) < LARGEST


def _status(sheet: Page) -> Inference:
    shown = status(sheet)
    assert shown is not None
    return shown
