"""What 1,000 inferences cost at a rate, by hand."""

from __future__ import annotations

from fractions import Fraction

from modelmeter.meter.holding import Profile
from modelmeter.meter.performance import cost_per_1000, replica_per_hour, text
from tests.meter.builders import L4, at, pod, tariff

PRICES = (
    {"item": "gpu", "price": "0.731"},
    {"item": "cpu", "price": "0.031611"},
    {"item": "memory", "price": "0.004237"},
)
SPOT = L4._replace(capacity_type="spot")


def test_cost_per_1000_by_hand() -> None:
    # One GPU, 2 cores, 8 GiB: 0.731 + 2 x 0.031611 + 8 x 0.004237 = 0.828118 an hour.
    per_hour = replica_per_hour([pod("a", 0)], tariff(*PRICES), at(60))
    assert per_hour == Fraction("0.828118")
    # At 96.4 a second 347,040 an hour; 0.828118 / 347.04 = 0.0023862...
    assert text(cost_per_1000(per_hour, Fraction("96.4"))) == "0.00238623"


def test_replicas_of_several_prices_count_by_their_mean() -> None:
    prices = tariff(*PRICES, {"item": "gpu", "price": "0.231", "match": {"capacityType": "spot"}})
    replicas = [pod("a", 0), pod("b", 0, profile=SPOT), pod("c", 0, profile=SPOT)]
    assert replica_per_hour(replicas, prices, at(60)) == Fraction("0.828118") - Fraction("0.5") * 2 / 3


def test_an_unknown_price_is_unknown_and_not_0() -> None:
    assert replica_per_hour([pod("a", 0)], tariff(*PRICES[:2]), at(60)) is None
    t4_only = tariff({**PRICES[0], "match": {"gpuProduct": "Tesla-T4"}}, *PRICES[1:])
    assert replica_per_hour([pod("a", 0), pod("b", 0, profile=Profile("Tesla-T4"))], t4_only, at(60)) is None
    assert replica_per_hour([], tariff(*PRICES), at(60)) is None
