"""What operators of a cluster do and what happens to it: the model's bill goes on to the second, whatever restarts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.chart import SYSTEM, helm
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.images.catalogue import NEXT_TAG
from tests.cluster.node import inner
from tests.realnode.tenant import Tenant

pytestmark = pytest.mark.realnode
NODE = "real-gpu"
OPERATOR = ("--namespace", SYSTEM, "--selector=app.kubernetes.io/component=operator")
DISRUPTIONS = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "steady"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"modelmeter.dev/model": "steady"}}},
}


@pytest.fixture(scope="module")
def steady(installed: Cluster, tenants: dict[str, Tenant]) -> Tenant:
    """A model that answers."""
    tenants["steady"] = Tenant(installed, "steady")
    tenants["steady"].wait_answer()
    return tenants["steady"]


def operator_pod(cluster: Cluster) -> dict[str, Any]:
    """The operator's pod, as it is once there is one and no other."""
    pods = json.loads(cluster.kubectl("get", "pods", *OPERATOR, "-o", "json"))["items"]
    return dict(pods[0]) if len(pods) == 1 and "containerStatuses" in pods[0]["status"] else {}


def restarts(pod: dict[str, Any]) -> int:
    """How often the first container was started again."""
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


def test_the_operator_runs_as_its_chart_says(steady: Tenant) -> None:
    pod = operator_pod(steady.cluster)
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    task = json.loads(inner.ctr(steady.cluster, "real-cpu", "containers", "info", container))["Spec"]
    assert task["process"]["user"]["uid"] == 65532
    assert task["process"]["noNewPrivileges"]
    assert not task["process"]["capabilities"].get("bounding")
    assert task["root"]["readonly"]
    assert task["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    account = f"system:serviceaccount:{SYSTEM}:modelmeter"
    assert steady.cluster.kubectl("auth", "can-i", "delete", "nodes", f"--as={account}", check=False).strip() == "no"


def test_an_operator_that_is_killed(steady: Tenant) -> None:
    """A pod ends while nobody meters: it waits, and its seconds are those that containerd recorded."""
    cluster = steady.cluster
    before = operator_pod(cluster)
    container = before["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    inner.ctr(cluster, "real-cpu", "tasks", "kill", "--signal=SIGKILL", container)
    steady.kubectl("delete", "pod", steady.pod()["metadata"]["name"], "--wait=false")
    steady.wait("the operator again", lambda: restarts(operator_pod(cluster)) == restarts(before) + 1)
    steady.wait("one pod", lambda: len(steady.list("pods")) == 1)
    steady.wait_answer()


def test_an_upgrade_restarts_no_model(steady: Tenant) -> None:
    cluster = steady.cluster
    before, operator = steady.pod(), operator_pod(cluster)["metadata"]["uid"]
    helm(cluster, "upgrade", "modelmeter", "charts/modelmeter", f"--namespace={SYSTEM}", f"--set=image.tag={NEXT_TAG}")
    cluster.kubectl("rollout", "status", "deployment/modelmeter", f"--namespace={SYSTEM}", "--timeout=90s")
    pod = steady.wait("the next operator", lambda: operator_pod(cluster))
    assert pod["metadata"]["uid"] != operator
    assert pod["spec"]["containers"][0]["image"].endswith(f":{NEXT_TAG}")
    steady.change({"pricing": {"labour": [{"name": "oncall", "price": "1", "per": "day"}]}})
    steady.wait("its work", lambda: float(steady.status("steady")["cost"].get("labour", "0")) > 0)
    after = steady.pod()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert restarts(after) == restarts(before)


def test_a_drain_waits_for_the_disruption_budget(steady: Tenant) -> None:
    steady.apply(DISRUPTIONS)
    drain = ("drain", NODE, "--pod-selector=modelmeter.dev/model=steady", "--delete-emptydir-data")
    before = steady.pod()["metadata"]["uid"]
    with pytest.raises(ClusterError, match="disruption budget"):
        steady.cluster.kubectl(*drain, "--timeout=2s")
    assert steady.pod()["metadata"]["uid"] == before
    assert steady.score("books") > 0

    steady.kubectl("delete", "poddisruptionbudget", "steady")
    try:
        steady.cluster.kubectl(*drain, "--timeout=60s")
        message = steady.wait_reason("NoNodeFits")
        assert "unschedulable" in message
    finally:
        steady.cluster.kubectl("uncordon", NODE)
    steady.wait_answer()
    assert steady.pod()["metadata"]["uid"] != before


def test_a_reboot_of_the_node_ends_no_holding(steady: Tenant) -> None:
    before = steady.pod()["metadata"]["uid"]
    steady.cluster.stop(NODE, kill=True)
    steady.cluster.restart(NODE)
    steady.wait("its containers again", lambda: restarts(steady.pod()) >= 1)
    steady.wait_answer()
    assert steady.pod()["metadata"]["uid"] == before


def test_all_of_it_is_on_the_bill(steady: Tenant) -> None:
    pages = steady.settle()
    assert {line["certainty"] for line in pages[-1]["lines"]} == {"exact"}
    assert len(steady.watcher.pods) == 3
