"""Models whose GPUs are devices of a DRA driver: the real scheduler allocates them, and each second is on the bill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.pools import NodePool
from tests.cluster.user import MODELS, User, model
from tests.e2e.pod_watcher import PodWatcher
from tests.e2e.test_shares import lines, seconds, uid_of

pytestmark = pytest.mark.e2e

TAINT = {"key": "tests.modelmeter.dev/devices", "value": "true", "effect": "NoSchedule"}
TOLERATION = {"key": TAINT["key"], "operator": "Exists", "effect": "NoSchedule"}
# No label says the product: the devices do.
POOL = NodePool(name="claimed", nodes=1, gpus_per_node=0, taints=(TAINT,))
CLASS = "claimed.example.com"
DRIVER = "gpu.claimed.example.com"
"""None of those that are known to have GPUs: that the model asks for its devices says it."""
PRODUCTS = ("NVIDIA L4", "NVIDIA A10G", "NVIDIA L4", "NVIDIA L4")
TEMPLATES = "resourceclaimtemplates"


def device(number: int, product: str) -> dict[str, Any]:
    """A GPU; the last has less memory."""
    attributes = {"type": {"string": "gpu"}, "productName": {"string": product}}
    memory = {"value": "24Gi" if number < len(PRODUCTS) - 1 else "12Gi"}
    return {"name": f"gpu-{number}", "attributes": attributes, "capacity": {"memory": memory}}


@pytest.fixture(scope="module", autouse=True)
def devices(cluster: Cluster) -> None:
    """A node with three L4s, one of them a small one, and an A10G, all of one DeviceClass."""
    cluster.add(POOL)
    spec = {"selectors": [{"cel": {"expression": f"device.driver == '{DRIVER}'"}}]}
    pool = {
        "driver": DRIVER,
        "nodeName": "claimed-0",
        "pool": {"name": "claimed-0", "generation": 1, "resourceSliceCount": 1},
        "devices": [device(number, product) for number, product in enumerate(PRODUCTS)],
    }
    for kind, name, content in (("DeviceClass", CLASS, spec), ("ResourceSlice", "claimed-0-gpus", pool)):
        item = {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": content}
        cluster.kubectl("apply", "-f", "-", input=json.dumps(item))


@pytest.fixture
def watcher(cluster: Cluster, user: User) -> Iterator[PodWatcher]:
    """An independent account of the user's pods."""
    watching = PodWatcher(cluster, user.namespace)
    yield watching
    watching.close()


def asks(**gpu: Any) -> dict[str, Any]:
    """What the model `claiming` is, asking for these GPUs."""
    large = f"device.capacity['{DRIVER}'].memory.isGreaterThan(quantity('20Gi'))"
    asked = {"deviceClassName": CLASS, "product": "NVIDIA-L4", "selectors": [large], **gpu}
    return model("claiming", serving={"gpu": asked, "tolerations": [TOLERATION]})


def templates(user: User) -> list[str]:
    """Names of the ResourceClaimTemplates."""
    return [template["metadata"]["name"] for template in user.list(TEMPLATES)]


def running(user: User, before: str = "") -> dict[str, Any]:
    """The only pod, once it is another than before, and runs."""
    pods = user.list("pods")
    good = len(pods) == 1 and pods[0]["metadata"]["uid"] != before and pods[0]["status"].get("phase") == "Running"
    return dict(pods[0]) if good else {}


def reason(user: User, name: str) -> str:
    """The message of the lowest failing layer, once it has this reason."""
    user.wait(name, lambda: user.status("claiming").get("reason") == name)
    return str(user.condition("claiming", "Scheduled")["message"])


def test_devices_are_claimed_by_template_and_metered_exactly(user: User, watcher: PodWatcher) -> None:
    user.apply(asks(deviceClassName="nothing.example.com"))
    assert "there is no DeviceClass nothing.example.com; install the DRA driver" in reason(user, "DeviceClassNotFound")
    # Of four devices two are L4s with so much memory.
    user.apply(asks(count=3))
    said = reason(user, "NoNodeFits")
    assert "cannot allocate all claims" in said
    assert "free devices of spec.serving.gpu.deviceClassName" in said

    user.apply(asks(count=2))
    first = user.wait("two devices", lambda: running(user))
    (claim,) = user.list("resourceclaims")
    allocated = claim["status"]["allocation"]["devices"]["results"]
    assert sorted(result["device"] for result in allocated) == ["gpu-0", "gpu-2"]
    # No spare device: the next pod waits for what this one holds.
    user.apply(asks(count=1))
    second = user.wait("one device", lambda: running(user, first["metadata"]["uid"]))
    current = second["spec"]["resourceClaims"][0]["resourceClaimTemplateName"]
    user.kubectl("delete", TEMPLATES, current)
    user.wait("the current template again, and no other", lambda: templates(user) == [current])
    assert running(user)["metadata"]["uid"] == second["metadata"]["uid"]

    uid = uid_of(user, "claiming")
    user.kubectl("delete", MODELS, "claiming", "--wait=false")
    user.wait("its end", lambda: not user.get(MODELS, "claiming"))
    user.wait("the watcher to see it", lambda: all(seen.gone for seen in watcher.pods.values()))
    for pod, gpus in ((first, 2), (second, 1)):
        watcher.pods[pod["metadata"]["uid"]].gpus = gpus
    # One for each revision.
    found = lines(user, uid)
    assert sum(map(seconds, found)) == watcher.gpu_seconds() > 0
    kinds = {(line["unitPrice"], line.get("share"), line["certainty"]) for line in found}
    assert kinds == {("0.57176", None, "exact")}
    assert templates(user) == []


def test_what_cannot_be_asked_for_is_refused(user: User) -> None:
    both = user.refused(asks(resource="nvidia.com/mig-1g.10gb"))
    assert "give either resource (a device plugin's) or deviceClassName (a DRA driver's), not both" in both
    assert "count of deviceClassName is at most 32" in user.refused(asks(count=33))
    assert "selectors choose among the devices of a DeviceClass" in user.refused(asks(deviceClassName=""))
    assert "deviceClassName must be the name of a DeviceClass" in user.refused(asks(deviceClassName="GPU"))
    user.apply(asks(selectors=["device.memory >"]))
    user.wait("the API server's word", lambda: user.status("claiming").get("reason") == "ApplyRefused")
    message = user.condition("claiming", "Ready")["message"]
    assert "expression" in message
    assert "spec.serving" in message
