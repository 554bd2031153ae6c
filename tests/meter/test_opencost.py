"""Cases that others bill wrongly (docs and issues of OpenCost), restated with money; the parts of GPUs are beside."""

from __future__ import annotations

from fractions import Fraction

import pytest

from modelmeter.meter.account import account
from modelmeter.meter.holding import CPU, GPU, MEMORY, STORAGE, Holding, Profile
from modelmeter.meter.ledger import advance, carry, settle
from modelmeter.meter.observe import pod_holding
from modelmeter.meter.page import Page
from tests.meter.builders import L4, at, facts, page, tariff
from tests.meter.objects import node, pod

HOUR = 3600
NOON = 12 * HOUR
ONE_THEN_THREE = tariff({"item": "gpu", "price": "1"}, {"item": "gpu", "price": "3", "from": "2026-11-10T12:00:00Z"})


def spent(sheet: Page) -> Fraction:
    """Exact cost of everything."""
    return sum(carry(sheet).cost.values(), Fraction(0))


def gpu(uid: str, start: int, end: int | None, profile: Profile = L4) -> Holding:
    """One GPU over [start, end) seconds after START, which is a midnight."""
    return Holding(uid, at(start), None if end is None else at(end), {GPU: 1}, profile)


@pytest.mark.parametrize(
    ("from_hour", "to_hour", "cost"),
    [pytest.param(0, 6, 6, id="before"), pytest.param(9, 15, 12, id="across"), pytest.param(15, 21, 18, id="after")],
)
def test_a_price_of_1_that_is_3_from_noon_on_is_split_at_noon(from_hour: int, to_hour: int, cost: int) -> None:
    """A pod over 00-06 h costs 6, not the day's average of 12."""
    sheet = settle(page(), gpu("a", from_hour * HOUR, to_hour * HOUR), ONE_THEN_THREE)
    assert spent(sheet) == cost


def test_a_day_of_a_gpu_4_cores_16_gib_and_100_gib_of_storage() -> None:
    """24 x (0.95 + 4 x 0.031611 + 16 x 0.004237 + 100 x 0.00005479452) = 27.593170848."""
    prices = tariff(
        {"item": "gpu", "price": "0.95"},
        {"item": "cpu", "price": "0.031611"},
        {"item": "memory", "price": "0.004237"},
        {"item": "storage", "price": "0.00005479452"},
    )
    server = Holding("pod", at(0), at(24 * HOUR), {GPU: 1, CPU: 4000, MEMORY: 16 * 2**30}, L4)
    claim = Holding("claim", at(0), at(24 * HOUR), {STORAGE: 100 * 2**30}, Profile(storage_class="standard"))
    sheet = settle(settle(page(), server, prices), claim, prices)
    assert spent(sheet) == Fraction("27.593170848")


def test_a_pod_of_the_same_name_is_another_pod() -> None:
    """A StatefulSet's web-0 over 0-1 h, and again over 2-3 h with a new UID: 2 h, not 3 and not 1."""
    first = gpu("web-0 the first", 0, HOUR)
    sheet = account(page(), facts(HOUR, first, prices=ONE_THEN_THREE)).page
    again = gpu("web-0 the second", 2 * HOUR, 3 * HOUR)
    sheet = account(sheet, facts(3 * HOUR, again, prices=ONE_THEN_THREE)).page
    assert spent(sheet) == 2


def test_a_pod_that_moved_to_a_dearer_node_costs_what_each_node_costs() -> None:
    """A pod cannot move: its replacement is on the other node, and has that node's price."""
    prices = tariff(
        {"item": "gpu", "price": "1", "match": {"gpuProduct": "NVIDIA-L4"}},
        {"item": "gpu", "price": "5", "match": {"gpuProduct": "NVIDIA-H100-80GB-HBM3"}},
    )
    nodes = {"a": node("a", gpu_product="NVIDIA-L4"), "b": node("b", gpu_product="NVIDIA-H100-80GB-HBM3")}
    before = pod_holding(pod("old").on("a", at(0)).asks(gpu="1").until(at(2 * HOUR)).build(), nodes)
    after = pod_holding(pod("new").on("b", at(2 * HOUR)).asks(gpu="1").until(at(3 * HOUR)).build(), nodes)
    assert before is not None
    assert after is not None
    assert spent(settle(settle(page(), before, prices), after, prices)) == 2 * 1 + 1 * 5


@pytest.mark.parametrize("seconds", [1, 180, 720])
def test_a_pod_between_two_samples_is_billed_to_the_second(seconds: int) -> None:
    """With samples every 300 s, 3 minutes are missed or billed as 5."""
    sheet = settle(page(), gpu("a", 7, 7 + seconds), tariff({"item": "gpu", "price": "3600"}))
    assert spent(sheet) == seconds


def test_a_gpu_is_held_while_the_image_is_pulled() -> None:
    pulling = pod("a").on("n", at(0)).asks(gpu="1").build()
    held = pod_holding(pulling, {"n": node("n", gpu_product="NVIDIA-L4")})
    assert held is not None
    assert spent(advance(page(), [held], at(HOUR), ONE_THEN_THREE)) == 1
