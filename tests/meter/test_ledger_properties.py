"""Histories with late views, crashes and months' ends: every second is counted once, at the price it had."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelmeter.api.cost_statement import MAX_REVISIONS, Overhead
from modelmeter.meter import cost
from modelmeter.meter.account import Facts, account, live_page
from modelmeter.meter.holding import GPU, REPLICA, Holding
from modelmeter.meter.ledger import Terms, carry
from modelmeter.meter.page import Page, PartSum, first_page
from modelmeter.meter.prices import Tariff
from modelmeter.meter.publish import totals
from modelmeter.meter.stored import from_spec, to_spec
from modelmeter.meter.verify import verify_pages
from tests.meter.builders import L4, MODEL, book, seconds_of

BEGIN = datetime(2026, 11, 29, 20, tzinfo=UTC)
CHANGE = datetime(2026, 11, 30, 6, tzinfo=UTC)
DAY_SECONDS = 86_400
LATEST_VIEW_SECONDS = 1800
PRICES = Tariff(
    book(
        {"item": "gpu", "price": "1.1"},
        {"item": "gpu", "price": "3.7", "from": CHANGE.strftime("%Y-%m-%dT%H:%M:%SZ")},
    )
)
LABOUR = Overhead(item="labour/owner", unit_price="12.5", per="hour")


@dataclass
class Pod:
    """A pod as it truly is; `released` is when its finalizer was removed and it vanished."""

    uid: str
    start: int
    end: int
    gpus: int
    revision: str
    released: int | None = None

    def seen_at(self, moment: int) -> Holding | None:
        """What a view of that moment shows."""
        if moment < self.start or (self.released is not None and moment >= self.released):
            return None
        end = self.end if self.end <= moment else None
        until = None if end is None else _at(end)
        amounts = {GPU: self.gpus, REPLICA: 1}
        return Holding(self.uid, _at(self.start), until, amounts, L4, revision=self.revision)


@dataclass
class Step:
    """A pass: so many seconds after the last, with a view so old, crashing before or after the write."""

    pause: int
    lag: int
    crash: str


@dataclass
class Books:
    """The pages as they are stored."""

    open: Page
    closed: list[Page] = field(default_factory=list)


steps = st.lists(
    st.builds(
        Step,
        pause=st.integers(1, 9 * 3600),
        lag=st.integers(0, LATEST_VIEW_SECONDS),
        crash=st.sampled_from(["", "", "", "before", "after"]),
    ),
    max_size=12,
)
pods = st.lists(
    st.tuples(st.integers(0, 2 * DAY_SECONDS), st.integers(0, DAY_SECONDS), st.integers(1, 4), st.integers(0, 8)),
    max_size=9,
)


def _at(seconds: int) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def _pass(
    books: Books, world: list[Pod], now: int, view: int, crash: str = "", ended: bool = False, prices: Tariff = PRICES
) -> None:
    held = tuple(seen for pod in world if (seen := pod.seen_at(view)) is not None)
    facts = Facts(_at(now), held, prices, "", Terms((LABOUR,), until=_at(now) if ended else None), ended)
    outcome = account(books.open, facts)
    if crash == "before":
        return
    books.closed += [_stored(page) for page in outcome.closed]
    books.open = _stored(outcome.page)
    assert len(books.open.revisions) <= MAX_REVISIONS
    if crash == "after":
        return
    for pod in world:
        if pod.uid in outcome.page.settled and pod.released is None:
            pod.released = now


def _stored(page: Page) -> Page:
    """Through the API and back, as every page goes."""
    again = from_spec(to_spec(page, totals(page)))
    assert again == page
    return again


def _true_cost(pod: Pod) -> Fraction:
    turn = round((CHANGE - BEGIN).total_seconds())
    cheap = max(0, min(pod.end, turn) - pod.start)
    dear = max(0, pod.end - max(pod.start, turn))
    return pod.gpus * (cheap * Fraction("1.1") + dear * Fraction("3.7")) / 3600


@settings(max_examples=400, deadline=None)
@given(pods, steps, st.integers(0, 12))
@example(
    [(48292, 2, 1, 0)], [Step(15893, 0, ""), Step(32400, 2, "")], 0
)  # seen only after T passed its start, asked at T
def test_any_history_is_exact(
    drawn: list[tuple[int, int, int, int]], drawn_steps: list[Step], without_a_book: int
) -> None:
    world = [
        Pod(f"uid-{index}", start, start + length, gpus, f"{revision:016x}" if revision else "")
        for index, (start, length, gpus, revision) in enumerate(drawn)
    ]
    books = Books(first_page(MODEL, BEGIN))
    books.open = replace(books.open, overheads=(LABOUR,))
    now = view = 0
    for number, step in enumerate(drawn_steps):
        now += step.pause
        # A view may be late, but never goes back: who begins to write lists consistently first.
        view = max(view, now - step.lag)
        _pass(books, world, now, view, step.crash, prices=PRICES if number >= without_a_book else Tariff(None))
        # What the status shows is what the posted page becomes, whenever it is asked.
        shown = live_page(books.open, Facts(_at(now), _held(world, now), PRICES, "", Terms((LABOUR,))))
        assert seconds_of(shown, GPU) == sum(pod.gpus * _used(pod, now) for pod in world)
    end = max([now, *(pod.end for pod in world)]) + LATEST_VIEW_SECONDS
    _pass(books, world, end, end)
    _pass(books, world, end + 1, end + 1, ended=True)
    assert books.open.closed
    assert all(pod.released is not None for pod in world)
    assert seconds_of(books.open, GPU) == sum(pod.gpus * (pod.end - pod.start) for pod in world)
    assert seconds_of(books.open, REPLICA) == sum(pod.end - pod.start for pod in world)
    life = carry(books.open)
    assert life.cost.get("compute", cost.ZERO) == sum(map(_true_cost, world), cost.ZERO)
    assert life.cost["labour"] == Fraction("12.5") * (end + 1) / 3600
    assert life.estimated == 0
    parts = life.revisions.values()
    assert all(units >= 0 for part in parts for units in part.usage.values())
    assert sum((part.usage.get(GPU, cost.ZERO) for part in parts), cost.ZERO) == life.usage.get(GPU, 0)
    assert sum((part.cost for part in parts), cost.ZERO) == life.cost.get("compute", cost.ZERO)
    revisions = {pod.revision for pod in world} - {""}
    for revision in revisions if len(revisions) <= MAX_REVISIONS else ():
        own = [pod for pod in world if pod.revision == revision]
        part = life.revisions.get(revision, PartSum())
        assert part.usage.get(GPU, 0) == sum(pod.gpus * (pod.end - pod.start) for pod in own)
        assert part.cost == sum(map(_true_cost, own), cost.ZERO)
    assert list(verify_pages([to_spec(page, totals(page)) for page in (*books.closed, books.open)])) == []


def _held(world: list[Pod], now: int) -> tuple[Holding, ...]:
    return tuple(seen for pod in world if (seen := pod.seen_at(now)) is not None)


def _used(pod: Pod, now: int) -> int:
    return max(0, min(pod.end, now) - pod.start)
