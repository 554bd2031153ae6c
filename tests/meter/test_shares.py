"""Which part of a GPU a resource is, by every way that NVIDIA's software divides one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from modelmeter.meter.holding import GPU
from modelmeter.meter.observe import pod_holding
from modelmeter.meter.profiles import captured, encode, node_profile, on_node
from modelmeter.meter.shares import SHARE_UNKNOWN, Part, device_product, part
from tests.meter.builders import at
from tests.meter.objects import labelled, node, pod

A100 = "NVIDIA-A100-SXM4-40GB"
PARTS = [
    pytest.param("nvidia.com/gpu", {}, "1", "", id="whole"),
    pytest.param("amd.com/gpu", {"nvidia.com/gpu.replicas": "4"}, "1", "", id="another vendor's is whole"),
    pytest.param("nvidia.com/gpu", {"gpu.replicas": "1", "gpu.sharing-strategy": "none"}, "1", "", id="not shared"),
    pytest.param("nvidia.com/gpu", {"gpu.replicas": "4", "gpu.product": "Tesla-T4-SHARED"}, "1/4", "", id="sliced"),
    pytest.param("nvidia.com/gpu.shared", {"gpu.replicas": "10"}, "1/10", "", id="sliced, renamed"),
    pytest.param("nvidia.com/gpu", {"gpu.replicas": "3", "gpu.sharing-strategy": "mps"}, "1/3", "", id="MPS"),
    pytest.param("nvidia.com/gpu.shared", {}, "1", SHARE_UNKNOWN, id="shared among nobody knows how many"),
    pytest.param("nvidia.com/mig-3g.20gb", {"gpu.product": A100}, "3/7", "", id="MIG mixed"),
    pytest.param("nvidia.com/mig-1g.10gb.me", {"gpu.product": "NVIDIA-H100-80GB-HBM3"}, "1/7", "", id="with media"),
    pytest.param("nvidia.com/mig-7g.40gb", {"gpu.product": A100}, "1", "", id="all slices are the whole"),
    pytest.param("nvidia.com/mig-2g.12gb", {"gpu.product": "NVIDIA-A30"}, "1/2", "", id="A30 has four"),
    pytest.param(
        "nvidia.com/mig-1g.5gb", {"gpu.product": A100, "mig-1g.5gb.replicas": "2"}, "1/14", "", id="MIG mixed, sliced"
    ),
    pytest.param(
        "nvidia.com/mig-1g.5gb.shared", {"gpu.product": A100, "mig-1g.5gb.replicas": "3"}, "1/21", "", id="and renamed"
    ),
    pytest.param(
        "nvidia.com/mig-1g.5gb", {"gpu.product": A100, "gpu.replicas": "2"}, "1/7", "", id="of GPUs, not of MIG"
    ),
    pytest.param("nvidia.com/gpu", {"gpu.product": f"{A100}-MIG-2g.10gb"}, "2/7", "", id="MIG single"),
    pytest.param(
        "nvidia.com/gpu",
        {"gpu.product": f"{A100}-MIG-1g.5gb-SHARED", "gpu.replicas": "2"},
        "1/14",
        "",
        id="single, sliced",
    ),
    pytest.param("nvidia.com/gpu", {"gpu.product": f"{A100}-MIG-INVALID"}, "1", SHARE_UNKNOWN, id="an invalid layout"),
    pytest.param("nvidia.com/mig-1g.5gb", {"gpu.product": "NVIDIA-X1"}, "1", SHARE_UNKNOWN, id="an unknown device"),
    pytest.param("nvidia.com/mig-1g.5gb", {}, "1", SHARE_UNKNOWN, id="a device without a name"),
    pytest.param("nvidia.com/mig-7g.40gb", {"gpu.product": "NVIDIA-A30"}, "1", SHARE_UNKNOWN, id="more than there are"),
]


@pytest.mark.parametrize(("resource", "labels", "share", "reason"), PARTS)
def test_the_part_of_a_gpu(resource: str, labels: dict[str, str], share: str, reason: str) -> None:
    full = {name if "/" in name else f"nvidia.com/{name}": value for name, value in labels.items()}
    assert part(resource, full) == Part(Fraction(share), reason)


@pytest.mark.parametrize("suffix", ["", "-SHARED", "-MIG-1g.5gb", "-MIG-1g.5gb-SHARED", "-MIG-INVALID"])
def test_prices_name_the_device_however_it_is_divided(suffix: str) -> None:
    assert device_product(A100 + suffix) == A100
    assert node_profile(node("n", gpu_product=A100 + suffix)).gpu_product == A100


def test_a_pod_with_two_sizes_of_slices_and_a_whole_gpu_holds_each() -> None:
    asked = {"nvidia.com/mig-1g.5gb": "2", "nvidia.com/mig-3g.20gb": "1", "nvidia.com/gpu": "1", "cpu": "1"}
    held = pod_holding(pod("a").on("n", at(0)).asks_for(asked).build(), {"n": node("n", gpu_product=A100)})
    assert held is not None
    assert (held.amounts[GPU], held.slices) == (1, {"1/7": 2, "3/7": 1})
    assert (held.certainty, held.profile.gpu_product) == ("exact", A100)


def test_two_resources_of_the_same_share_are_added() -> None:
    asked = {"nvidia.com/mig-1g.5gb": "1", "nvidia.com/mig-1g.5gb.me": "2"}
    held = pod_holding(pod("a").on("n", at(0)).asks_for(asked).build(), {"n": node("n", gpu_product=A100)})
    assert held is not None
    assert held.slices == {"1/7": 3}


def test_the_share_outlives_the_node() -> None:
    shared = labelled("n", {"nvidia.com/gpu.product": "Tesla-T4-SHARED", "nvidia.com/gpu.replicas": "4"})
    running = pod("a").on("n", at(0)).asks(gpu="1")
    noted = running.noted(on_node(shared, ["nvidia.com/gpu"])).build()
    held = pod_holding(noted, {})
    assert held is not None
    assert (held.slices, held.profile.gpu_product, held.reason) == ({"1/4": 1}, "Tesla-T4", "")


def test_a_share_that_cannot_be_known_is_a_whole_gpu_and_says_so() -> None:
    held = pod_holding(pod("a").on("n", at(0)).asks_for({"nvidia.com/gpu.shared": "1"}).build(), {"n": node("n")})
    assert held is not None
    assert (held.amounts[GPU], held.certainty, held.reason) == (1, "estimated", SHARE_UNKNOWN)


def test_profiles_of_older_operators_are_read() -> None:
    old = pod("a").build()
    old.metadata.annotations["modelmeter.dev/price-profile"] = '{"capacity_type": "spot", "gpu_product": "NVIDIA-L4"}'
    known = captured(old)
    assert known is not None
    assert (known.profile.gpu_product, known.shares, encode(known)) == (
        "NVIDIA-L4",
        {},
        '{"capacity_type": "spot", "gpu_product": "NVIDIA-L4"}',
    )


@pytest.mark.parametrize(("label", "stage"), [("training", "training"), ("serving", ""), ("distilling", "distilling")])
def test_a_stage_is_kept_as_given(label: str, stage: str) -> None:
    held = pod_holding(pod("a").on("n", at(0)).asks(gpu="1").stage(label).build(), {"n": node("n")})
    assert held is not None
    assert held.stage == stage
