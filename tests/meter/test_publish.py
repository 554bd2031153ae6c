"""What the status shows of a page, and the estimate's formula."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

from modelmeter.api.base import parse
from modelmeter.api.cost_statement import CostStatementSpec, Overhead
from modelmeter.api.estimate import EstimateSpec
from modelmeter.api.model_deployment_status import Replicas
from modelmeter.api.pricing import Pricing
from modelmeter.meter import publish
from modelmeter.meter.account import account
from modelmeter.meter.estimate import explicit, parts
from modelmeter.meter.holding import STORAGE, Holding, Profile
from modelmeter.meter.ledger import advance
from modelmeter.meter.prices import Tariff
from modelmeter.meter.stored import to_spec
from tests.meter.builders import at, facts, page, pod, tariff

LABOUR = (Overhead(item="labour/owner", unit_price="36", per="hour"),)
PRICES = tariff({"item": "gpu", "price": "0.731"}, {"item": "cpu", "price": "0.031611"})


def test_labour_and_operations_become_a_price_per_period() -> None:
    pricing = parse(
        Pricing,
        {
            "labour": [{"name": "owner", "price": "100000", "per": "year", "share": "0.25"}],
            "operations": [
                {"name": "review", "hoursPerDay": "1.5", "pricePerHour": "80"},
                {"name": "licence", "price": "30", "per": "month"},
            ],
        },
        "spec.pricing",
    )
    assert [(entry.item, entry.unit_price, entry.per) for entry in publish.overheads(pricing)] == [
        ("labour/owner", "25000", "year"),
        ("operations/review", "120", "day"),
        ("operations/licence", "30", "month"),
    ]


def test_usage_and_cost_of_a_page() -> None:
    held = [pod("a", 0), pod("b", 600)]
    sheet = advance(page(), held, at(3600), PRICES)
    usage = publish.usage(sheet)
    assert (usage.gpu_seconds, usage.gpu_hours) == ("6600", "1.83")
    assert usage.cpu_core_milli_seconds == str(2000 * 6600)
    assert usage.memory_byte_seconds == str(8 * 2**30 * 6600)
    per_hour = publish.per_hour(sheet, held, PRICES, at(3600))
    assert per_hour == 2 * (Fraction("0.731") + 2 * Fraction("0.031611"))
    cost = publish.cost_of(sheet, per_hour, Replicas(desired=2, ready=2), at(3600))
    # 6600 s x (0.731 + 2 x 0.031611) / 3600 = 1.456073
    assert (cost.compute, cost.total, cost.month.total, cost.per_hour) == ("1.4561", "1.4561", "1.4561", "1.5884")
    assert cost.unpriced is not None
    assert cost.unpriced.memory_byte_seconds == str(8 * 2**30 * 6600)
    assert cost.unpriced.gpu_seconds is None
    assert cost.as_of == "2026-11-10T01:00:00Z"


NOTHING = Tariff(None)
AMOUNTS = ("compute", "storage", "labour", "operations", "total", "per_hour")


def test_what_nobody_has_a_price_for_is_not_shown_as_0() -> None:
    """Without a PriceBook kubectl prints empty columns."""
    held = [pod("a", 0)]
    sheet = advance(replace(page(), overheads=LABOUR), held, at(3600), NOTHING)
    shown = publish.cost_of(sheet, publish.per_hour(sheet, held, NOTHING, at(3600)), Replicas(), at(3600))
    text = shown.model_dump(exclude_none=True)
    known = {"storage": "0.0000", "labour": "36.0000", "operations": "0.0000"}
    assert {name: text[name] for name in AMOUNTS if name in text} == known
    assert (shown.month.total, publish.totals(sheet).total, publish.totals(sheet).compute) == (None, None, None)
    spec = to_spec(sheet, publish.totals(sheet)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert CostStatementSpec.model_validate(spec).totals == publish.totals(sheet)


def test_labour_that_has_ended_is_no_cost_of_an_hour() -> None:
    sheet = replace(page(), overheads=LABOUR, overheads_until=at(5))
    assert publish.per_hour(sheet, [], PRICES, at(4)) == 36
    assert publish.per_hour(sheet, [], PRICES, at(5)) == 0


def test_a_stage_that_nobody_has_a_price_for_is_not_shown_as_free() -> None:
    held = [pod("a", 0), replace(pod("b", 0, profile=Profile("NVIDIA-T4")), stage="training")]
    prices = tariff({"item": "gpu", "price": "2", "match": {"gpuProduct": "NVIDIA-L4"}})
    stages = publish.usage(advance(page(), held, at(3600), prices)).by_stage
    assert [(part.stage, part.gpu_seconds, part.cost) for part in stages] == [
        ("serving", "3600", "2.0000"),
        ("training", "3600", None),
    ]


def test_where_a_part_has_a_price_the_sum_of_that_is_shown() -> None:
    held = [pod("a", 0)]
    prices = tariff({"item": "cpu", "price": "0"})
    sheet = advance(page(), held, at(3600), prices)
    shown = publish.cost_of(sheet, publish.per_hour(sheet, held, prices, at(3600)), Replicas(), at(3600))
    assert (shown.compute, shown.total, shown.month.total, shown.per_hour) == ("0.0000",) * 4
    assert shown.unpriced is not None
    disk = Holding("c", at(0), None, {STORAGE: 1}, Profile())
    sheet = advance(page(), [*held, disk], at(3600), prices)
    shown = publish.cost_of(sheet, publish.per_hour(sheet, [disk], prices, at(3600)), Replicas(), at(3600))
    assert (shown.compute, shown.storage, shown.total, shown.per_hour) == ("0.0000", None, "0.0000", None)


def test_what_uses_nothing_costs_nothing() -> None:
    sheet = advance(page(), [], at(3600), NOTHING)
    shown = publish.cost_of(sheet, publish.per_hour(sheet, [], NOTHING, at(3600)), Replicas(), at(3600))
    assert [getattr(shown, name) for name in AMOUNTS] == ["0.0000"] * 6
    # What November has unpriced is no cost of December.
    held = [pod("a", 0, 3600)]
    later = account(page(), facts(40 * 86_400, *held, prices=NOTHING)).page
    shown = publish.cost_of(later, None, Replicas(), at(40 * 86_400))
    assert (shown.total, shown.month.total, shown.month.compute) == (None, "0.0000", "0.0000")


def test_what_has_no_price_is_named() -> None:
    names = publish.unpriced_items(page(), [pod("a", 0)], PRICES, datetime(2026, 11, 10, tzinfo=UTC))
    assert names == ("memory on NVIDIA-L4 (g6.xlarge, eu-west-1, on-demand)",)


def test_the_worked_example() -> None:
    """0.1 + 0.0002 + 3650 + 3600 = 7250.1002."""
    spec = parse(
        EstimateSpec,
        {
            "currency": "USD",
            "items": [
                {"category": category, "name": category, "quantity": quantity, "unitPrice": price}
                for category, quantity, price in (
                    ("compute", "0.1", "1"),
                    ("storage", "200", "0.000001"),
                    ("labour", "365", "10"),
                    ("operations", "3600", "1"),
                )
            ],
        },
        "spec",
    )
    sums = parts(map(explicit, spec.items))
    assert sums == {
        "compute": Fraction("0.1"),
        "storage": Fraction("0.0002"),
        "labour": 3650,
        "operations": 3600,
        "total": Fraction("7250.1002"),
    }
