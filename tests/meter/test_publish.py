"""What the status shows of a page, and the estimate's formula."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

from modelmeter.api.base import parse
from modelmeter.api.estimate import EstimateSpec
from modelmeter.api.model_deployment import Pricing
from modelmeter.api.model_deployment_status import Replicas
from modelmeter.meter import publish
from modelmeter.meter.estimate import explicit, parts
from modelmeter.meter.ledger import advance
from tests.meter.builders import at, page, pod, tariff

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
