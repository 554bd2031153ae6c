"""The real HorizontalPodAutoscaler controller scales a model by its Triton's queue; optional children come and go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.operator import Operator
from tests.cluster.user import MODELS, User, model
from tests.e2e.callers import Callers
from tests.e2e.metrics_adapter import MetricsAdapter
from tests.e2e.pod_watcher import PodWatcher
from tests.e2e.test_main_job import check_status

pytestmark = pytest.mark.e2e

NAME = "elastic"
QUEUE = {"max": 3, "metric": "queueMicroseconds", "target": 1000, "scaleDownSeconds": 3}
KEDA = {"prometheusAddress": "http://prometheus:9090", "wakeQuery": "rate(asked[1m])"}
SCALED_OBJECTS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {"kind": "ScaledObject", "plural": "scaledobjects", "singular": "scaledobject"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}
"""Where KEDA's own would be: so much of it as tells whether there is one."""


@pytest.fixture
def adapter(cluster: Cluster) -> Iterator[MetricsAdapter]:
    """The API of custom metrics."""
    serving = MetricsAdapter(cluster)
    yield serving
    serving.close()


@pytest.fixture
def watcher(cluster: Cluster, user: User) -> Iterator[PodWatcher]:
    """An independent account of the user's pods."""
    watching = PodWatcher(cluster, user.namespace)
    yield watching
    watching.close()


def patch(user: User, **serving: Any) -> None:
    """Change parts of spec.serving; None takes one out."""
    user.kubectl("patch", MODELS, NAME, "--type=merge", "-p", json.dumps({"spec": {"serving": serving}}))


def test_load_brings_replicas_and_every_second_of_them_is_on_the_bill(
    user: User, adapter: MetricsAdapter, watcher: PodWatcher, serving: Callable[[User, str], None]
) -> None:
    # The wait for a batch alone is more than the target: so any load asks for all replicas, and none for one.
    user.apply(model(NAME, serving={"autoscaling": QUEUE, "batching": {"maxQueueDelayMicroseconds": 20000}}))
    user.wait("the loader's ConfigMap", lambda: user.get("configmap", f"{NAME}-model"))
    serving(user, NAME)
    user.wait_ready(NAME, "1/1")
    address = user.list("pods")[0]["status"]["podIP"]
    with Callers(NAME) as callers:
        callers.ask(address)
        user.wait_ready(NAME, "3/3")
        callers.pause()
    autoscaler = user.get("hpa", NAME)
    conditions = {entry["type"]: entry["status"] for entry in autoscaler["status"]["conditions"]}
    assert conditions["AbleToScale"] == conditions["ScalingActive"] == "True", autoscaler["status"]
    user.wait_ready(NAME, "1/1")

    # What KEDA does where nobody asks: the scale subresource alone.
    user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=0")
    user.wait("no pods", lambda: not user.list("pods"))
    user.wait("0/0", lambda: user.status(NAME)["ready"] == "0/0")
    asleep = check_status(user, watcher, NAME)
    assert user.condition(NAME, "Ready")["reason"] == "ScaledToZero"
    assert Fraction(asleep["cost"]["perHour"]) > 0, "the claim still costs"
    assert int(asleep["inference"]["requests"]) > 0
    user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=1")
    user.wait_ready(NAME, "1/1")
    awake = check_status(user, watcher, NAME)
    assert int(awake["usage"]["storageByteSeconds"]) > int(asleep["usage"]["storageByteSeconds"])
    assert int(awake["inference"]["requests"]) >= int(asleep["inference"]["requests"])


