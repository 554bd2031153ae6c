"""How large a page becomes, and how many pods one write of it takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from modelmeter.api.cost_statement import MAX_REVISIONS, Overhead
from modelmeter.meter import publish
from modelmeter.meter.account import AT_ONCE, Facts, account
from modelmeter.meter.holding import GPU, REPLICA, STORAGE, Holding, Profile
from modelmeter.meter.ledger import REMEMBERED, Terms, advance, forget
from modelmeter.meter.page import Page
from modelmeter.meter.prices import Tariff
from modelmeter.meter.stored import to_spec
from modelmeter.meter.verify import verify_pages
from tests.meter.builders import L4, MODEL, at, book, facts, page, pod, seconds_of, tariff

LARGEST = 100 * 1024
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)
PRICES = tariff({"item": "gpu", "price": "0.73123456789"})


def size(sheet: Page) -> int:
    """Bytes of a page in the API server."""
    spec = to_spec(sheet, publish.totals(sheet)).model_dump(mode="json", by_alias=True, exclude_none=True)
    return len(json.dumps(spec))


def uid(number: int) -> str:
    """As long as a real one."""
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def test_a_month_of_31_days_with_20_rates_100_pods_and_many_revisions_is_small() -> None:
    prices = Tariff(
        book(
            *(
                {"item": item, "price": f"0.{731 + n}123456", "match": {"instanceType": f"g6.{n}"}}
                for n in range(5)
                for item in ("gpu", "cpu", "memory")
            ),
            *({"item": "storage", "price": f"0.000{n}", "match": {"storageClass": f"c{n}"}} for n in range(5)),
        )
    )
    pods = [
        Holding(
            uid(n),
            OCTOBER,
            None,
            {GPU: 1, "cpu": 4000, "memory": 2**34, REPLICA: 1},
            L4._replace(instance_type=f"g6.{n % 5}"),
            revision=f"{n // 10:016x}",
        )
        for n in range(100)
    ]
    claims = [
        Holding(uid(1000 + n), OCTOBER, None, {STORAGE: 10**12}, Profile(storage_class=f"c{n}")) for n in range(5)
    ]
    labour = tuple(Overhead(item=f"labour/person-{n}", unit_price="100000.25", per="year") for n in range(5))
    sheet = Page(MODEL, "2026-10", OCTOBER, overheads=labour)
    for day in range(1, 32):
        sheet = advance(sheet, [*pods, *claims], OCTOBER + timedelta(days=day), prices)
    assert len({key.rate for key in sheet.lines if key.rate}) == 20
    assert all(len(days) == 31 for days in sheet.lines.values())
    assert len({key.revision for key in sheet.lines if key.item == GPU}) == MAX_REVISIONS + 1
    assert size(sheet) < LARGEST


def test_more_than_500_ended_pods_take_several_writes() -> None:
    held = [pod(uid(n), 0, 60) for n in range(2 * AT_ONCE + 1)]
    sheet, writes = page(), 0
    present, more = held, True
    while more:
        outcome = account(sheet, facts(100, *present, prices=PRICES))
        sheet, more, writes = outcome.page, outcome.more, writes + 1
        assert size(sheet) < LARGEST
        present = [one for one in present if one.uid not in sheet.settled]
    assert writes == 3
    assert seconds_of(sheet, GPU) == 60 * len(held)
    assert sum(gone is not None for gone in sheet.settled.values()) <= REMEMBERED


def test_of_too_many_settled_uids_the_oldest_leave_first() -> None:
    settled = {uid(n): at(n) for n in range(REMEMBERED + 3)}
    kept = forget(Page(MODEL, "2026-11", at(0), settled={**settled, "here": None}), ["here"], at(700)).settled
    assert kept.keys() == {"here", *(uid(n) for n in range(3, REMEMBERED + 3))}


def test_months_without_a_price_are_one_span_a_holding() -> None:
    sheet = page()
    for day in range(1, 126):
        now = at(day * 86_400)
        outcome = account(sheet, Facts(now, (pod("a", 0), pod("b", 3600)), Tariff(book()), "", Terms()))
        sheet = outcome.page
    assert len(sheet.unpriced) <= 3 * 2
    assert seconds_of(sheet, GPU) == 2 * 125 * 86_400 - 3600
    assert all(publish.totals(closed).gpu_seconds == str(2 * 31 * 86_400) for closed in outcome.closed)


def test_totals_are_of_the_pages_own_month() -> None:
    """Unpriced spans move on to the next page; each page's totals have the seconds of its own month."""
    days = 40
    outcome = account(page(), facts(days * 86_400, pod("a", 0), prices=Tariff(book())))
    pages = (*outcome.closed, advance(outcome.page, [pod("a", 0)], at(days * 86_400), Tariff(book())))
    assert sum(int(publish.totals(sheet).gpu_seconds) for sheet in pages) == days * 86_400


def test_usage_that_is_priced_a_month_later_is_in_one_total_only() -> None:
    """An hour of November, whose price comes in December: November counts the GPU-seconds, December bills them."""
    sheet = account(page(), facts(7200, pod("a", 0, 3600), prices=Tariff(None))).page
    waiting = account(sheet, facts(40 * 86_400, prices=Tariff(None)))
    (november,) = waiting.closed
    priced = account(waiting.page, facts(40 * 86_400 + 10, prices=tariff({"item": "gpu", "price": "7"}))).page
    totals = [publish.totals(sheet) for sheet in (november, waiting.page, priced)]
    assert [one.gpu_seconds for one in totals] == ["3600", "0", "0"]
    assert totals[2].compute == "7.0000"
    assert {key.correction for key in priced.lines if key.item == GPU} == {"2026-11"}
    specs = [to_spec(sheet, publish.totals(sheet)) for sheet in (november, priced)]
    assert list(verify_pages(specs)) == []


def test_usage_that_was_too_much_a_month_ago_is_taken_back_on_the_open_page() -> None:
    november = account(page(), facts(22 * 86_400, pod("a", 0), prices=PRICES))
    sheet = account(november.page, facts(22 * 86_400 + 10, pod("a", 0, 3600), prices=PRICES)).page
    counted = [int(publish.totals(one).gpu_seconds) for one in (*november.closed, sheet)]
    assert counted == [21 * 86_400, 3600 - 21 * 86_400]
