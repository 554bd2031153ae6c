"""ResourceClaims: what is allocated to them, counted once, and divided among those who use it at once."""

from __future__ import annotations

from fractions import Fraction

import pytest

from modelmeter.meter.device_objects import Allocated, Device
from modelmeter.meter.devices import PRODUCTS_DIFFER, Devices, allocated_devices, claim_names, with_claims
from modelmeter.meter.holding import GPU, Profile
from modelmeter.meter.ledger import advance, carry, settle
from modelmeter.meter.objects import Pod
from modelmeter.meter.observe import pod_holding
from modelmeter.meter.page import Page
from modelmeter.meter.profiles import CLAIM_UNKNOWN, Captured
from modelmeter.meter.shares import SHARE_UNKNOWN
from modelmeter.meter.uses import Use, sharing
from tests.meter.builders import at, page, tariff
from tests.meter.objects import device, node, pod, resource_claim, resource_slice

H100 = "NVIDIA H100 80GB HBM3"
SLICE = resource_slice(
    device("gpu-0", H100),
    device("gpu-1", H100),
    device("gpu-2-mig-3g", H100, "3g.40gb"),
    device("odd", "NVIDIA X", "1g.1gb"),
    device("t4", "Tesla T4"),
)
NODES = {"gpu-1": node("gpu-1", gpu_product="NVIDIA-H100-80GB-HBM3")}
HOUR = 3600
AT_2 = tariff({"item": "gpu", "price": "2"})


def device_of(allocated: Allocated) -> Device | None:
    """The device in SLICE."""
    return next((found for found in SLICE.spec.devices if found.name == allocated.device), None)


ALLOCATIONS = [
    pytest.param([{"device": "gpu-0"}, {"device": "gpu-1"}], {"": 2}, "", id="two whole ones"),
    pytest.param([{"device": "gpu-2-mig-3g"}], {"3/7": 1}, "", id="a MIG instance"),
    pytest.param([{"device": "gpu-0", "adminAccess": True}], {}, "", id="an administrator's access takes nothing"),
    pytest.param([{"device": "nic", "driver": "nic.example.com"}], {}, "", id="a network card is no GPU"),
    pytest.param(
        [{"device": "gpu-0", "shareID": "s", "consumedCapacity": {"memory": "20Gi"}}],
        {"1/4": 1},
        "",
        id="a part of memory",
    ),
    pytest.param([{"device": "gpu-0", "shareID": "s"}], {"": 1}, SHARE_UNKNOWN, id="a part of unknown size"),
    pytest.param([{"device": "gone"}], {"": 1}, SHARE_UNKNOWN, id="a device that is no longer offered"),
    pytest.param([{"device": "odd"}], {"": 1}, SHARE_UNKNOWN, id="an instance of an unknown device"),
]


@pytest.mark.parametrize(("results", "parts", "reason"), ALLOCATIONS)
def test_what_is_allocated(results: list[dict[str, object]], parts: dict[str, int], reason: str) -> None:
    found = allocated_devices(resource_claim("c", *results), device_of)
    assert found is not None
    assert (found.parts, found.reason) == (parts, reason)


def test_whatever_a_claim_of_a_model_is_for_is_a_gpu() -> None:
    claim = resource_claim("c", {"device": "gpu-0", "driver": "gpu.example.com"})
    assert allocated_devices(claim, device_of) == Devices({})
    claim.metadata.labels["modelmeter.dev/model"] = "intent"
    assert allocated_devices(claim, device_of) == Devices({"": 1}, H100.replace(" ", "-"))


def test_a_claim_without_an_allocation_is_not_known_yet() -> None:
    waiting = resource_claim("c")
    assert allocated_devices(waiting, device_of) == Devices({})
    assert allocated_devices(type(waiting)(waiting.metadata), device_of) is None


def test_the_claims_of_a_pod() -> None:
    assert claim_names(pod("a").uses_claim("shared").build()) == ["shared"]
    assert claim_names(pod("a").uses_template("a-gpu-x7x").build()) == ["a-gpu-x7x"]
    assert claim_names(pod("a").got_extended("nvidia.com/gpu", "a-extended-q").build()) == ["a-extended-q"]


