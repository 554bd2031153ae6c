"""From a page's tally to what inferences were served and what one costs: one window for what is divided and by what.

The window begins at `tally.since`. Costs and times are those of serving: pods of other stages are no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Final, NamedTuple

from modelmeter.api.model_deployment_status import Inference
from modelmeter.api.scalars import rfc3339
from modelmeter.meter import cost
from modelmeter.meter.counting import Reading, Tally, close, forsaken, post
from modelmeter.meter.holding import GPU, REPLICA
from modelmeter.meter.page import Page

THOUSAND: Final = 1000
NANOSECONDS: Final = 10**9
PRICE_DIGITS: Final = 8
"""Decimal places of costPer1000: a thousand short texts cost a ten-thousandth of a dollar on a small GPU."""
SHARE_DIGITS: Final = 4
BATCH_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class Counts:
    """What one pass knows of a model's servers."""

    readings: tuple[Reading, ...] = ()
    """In order of time for each pod."""
    existing: frozenset[str] = frozenset()
    """UIDs of our pods that exist, whatever is known of them."""
    served: frozenset[str] = frozenset()
    """UIDs of our pods whose server had begun."""
    due: bool = False
    """Write them now, though nothing else has to be written."""


NO_COUNTS: Final = Counts()


class Serving(NamedTuple):
    """What a page's own lines and spans say of serving."""

    compute: Fraction
    gpu_seconds: int
    replica_seconds: int


def begin(page: Page, now: datetime) -> Page:
    """Begin to count on a page that older operators kept: what it says already is not in the window."""
    said = _serving(page)
    before = Tally(now, compute=-said.compute, gpu_seconds=-said.gpu_seconds, replica_seconds=-said.replica_seconds)
    return replace(page, tally=before)


def carried(page: Page) -> Tally | None:
    """The tally for the page that follows; unpriced spans move there themselves."""
    if page.tally is None:
        return None
    more = _serving(replace(page, unpriced={}))
    return replace(
        page.tally,
        compute=page.tally.compute + more.compute,
        gpu_seconds=page.tally.gpu_seconds + more.gpu_seconds,
        replica_seconds=page.tally.replica_seconds + more.replica_seconds,
    )


def tallied(page: Page, before: Page, counts: Counts, now: datetime) -> Page:
    """The page with all readings posted, and with the pods closed that it settles, but `before` it did not.

    A pod that does not exist, and is not on the page, was settled long ago, and its UID forgotten: its readings are
    on the page, or too late.
    """
    if page.tally is None:
        return page
    known = {*counts.existing, *before.open, *page.tally.bases}
    tally = post(page.tally, (reading for reading in counts.readings if reading.uid in known), before.settled)
    ended = [uid for uid in page.settled if uid not in before.settled]
    tally = close(tally, ended, counts.served)
    left = tally.bases if page.ended else forsaken(tally, counts.existing, now)
    return replace(page, tally=close(tally, tuple(left), counts.served))


def status(page: Page) -> Inference | None:
    """The status of a page that has advanced to now; None where nothing is counted yet. Rounded once, half to even."""
    tally = page.tally
    if tally is None or (tally.read_at is None and not tally.unread):
        return None
    shown = Inference(since=rfc3339(tally.since), unread_runs=tally.unread)
    if tally.read_at is None:
        return shown
    done = tally.counters
    window = _window(page, tally)
    busy = _busy_share(done.busy_nanoseconds, window)
    priced = not any(key.item in cost.COMPUTE and not key.stage for key in page.unpriced)
    waited = done.request_nanoseconds - done.compute_nanoseconds
    return shown.model_copy(
        update={
            "read_at": rfc3339(tally.read_at),
            "requests": str(done.answered),
            "failures": str(done.failed),
            "inferences": str(done.inferences),
            "mean_batch": _ratio(done.executed, done.executions, BATCH_DIGITS),
            "mean_queue_microseconds": _ratio(waited, done.answered * THOUSAND, 0),
            "mean_compute_microseconds": _ratio(done.compute_nanoseconds, done.answered * THOUSAND, 0),
            "cost_per1000": _ratio(window.compute * THOUSAND, done.inferences, PRICE_DIGITS) if priced else None,
            "busy_share": None if busy is None else cost.text(busy, SHARE_DIGITS),
            "idle_cost": cost.text(window.compute * (1 - busy)) if priced and busy is not None else None,
        }
    )


def _window(page: Page, tally: Tally) -> Serving:
    own = _serving(page)
    return Serving(
        tally.compute + own.compute,
        tally.gpu_seconds + own.gpu_seconds,
        tally.replica_seconds + own.replica_seconds,
    )


def _busy_share(busy_nanoseconds: int, window: Serving) -> Fraction | None:
    """Which part of the time that its devices were held the model computed; without a GPU, that its pods ran."""
    held = window.gpu_seconds or window.replica_seconds
    return min(Fraction(1), Fraction(busy_nanoseconds, held * NANOSECONDS)) if held > 0 else None


def _ratio(part: Fraction | int, whole: int, digits: int) -> str | None:
    """None where there is nothing to divide by: then it is unknown."""
    return cost.text(Fraction(part) / whole, digits) if whole else None


def _serving(page: Page) -> Serving:
    seconds = {GPU: 0, REPLICA: 0}
    for item, units in _units(page):
        if item in seconds:
            seconds[item] += units
    compute = (
        cost.line_amount(key, days)
        for key, days in page.lines.items()
        if not key.stage and cost.category(key.item) == "compute"
    )
    return Serving(sum(compute, cost.ZERO), seconds[GPU], seconds[REPLICA])


def _units(page: Page) -> Iterator[tuple[str, int]]:
    """Item and unit-seconds of serving: of a part of a GPU as of a whole one, for each is a device to its pod."""
    for key, days in page.lines.items():
        if not key.stage:
            yield key.item, sum(days.values())
    for span, amount in page.unpriced.items():
        if not span.stage:
            yield span.item, amount * round((span.end - span.start).total_seconds())
