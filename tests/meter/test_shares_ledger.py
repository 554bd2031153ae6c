"""Parts of GPUs, stages and reasons on lines: exact in the ledger, rounded once where they are shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmeter.api.cost_statement import CostStatementSpec
from modelmeter.api.model_deployment_status import Replicas
from modelmeter.meter import publish
from modelmeter.meter.account import account, live_page
from modelmeter.meter.holding import GPU, Holding
from modelmeter.meter.ledger import advance, carry, settle
from modelmeter.meter.page import Page, PartSum
from modelmeter.meter.prices import Tariff
from modelmeter.meter.stored import from_spec, to_spec
from tests.meter.builders import L4, at, facts, page, tariff

GPU_AT_7 = tariff({"item": "gpu", "price": "7"})
FREE = tariff({"item": "gpu", "price": "0"})
NOTHING = tariff()
DAY = 86_400


def parts(uid: str, start: int, end: int | None, share: str, units: int = 1, stage: str = "") -> Holding:
    """A holding of parts of a GPU and nothing else."""
    return Holding(uid, at(start), None if end is None else at(end), {}, L4, slices={share: units}, stage=stage)


def compute(sheet: Page) -> Fraction:
    """Exact cost of compute over the whole life."""
    return carry(sheet).cost["compute"]


def reread(sheet: Page) -> Page:
    """The page as the API server would give it back."""
    text = to_spec(sheet, publish.totals(sheet)).model_dump(mode="json", by_alias=True, exclude_none=True)
    return from_spec(CostStatementSpec.model_validate(text))


def test_slices_of_mig_add_up_to_the_whole_gpu() -> None:
    """A GPU at 70 for 10 h: 4/7 and 3/7 of it are 40 and 30."""
    hours = 10 * 3600
    four = settle(page(), parts("a", 0, hours, "4/7"), GPU_AT_7)
    three = settle(page(), parts("b", 0, hours, "3/7"), GPU_AT_7)
    assert (compute(four), compute(three)) == (40, 30)
    both = settle(four, parts("b", 0, hours, "3/7"), GPU_AT_7)
    assert publish.usage(both).gpu_seconds == str(hours)


def test_four_time_slices_of_a_quarter_are_one_gpu_hour() -> None:
    sheet = page()
    for uid in "abcd":
        sheet = settle(sheet, parts(uid, 0, 3600, "1/4"), GPU_AT_7)
    assert publish.usage(sheet).gpu_hours == "1.00"
    assert compute(sheet) == 7


def test_a_pod_with_two_sizes_of_slices_has_a_line_for_each() -> None:
    held = replace(parts("a", 0, 7000, "1/7"), slices={"1/7": 2, "3/7": 1})
    sheet = settle(page(), held, GPU_AT_7)
    assert {key.share: sum(days.values()) for key, days in sheet.lines.items()} == {"1/7": 14_000, "3/7": 7000}
    assert publish.usage(sheet).gpu_seconds == "5000"


def test_sevenths_of_seconds_are_rounded_once_and_only_where_they_are_shown() -> None:
    sheet = advance(page(), [parts("a", 0, None, "1/7"), parts("b", 0, None, "1/7")], at(10), GPU_AT_7)
    assert publish.usage(sheet).gpu_seconds == "3"
    assert carry(sheet).usage[GPU] == Fraction(20, 7)
    boundary = round(timedelta(days=21).total_seconds())
    later = account(sheet, facts(boundary + 5, parts("a", 0, 10, "1/7"), parts("b", 0, None, "1/7"), prices=GPU_AT_7))
    assert reread(later.page).past.usage[GPU] == Fraction(10 + boundary, 7)


def test_a_take_back_of_parts_leaves_nothing_behind() -> None:
    posted = advance(page(), [parts("a", 0, None, "1/4")], at(1000), GPU_AT_7)
    assert settle(posted, parts("a", 0, 0, "1/4"), GPU_AT_7).lines == {}


def test_parts_without_a_price_are_kept_as_parts_and_priced_as_parts() -> None:
    sheet = account(page(), facts(3600, parts("a", 0, 3600, "1/4", stage="training"), prices=NOTHING)).page
    unpriced = publish.cost_of(sheet, Fraction(0), Replicas(), at(3600)).unpriced
    assert unpriced is not None
    assert unpriced.gpu_seconds == "900"
    priced = account(reread(sheet), facts(3700, prices=GPU_AT_7)).page
    assert compute(priced) == Fraction(7, 4)
    assert [key.stage for key in priced.lines] == ["training"]


def test_stages_are_kept_apart_over_a_months_end_and_serving_is_the_rest() -> None:
    boundary = round(timedelta(days=21).total_seconds())
    held = [parts("train", 0, 3600, "1/2", stage="training"), parts("serve", boundary - 3600, None, "1/4")]
    sheet = account(page(), facts(boundary + 60, *held, prices=GPU_AT_7)).page
    shown = publish.usage(live_page(reread(sheet), facts(boundary + 3600, *held, prices=GPU_AT_7)))
    assert [(part.stage, part.gpu_seconds, part.gpu_hours, part.cost) for part in shown.by_stage] == [
        ("serving", "1800", "0.50", "3.5000"),
        ("training", "1800", "0.50", "3.5000"),
    ]


@pytest.mark.parametrize("prices", [GPU_AT_7, NOTHING])
def test_a_stage_that_changed_while_it_was_open_takes_back_what_was_posted(prices: Tariff) -> None:
    """A pod of training is called evaluation, and then it turns out that it ended before T."""
    sheet = advance(page(), [parts("a", 0, None, "1/2", stage="training")], at(110), prices)
    sheet = settle(reread(sheet), parts("a", 0, 100, "1/2", stage="evaluation"), prices)
    shown = {part.stage: part.gpu_seconds for part in publish.usage(sheet).by_stage}
    assert shown == {"serving": "0", "training": "50"}


def test_what_is_estimated_says_why() -> None:
    lost = replace(parts("a", 0, 100, "1/2"), certainty="estimated", reason="NodeLost")
    sheet = settle(page(), lost, GPU_AT_7)
    assert [(part.reason, part.gpu_seconds) for part in publish.usage(reread(sheet)).estimated] == [("NodeLost", "50")]
    unpriced = settle(page(), lost, NOTHING)
    assert [(part.reason, part.gpu_seconds) for part in publish.usage(unpriced).estimated] == [("NodeLost", "50")]


def test_a_page_of_whole_gpus_is_written_as_it_always_was() -> None:
    whole = Holding("a", at(0), at(10), {GPU: 1}, L4)
    text = to_spec(settle(page(), whole, FREE), publish.totals(page())).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    assert text["lines"] == [
        {
            "item": "gpu",
            "rate": "default/0",
            "unitPrice": "0",
            "per": "hour",
            "certainty": "exact",
            "days": {"10": "10"},
        }
    ]
    assert text["carried"] == {"usage": {}, "cost": {}, "estimated": "0"}


def test_a_page_is_read_as_it_was_written() -> None:
    marked = replace(parts("a", 0, 100, "1/2", stage="data"), certainty="estimated", reason="NodeLost")
    sheet = settle(settle(page(), marked, GPU_AT_7), replace(marked, uid="b"), NOTHING)
    assert reread(sheet) == sheet


HELD = st.tuples(
    st.integers(0, 40 * DAY),
    st.integers(0, 3 * DAY),
    st.sampled_from(("1/7", "3/7", "1/4", "1/14")),
    st.integers(1, 3),
    st.sampled_from(("", "data", "training")),
)


@given(st.lists(HELD, max_size=6), st.lists(st.integers(0, 45 * DAY), max_size=6))
def test_whenever_it_is_posted_every_part_is_counted_once_and_for_its_stage(
    history: list[tuple[int, int, str, int, str]], moments: list[int]
) -> None:
    sheet = page()
    for now in (*sorted(moments), 45 * DAY):
        held = [
            parts(str(index), start, start + length if start + length <= now else None, share, units, stage)
            for index, (start, length, share, units, stage) in enumerate(history)
            if start <= now
        ]
        sheet = reread(account(sheet, facts(now, *held, prices=GPU_AT_7, advance=bool(now % 2))).page)
    total = carry(sheet)
    expected: dict[str, Fraction] = {}
    for _, length, share, units, stage in history:
        expected[stage] = expected.get(stage, Fraction(0)) + Fraction(share) * units * length
    assert total.usage.get(GPU, 0) == sum(expected.values())
    assert total.cost.get("compute", 0) == 7 * sum(expected.values()) / 3600
    for stage in ("data", "training"):
        sums = total.stages.get(stage, PartSum())
        assert sums.usage.get(GPU, 0) == expected.get(stage, 0)
        assert sums.cost == 7 * expected.get(stage, Fraction(0)) / 3600