def noted(uid: str, claim: str, parts: dict[str, int], since: int, until: int | None = None) -> Pod:
    """A pod that uses a claim over [since, until) hours after START, its devices captured."""
    running = pod(uid).on("gpu-1", at(since * HOUR)).uses_claim(claim)
    known = with_claims(Captured(Profile("NVIDIA-H100-80GB-HBM3")), {claim: Devices(parts)})
    running = running.noted(known)
    return (running if until is None else running.until(at(until * HOUR))).build()


def spent(sheet: Page) -> Fraction:
    """Exact cost of compute."""
    return carry(sheet).cost["compute"]


def test_the_devices_of_a_claim_count_for_its_pod() -> None:
    held = pod_holding(noted("a", "c", {"3/7": 1, "": 1}, 0, 7), NODES)
    assert held is not None
    assert carry(settle(page(), held, AT_2)).usage[GPU] == 10 * HOUR


def test_a_claim_whose_devices_nobody_saw_is_not_billed_silently() -> None:
    held = pod_holding(pod("a").on("gpu-1", at(0)).uses_claim("c").build(), NODES)
    assert held is not None
    assert (held.certainty, held.reason) == ("estimated", CLAIM_UNKNOWN)


def test_gpus_of_two_products_are_priced_as_the_first_and_say_so() -> None:
    claims = {"c1": Devices({"": 1}, "NVIDIA-H100"), "c2": Devices({"": 1}, "NVIDIA-L4")}
    known = with_claims(Captured(Profile()), claims)
    assert (known.profile.gpu_product, known.reason) == ("NVIDIA-H100", PRODUCTS_DIFFER)
    alike = with_claims(Captured(Profile()), {**claims, "c2": claims["c1"]})
    assert (alike.profile.gpu_product, alike.reason) == ("NVIDIA-H100", "")
    both = allocated_devices(resource_claim("c", {"device": "gpu-0"}, {"device": "t4"}), device_of)
    assert both is not None
    assert both.reason == PRODUCTS_DIFFER


def test_an_extended_resource_that_a_claim_stands_for_counts_once() -> None:
    asking = pod("a").on("gpu-1", at(0)).asks(gpu="1").got_extended("nvidia.com/gpu", "c")
    unknown = pod_holding(asking.build(), NODES)
    assert unknown is not None
    assert (unknown.amounts[GPU], unknown.shared) == (1, ())
    known = pod_holding(asking.noted(with_claims(Captured(Profile()), {"c": Devices({"": 1})})).build(), NODES)
    assert known is not None
    assert carry(advance(page(), [known], at(HOUR), AT_2)).usage[GPU] == HOUR


def test_a_shared_claim_is_divided_among_those_who_use_it_at_once() -> None:
    """At 2 an hour, A over 1-3 h and B over 2-3 h: 3 and 1, together what the claim costs."""
    uses = {"c": {"a": Use(at(HOUR), at(3 * HOUR)), "b": Use(at(2 * HOUR), at(3 * HOUR))}}
    a = pod_holding(noted("a", "c", {"": 1}, 1, 3), NODES, uses=uses)
    b = pod_holding(noted("b", "c", {"": 1}, 2, 3), NODES, uses=uses)
    assert a is not None
    assert b is not None
    assert (spent(settle(page(), a, AT_2)), spent(settle(page(), b, AT_2))) == (3, 1)


def test_three_who_come_and_go_are_billed_the_whole_claim_and_no_more() -> None:
    hours = {"a": (0, 5), "b": (1, 4), "c": (2, 3)}
    uses = {"x": {uid: Use(at(start * HOUR), at(end * HOUR)) for uid, (start, end) in hours.items()}}
    sheet = page()
    for uid, (start, end) in hours.items():
        live = pod_holding(noted(uid, "x", {"": 1}, start), NODES, uses=uses)
        assert live is not None
        # Posted in the middle, then settled: as the ledger does.
        sheet = advance(sheet, [live], at(start * HOUR + 1800), AT_2)
        done = pod_holding(noted(uid, "x", {"": 1}, start, end), NODES, uses=uses)
        assert done is not None
        sheet = settle(sheet, done, AT_2)
    assert carry(sheet).usage[GPU] == 5 * HOUR
    assert spent(sheet) == 10


def test_sharing_says_from_when_on_how_many() -> None:
    assert sharing([Use(at(10), at(30)), Use(at(20), at(30)), Use(at(25), None)]) == (
        (at(10), 1),
        (at(20), 2),
        (at(25), 3),
        (at(30), 1),
    )