def test_autoscalers_come_and_go_with_the_spec(user: User, operator: Operator) -> None:
    user.apply(model(NAME, serving={"autoscaling": {"max": 3, "metric": "cpu", "target": 70}}))
    user.wait("its HorizontalPodAutoscaler", lambda: user.get("hpa", NAME))

    # Without KEDA in the cluster, that is said, and all else goes on.
    patch(user, autoscaling={**QUEUE, "min": 0, "keda": KEDA}, batching={"maxBatchSize": 7})
    user.wait("no HorizontalPodAutoscaler", lambda: not user.get("hpa", NAME))
    told = user.wait(
        "a refusal", lambda: (ready := user.condition(NAME, "Ready")).get("reason") == "ApplyRefused" and ready
    )
    assert "this cluster has no ScaledObject of keda.sh/v1alpha1; install KEDA" in told["message"]
    user.wait(
        "the new spec", lambda: '"maxBatchSize": 7' in user.get("configmap", f"{NAME}-model")["data"]["model.json"]
    )
    user.cluster.kubectl("apply", "-f", "-", input=json.dumps(SCALED_OBJECTS))
    user.cluster.kubectl("wait", "--for=condition=Established", "crd", "scaledobjects.keda.sh")
    user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=0")
    found = user.wait("its ScaledObject", lambda: _get(user, "scaledobjects.keda.sh", NAME))
    assert [trigger["type"] for trigger in found["spec"]["triggers"]] == ["prometheus", "prometheus"]
    user.wait("its reason", lambda: "KEDA brings one back" in user.condition(NAME, "Ready")["message"])

    # A new operator knows what one before it made.
    operator.kill()
    patch(user, autoscaling=None)
    operator.start()
    user.wait("no ScaledObject", lambda: not user.list("scaledobjects.keda.sh"))

    # One of this name that is somebody else's stays theirs, and holds up nothing else.
    user.kubectl("autoscale", f"{MODELS}/{NAME}", "--max=2", f"--name={NAME}")
    theirs = user.get("hpa", NAME)
    patch(user, replicas=1, autoscaling=QUEUE)
    told = user.wait(
        "a refusal", lambda: (ready := user.condition(NAME, "Ready")).get("reason") == "ApplyRefused" and ready
    )
    assert f"HorizontalPodAutoscaler {NAME} exists and belongs to somebody else" in told["message"]
    user.wait("a replica", lambda: user.get("deployment", NAME)["spec"]["replicas"] == 1)
    assert user.get("hpa", NAME)["spec"] == theirs["spec"]


def _get(user: User, kind: str, name: str) -> dict[str, Any]:
    """One object, or nothing where kubectl does not know the kind yet."""
    try:
        return user.get(kind, name)
    except ClusterError:
        return {}


def test_a_drain_takes_one_replica_at_a_time_and_whatever_is_broken(user: User) -> None:
    user.apply(model(NAME, serving={"replicas": 2, "disruptionBudget": {"maxUnavailable": 1}}))
    first, second = user.wait("two ready pods", lambda: len(pods := _ready(user)) == 2 and pods)
    user.wait("its budget", lambda: _allowed(user) == 1)
    _break(user, first)
    user.wait("a budget that is used up", lambda: _allowed(user) == 0)
    assert "violate the pod's disruption budget" in user.fails(*_eviction(user, second))
    _break(user, second)
    # The least that can be available is not: one that is broken may go all the same.
    user.wait("none that is healthy", lambda: user.get("pdb", NAME)["status"]["currentHealthy"] == 0)
    user.kubectl(*_eviction(user, second))
    patch(user, disruptionBudget=None)
    user.wait("no budget", lambda: not user.get("pdb", NAME))


def _ready(user: User) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in user.list("pods")
        if any(entry["type"] == "Ready" and entry["status"] == "True" for entry in pod["status"].get("conditions", ()))
    ]


def _allowed(user: User) -> int | None:
    status = user.get("pdb", NAME).get("status", {})
    return status.get("disruptionsAllowed") if status.get("expectedPods") == 2 else None


def _break(user: User, pod: str) -> None:
    """Say, as a kubelet would, that the pod is not ready."""
    conditions = [
        {**entry, "status": "False"} if entry["type"] in ("Ready", "ContainersReady") else entry
        for entry in user.get("pod", pod)["status"]["conditions"]
    ]
    body = json.dumps({"status": {"conditions": conditions}})
    user.kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", body)


def _eviction(user: User, pod: str) -> tuple[str, ...]:
    """The arguments of kubectl that evict a pod, as a drain does."""
    where = f"/api/v1/namespaces/{user.namespace}/pods/{pod}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": user.namespace}}
    file = user.cluster.directory / f"{pod}.eviction.json"
    file.write_text(json.dumps(body))
    return "create", f"--raw={where}", "-f", str(file)
