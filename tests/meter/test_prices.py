"""Which rate holds, when; and what a change of price in the middle of a pod's life costs."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

import pytest

from modelmeter.meter import cost
from modelmeter.meter.holding import GPU, Holding, Profile
from modelmeter.meter.ledger import advance, carry, settle
from modelmeter.meter.page import first_page
from modelmeter.meter.prices import Tariff
from tests.meter.builders import L4, MODEL, book

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 10, tzinfo=UTC)
SPOT = L4._replace(capacity_type="spot")


def test_a_price_that_changes_at_noon_splits_a_pod_at_noon() -> None:
    """00:00 to 06:00 before the change costs 6; 06:00 to 18:00 across it costs 6 x 1 + 6 x 3."""
    prices = Tariff(book({"item": "gpu", "price": "1"}, {"item": "gpu", "price": "3", "from": "2026-11-10T12:00:00Z"}))

    def compute(start_hour: int, end_hour: int) -> Fraction:
        held = Holding("a", MIDNIGHT.replace(hour=start_hour), MIDNIGHT.replace(hour=end_hour), {GPU: 1}, L4)
        return carry(settle(first_page(MODEL, MIDNIGHT), held, prices)).cost["compute"]

    assert compute(0, 6) == 6
    assert compute(6, 18) == 24


def test_the_split_is_exact_to_the_last_digit() -> None:
    """4,321 s at 0.731/h and 1,234 s at 0.2913/h: (4321 x 0.731 + 1234 x 0.2913) / 3600 = 0.977254222...."""
    prices = Tariff(
        book({"item": "gpu", "price": "0.731"}, {"item": "gpu", "price": "0.2913", "from": "2026-11-10T12:00:00Z"})
    )
    held = Holding("a", NOON.replace(hour=10, minute=47, second=59), NOON.replace(minute=20, second=34), {GPU: 1}, L4)
    settled = settle(first_page(MODEL, MIDNIGHT), held, prices)
    assert carry(settled).cost["compute"] == Fraction(35181152, 36000000)
    assert [(key.unit_price, days) for key, days in sorted(settled.lines.items()) if key.item == GPU] == [
        ("0.731", {"10": 4321}),
        ("0.2913", {"10": 1234}),
    ]


@pytest.mark.parametrize(
    ("profile", "price"),
    [
        (L4, "0.7"),
        (SPOT, "0.3"),
        (SPOT._replace(region="us-east-1"), "0.35"),
        (L4._replace(gpu_product="Tesla-T4"), "9"),
        (Profile(), "9"),
    ],
)
def test_the_most_specific_match_wins(profile: Profile, price: str) -> None:
    prices = Tariff(
        book(
            {"item": "gpu", "price": "9"},
            {"item": "gpu", "price": "0.7", "match": {"gpuProduct": "NVIDIA-L4"}},
            {"item": "gpu", "price": "0.35", "match": {"gpuProduct": "NVIDIA-L4", "capacityType": "spot"}},
            {
                "item": "gpu",
                "price": "0.3",
                "match": {"gpuProduct": "NVIDIA-L4", "capacityType": "spot", "region": "eu-west-1"},
            },
        )
    )
    found = prices.at(GPU, profile, NOON)
    assert found is not None
    assert found.unit_price == price


def test_of_equally_specific_rates_the_latest_from_wins() -> None:
    prices = Tariff(book({"item": "gpu", "price": "1", "from": "2026-03-01T00:00:00Z"}, {"item": "gpu", "price": "2"}))
    found = prices.at(GPU, L4, NOON)
    assert found is not None
    assert (found.rate, found.unit_price) == ("default/0", "1")


def test_before_the_first_rate_there_is_no_price() -> None:
    prices = Tariff(book({"item": "gpu", "price": "1", "from": "2026-11-10T12:00:00Z"}))
    held = Holding("a", MIDNIGHT, NOON.replace(hour=13), {GPU: 2}, L4)
    sheet = settle(first_page(MODEL, MIDNIGHT), held, prices)
    assert carry(sheet).cost["compute"] == 2
    assert [(key.start, key.end, amount) for key, amount in sheet.unpriced.items()] == [(MIDNIGHT, NOON, 2)]


def test_the_cross_check_figure_of_a_day() -> None:
    """1 GPU, 4 cores, 16 GiB and 100 GB (decimal, so 100e9 bytes at the price of a GB) for 24 h: 27.593170848."""
    prices = Tariff(
        book(
            {"item": "gpu", "price": "0.95"},
            {"item": "cpu", "price": "0.031611"},
            {"item": "memory", "price": "0.004237"},
            {"item": "storage", "price": "0.00005479452"},
        )
    )
    amounts = {"gpu": 1, "cpu": 4000, "memory": 16 * 2**30, "storage": 100 * 2**30}
    sheet = advance(
        first_page(MODEL, MIDNIGHT),
        [Holding("a", MIDNIGHT, None, amounts, L4)],
        MIDNIGHT.replace(day=11),
        prices,
    )
    assert sum(carry(sheet).cost.values(), cost.ZERO) == Fraction("27.593170848")
