"""Which part of a GPU a resource is, by every way that NVIDIA's software divides one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from modelmeter.meter.holding import GPU, Profile
from modelmeter.meter.observe import pod_holding, to_be_noted
from modelmeter.meter.profiles import Captured, captured, node_profile, on_node
from modelmeter.meter.requests import encode_at_first, held_at_first
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
    pytest.param("nvidia.com/gpu", {"gpu.product": "NVIDIA-L4-SHARED"}, "1", SHARE_UNKNOWN, id="without replicas"),
    pytest.param("nvidia.com/mig-3g.20gb", {"gpu.product": f"{A100}-SHARED"}, "3/7", "", id="GPUs shared, MIG not"),
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


FORGED = [
    pytest.param('{"gpu_product": "NVIDIA-L4"}', id="of an operator that did not say of which pod"),
    pytest.param('{"uid": "other", "node": "n", "gpu_product": "NVIDIA-L4"}', id="copied from another pod"),
    pytest.param('{"uid": "a", "node": "m", "gpu_product": "NVIDIA-L4"}', id="of another node"),
    pytest.param('{"uid": "a", "node": "n", "shares": {"nvidia.com/gpu": "2"}}', id="two GPUs for one"),
    pytest.param('{"uid": "a", "node": "n", "shares": {"nvidia.com/gpu": "3/2"}}', id="more than a GPU for one"),
    pytest.param('{"uid": "a", "node": "n", "shares": {"nvidia.com/gpu": "0/1"}}', id="nothing"),
    pytest.param('{"uid": "a", "node": "n", "shares": {"nvidia.com/gpu": "-1/2"}}', id="less than nothing"),
    pytest.param('{"uid": "a", "node": "n", "shares": {"nvidia.com/gpu": "half"}}', id="no number"),
    pytest.param('{"uid": "a", "node": "n", "shares": {"nvidia.com/gpu": "1/0"}}', id="divided by nothing"),
    pytest.param('{"uid": "a", "node": "n", "shares": "x"}', id="a text for an object"),
    pytest.param('{"uid": "a", "node": "n", "gpu_product": ["a"]}', id="a list for a text"),
    pytest.param('{"uid": "a", "node": "n", "claims": {"c": {"": -1}}}', id="a negative number of GPUs"),
    pytest.param('{"uid": "a", "node": "n", "claims": {"c": {"1/0": 1}}}', id="a part that is none"),
    pytest.param('{"uid": "a", "node": "n", "storage_class": "x"}', id="a field that is not ours"),
    pytest.param("[]", id="no object"),
    pytest.param("{", id="no JSON"),
]


@pytest.mark.parametrize("text", FORGED)
def test_a_note_that_is_not_ours_or_not_this_pods_says_nothing(text: str) -> None:
    asking = pod("a").on("n", at(0)).asks(gpu="1").build()
    asking.metadata.annotations["modelmeter.dev/price-profile"] = text
    asking.metadata.finalizers.append("modelmeter.dev/metering")
    assert captured(asking) is None
    assert to_be_noted(asking)
    held = pod_holding(asking, {"n": node("n", gpu_product="Tesla-T4")})
    assert held is not None
    assert (held.amounts[GPU], held.profile.gpu_product) == (1, "Tesla-T4")


def test_a_note_is_read_as_it_was_written() -> None:
    known = Captured(Profile("NVIDIA-L4", "g6", "eu", "spot"), {"nvidia.com/gpu": "1/4"}, {"c": {"": 1}}, "X")
    asking = pod("a").on("n", at(0)).noted(known).build()
    assert captured(asking) == known
    text = asking.metadata.annotations["modelmeter.dev/price-profile"]
    assert text.startswith('{"uid":"a","node":"n","gpu_product":"NVIDIA-L4"')
    again = pod("b").on("n", at(0)).build()
    again.metadata.annotations["modelmeter.dev/price-profile"] = text
    assert captured(again) is None


AT_FIRST = [
    pytest.param('{"uid": "a", "amounts": {"cpu": 500}}', {"cpu": 500}, id="ours"),
    pytest.param('{"uid": "b", "amounts": {"cpu": 500}}', None, id="copied from another pod"),
    pytest.param('{"cpu": 500}', None, id="of an operator that did not say of which pod"),
    pytest.param('{"uid": "a", "amounts": {"cpu": -500}}', None, id="less than nothing"),
    pytest.param('{"uid": "a", "amounts": {"tpu": 5}}', None, id="an item that is not ours"),
    pytest.param("5", None, id="no object"),
]


@pytest.mark.parametrize(("text", "amounts"), AT_FIRST)
def test_what_a_pod_held_at_first(text: str, amounts: dict[str, int] | None) -> None:
    asking = pod("a").on("n", at(0)).build()
    asking.metadata.annotations["modelmeter.dev/held-at-first"] = text
    assert held_at_first(asking) == amounts
    asking.metadata.annotations["modelmeter.dev/held-at-first"] = encode_at_first({"cpu": 1}, asking)
    assert held_at_first(asking) == {"cpu": 1}


@pytest.mark.parametrize(("label", "stage"), [("training", "training"), ("serving", ""), ("distilling", "distilling")])
def test_a_stage_is_kept_as_given(label: str, stage: str) -> None:
    held = pod_holding(pod("a").on("n", at(0)).asks(gpu="1").stage(label).build(), {"n": node("n")})
    assert held is not None
    assert held.stage == stage
