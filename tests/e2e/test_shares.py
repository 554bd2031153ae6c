"""Parts of GPUs, and pods that somebody labelled by hand: each second is on the right bill, at its part, once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.cluster.chart import SYSTEM
from tests.cluster.cluster import Cluster
from tests.cluster.pools import NodePool
from tests.cluster.user import MODELS, User, model
from tests.e2e.pod_watcher import PodWatcher

pytestmark = pytest.mark.e2e

A100 = "NVIDIA-A100-SXM4-40GB"
TAINT = {"key": "tests.modelmeter.dev/shares", "value": "true", "effect": "NoSchedule"}
TOLERATION = {"key": TAINT["key"], "operator": "Exists", "effect": "NoSchedule"}
PRODUCT = "nvidia.com/gpu.product"
HOST = "kubernetes.io/hostname"
PROFILE = "modelmeter.dev/price-profile"
FIRST = "modelmeter.dev/held-at-first"
UID = "modelmeter.dev/model-uid"
ALONE_SECONDS = 2
"""How long a pod has a claim to itself: long enough for the API's whole seconds."""
POOLS = (
    NodePool(
        name="mig",
        product=A100,
        nodes=1,
        gpus_per_node=1,
        labels={"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig-2g.10gb.count": "3"},
        resources={"nvidia.com/gpu": "0", "nvidia.com/mig-2g.10gb": "3"},
        taints=(TAINT,),
    ),
    NodePool(
        name="sliced",
        product="Tesla-T4-SHARED",
        nodes=1,
        gpus_per_node=4,
        labels={"nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.sharing-strategy": "time-slicing"},
        taints=(TAINT,),
    ),
    NodePool(name="dra", nodes=1, gpus_per_node=0, taints=(TAINT,), labels={PRODUCT: "NVIDIA-H100-80GB-HBM3"}),
)


@pytest.fixture(scope="module", autouse=True)
def nodes(cluster: Cluster) -> None:
    """Nodes whose GPUs are divided; nobody else's pods are placed there."""
    for pool in POOLS:
        cluster.add(pool)
    cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": devices()}))


@pytest.fixture
def watcher(cluster: Cluster, user: User) -> Iterator[PodWatcher]:
    """An independent account of the user's pods."""
    watching = PodWatcher(cluster, user.namespace)
    yield watching
    watching.close()


def lines(user: User, uid: str, item: str = "gpu") -> list[dict[str, Any]]:
    """The lines of an item on all pages of a model."""
    text = user.cluster.kubectl(
        "get", "coststatements", f"--namespace={SYSTEM}", f"--selector=modelmeter.dev/model-uid={uid}", "-o", "json"
    )
    pages = [page["spec"] for page in json.loads(text)["items"]]
    return [line for page in pages for line in page["lines"] if line["item"] == item]


def seconds(line: dict[str, Any]) -> int:
    """Unit-seconds of a line."""
    return sum(map(int, line["days"].values()))


def idle(user: User, name: str) -> str:
    """A ModelDeployment without replicas; its UID."""
    user.apply(model(name, serving={"replicas": 0}))
    return str(user.wait(f"status of {name}", lambda: user.status(name).get("cost")) and uid_of(user, name))


def uid_of(user: User, name: str) -> str:
    """The UID of a ModelDeployment."""
    return str(user.get(MODELS, name)["metadata"]["uid"])


def labelled(name: str, model_name: str, stage: str = "", **spec: Any) -> dict[str, Any]:
    """A pod that somebody labels by hand."""
    labels = {"modelmeter.dev/model": model_name, **({"modelmeter.dev/stage": stage} if stage else {})}
    container = {"name": "work", "image": "example.com/work:1", "resources": spec.pop("resources", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "finalizers": spec.pop("finalizers", [])},
        "spec": {"containers": [container], "tolerations": [TOLERATION], "restartPolicy": "Never", **spec},
    }


GPU_SLICE = {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}


def adopted(user: User, name: str) -> dict[str, Any]:
    """A pod once it has a node, our finalizer, its model's UID and its price profile."""

    def done() -> dict[str, Any]:
        pod = user.get("pod", name)
        metadata = pod.get("metadata", {})
        noted = PROFILE in metadata.get("annotations", {})
        uid = "modelmeter.dev/model-uid" in metadata.get("labels", {})
        held = "modelmeter.dev/metering" in metadata.get("finalizers", [])
        return pod if noted and uid and held else {}

    return dict(user.wait(f"{name} to be taken in", done))


def test_a_mig_slice_is_its_part_of_the_gpu(user: User) -> None:
    gpu = {"resource": "nvidia.com/mig-2g.10gb", "count": 1}
    user.apply(model("sliced", serving={"gpu": gpu, "replicas": 2, "tolerations": [TOLERATION]}))
    user.wait("two scheduled pods", lambda: len([p for p in user.list("pods") if p["spec"].get("nodeName")]) == 2)
    pods = user.list("pods")
    status = user.wait_as_of("sliced", datetime.now(UTC) + timedelta(seconds=2))
    as_of = datetime.fromisoformat(status["cost"]["asOf"])
    held = sum(round((as_of - scheduled_at(pod)).total_seconds()) for pod in pods)
    assert status["usage"]["gpuSeconds"] == str(round(Fraction(2, 7) * held))
    uid = uid_of(user, "sliced")
    user.kubectl("delete", MODELS, "sliced", "--wait=false")
    user.wait("its end", lambda: not user.get(MODELS, "sliced"))
    (line,) = lines(user, uid)
    assert (line["share"], line["unitPrice"]) == ("2/7", "1.61886525")


def scheduled_at(pod: dict[str, Any]) -> datetime:
    """When a pod got its node."""
    return next(
        datetime.fromisoformat(entry["lastTransitionTime"])
        for entry in pod["status"]["conditions"]
        if entry["type"] == "PodScheduled"
    )


def test_a_training_job_labelled_by_hand_is_the_models(user: User, watcher: PodWatcher) -> None:
    uid = idle(user, "trained")
    pod = labelled("unused", "trained", "training", resources=GPU_SLICE, nodeSelector={HOST: "sliced-0"})
    template = {"metadata": {"labels": pod["metadata"]["labels"]}, "spec": pod["spec"]}
    user.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "train"},
            "spec": {"backoffLimit": 0, "template": template},
        }
    )
    name = user.wait("the Job's pod", lambda: user.list("pods"))[0]["metadata"]["name"]
    adopted(user, name)
    user.wait("its first second", lambda: user.get("pod", name)["status"]["phase"] == "Running")
    user.kubectl("delete", "job", "train", "--wait=false")
    user.wait("its end", lambda: not user.list("pods"))
    user.wait("the watcher to see it", lambda: all(seen.gone for seen in watcher.pods.values()))

    (line,) = lines(user, uid)
    assert (line["stage"], line["share"], line["certainty"]) == ("training", "1/4", "exact")
    assert seconds(line) == watcher.gpu_seconds() > 0
    status = user.wait_as_of("trained", datetime.now(UTC) + timedelta(seconds=1))
    training = next(part for part in status["usage"]["byStage"] if part["stage"] == "training")
    assert training["gpuSeconds"] == str(round(Fraction(seconds(line), 4))) == status["usage"]["gpuSeconds"]
    assert status["ready"] == "0/0"
    assert status["replicas"] == 0


def test_amounts_with_exponents_are_metered(user: User) -> None:
    uid = idle(user, "exponents")
    user.apply(labelled("spare", "exponents", resources={"requests": {"cpu": "100e-3", "memory": "129e6"}}))
    adopted(user, "spare")
    user.wait("its first second", lambda: user.get("pod", "spare")["status"]["phase"] == "Running")
    user.kubectl("delete", "pod", "spare", "--wait=false")
    user.wait("its end", lambda: not user.list("pods"))
    (cpu,), (memory,) = lines(user, uid, "cpu"), lines(user, uid, "memory")
    assert seconds(memory) * 100 == seconds(cpu) * 129_000_000 > 0


def test_a_claim_that_two_models_use_is_divided_between_them(user: User, watcher: PodWatcher) -> None:
    first, second = idle(user, "first"), idle(user, "second")
    user.apply(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "gpu"},
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}},
        }
    )
    claims = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}]}
    user.apply(labelled("a", "first", **claims))
    adopted(user, "a")
    time.sleep(ALONE_SECONDS)
    user.apply(labelled("b", "second", **claims))
    adopted(user, "b")
    for name in "ab":
        user.wait(f"{name} to run", lambda name=name: user.get("pod", name)["status"]["phase"] == "Running")  # type: ignore[misc]
    user.kubectl("delete", "pod", "b", "--wait=false")
    user.wait("b's end", lambda: not user.get("pod", "b"))
    time.sleep(ALONE_SECONDS)
    user.kubectl("delete", "pod", "a", "--wait=false")
    user.wait("a's end", lambda: not user.get("pod", "a"))
    user.wait("the watcher to see it", lambda: all(seen.gone for seen in watcher.pods.values()))

    a, b = (next(seen for seen in watcher.pods.values() if seen.name == name) for name in "ab")
    assert a.scheduled is not None
    assert a.finished is not None
    assert b.scheduled is not None
    assert b.finished is not None
    together = round((b.finished - b.scheduled).total_seconds())
    whole = round((a.finished - a.scheduled).total_seconds())
    of_first = {line.get("share", "1"): seconds(line) for line in lines(user, first)}
    of_second = {line.get("share", "1"): seconds(line) for line in lines(user, second)}
    assert of_second == {"1/2": together}
    assert of_first == {"1": whole - together, "1/2": together}


def test_an_extended_resource_that_a_claim_stands_for_counts_once(user: User, watcher: PodWatcher) -> None:
    uid = idle(user, "extended")
    requests = {"example.com/gpu": "1"}
    user.apply(labelled("e", "extended", resources={"requests": requests, "limits": requests}))
    noted = json.loads(adopted(user, "e")["metadata"]["annotations"][PROFILE])
    assert list(noted["claims"].values()) == [{"": 1}]
    user.wait("it to run", lambda: user.get("pod", "e")["status"]["phase"] == "Running")
    user.kubectl("delete", "pod", "e", "--wait=false")
    user.wait("its end", lambda: not user.get("pod", "e"))
    user.wait("the watcher to see it", lambda: all(seen.gone for seen in watcher.pods.values()))
    (seen,) = watcher.pods.values()
    assert seen.scheduled is not None
    assert seen.finished is not None
    (line,) = lines(user, uid)
    assert (seconds(line), line.get("share")) == (round((seen.finished - seen.scheduled).total_seconds()), None)


def test_a_pod_waits_for_the_labels_of_a_new_node_and_is_posted_in_full(user: User, cluster: Cluster) -> None:
    idle(user, "early")
    cluster.add(NodePool(name="late", nodes=1, gpus_per_node=0, resources={"nvidia.com/gpu": "4"}, taints=(TAINT,)))
    user.apply(labelled("first", "early", resources=GPU_SLICE, nodeSelector={HOST: "late-0"}))
    user.wait("it to run", lambda: user.get("pod", "first").get("status", {}).get("phase") == "Running")
    status = user.wait_as_of("early", datetime.now(UTC) + timedelta(seconds=2))
    assert status["usage"]["gpuSeconds"] == "0"
    cluster.kubectl("label", "node", "late-0", f"{PRODUCT}=Tesla-T4-SHARED", "nvidia.com/gpu.replicas=4")
    pod = adopted(user, "first")
    status = user.wait_as_of("early", datetime.now(UTC) + timedelta(seconds=2))
    held = round((datetime.fromisoformat(status["cost"]["asOf"]) - scheduled_at(pod)).total_seconds())
    assert status["usage"]["gpuSeconds"] == str(round(Fraction(held, 4)))
    assert status["usage"]["estimated"] == []


def devices() -> list[dict[str, Any]]:
    """A class of devices that example.com/gpu stands for, too, and the two GPUs of node dra-0."""
    attributes = {"type": {"string": "gpu"}, "productName": {"string": "NVIDIA H100 80GB HBM3"}}
    gpu = {"attributes": attributes, "capacity": {"memory": {"value": "80Gi"}}}
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "gpu.nvidia.com"},
            "spec": {
                "extendedResourceName": "example.com/gpu",
                "selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}],
            },
        },
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": "dra-0-gpus"},
            "spec": {
                "driver": "gpu.nvidia.com",
                "nodeName": "dra-0",
                "pool": {"name": "dra-0", "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": "gpu-0", **gpu}, {"name": "gpu-1", **gpu}],
            },
        },
    ]


def test_labels_that_say_nothing_are_refused_and_other_pods_are_left_alone(user: User) -> None:
    idle(user, "strict")
    typo = user.refused(labelled("typo", "strict", "trainning"))
    assert "label modelmeter.dev/stage: 'trainning' is not one of data, training, evaluation, serving" in typo
    assert "cannot be the name of a ModelDeployment" in user.refused(labelled("upper", "Strict"))
    lonely = labelled("lonely", "strict", "data")
    del lonely["metadata"]["labels"]["modelmeter.dev/model"]
    assert "says nothing without label modelmeter.dev/model" in user.refused(lonely)
    other = labelled("other", "strict")
    other["metadata"]["labels"] = {"stage": "trainning"}
    user.apply(other)
    user.apply(labelled("ours", "strict", "data"))
    moved = adopted(user, "ours")
    del moved["metadata"]["resourceVersion"]
    moved["metadata"]["labels"]["modelmeter.dev/model"] = "elsewhere"
    assert "cannot change from 'strict' while it is metered" in user.refused(moved)


def test_nobody_but_the_operator_writes_what_decides_a_cost(user: User) -> None:
    idle(user, "guarded")
    user.apply(labelled("ours", "guarded", resources=GPU_SLICE, nodeSelector={HOST: "sliced-0"}))
    user.wait("it to run", lambda: user.get("pod", "ours").get("status", {}).get("phase") == "Running")
    pod = adopted(user, "ours")
    del pod["metadata"]["resourceVersion"]
    note = pod["metadata"]["annotations"][PROFILE]
    cheap = {**pod, "metadata": {**pod["metadata"], "annotations": {PROFILE: note.replace("1/4", "1/4000")}}}
    assert "only the operator writes them" in user.refused(cheap)
    other = {**pod, "metadata": {**pod["metadata"], "labels": {**pod["metadata"]["labels"], UID: "another"}}}
    assert "label modelmeter.dev/model-uid says whose usage it is" in user.refused(other)
    early = labelled("early-note", "guarded")
    early["metadata"]["labels"] = {}
    early["metadata"]["annotations"] = {PROFILE: "{}"}
    user.apply(early)
    assert "only the operator writes them" in user.fails("label", "pod", "early-note", "modelmeter.dev/model=guarded")
    harmless = {**pod, "metadata": {**pod["metadata"], "annotations": {PROFILE: note, "note": "mine"}}}
    harmless["metadata"]["annotations"][FIRST] = pod["metadata"]["annotations"][FIRST]
    user.apply(harmless)
    # A copy carries the note of the pod that it was copied from, which says nothing: it gets its own.
    copy = labelled("copy", "guarded", resources=GPU_SLICE, nodeSelector={HOST: "sliced-0"})
    copy["metadata"]["annotations"] = {PROFILE: note.replace("1/4", "1/4000")}
    user.apply(copy)

    def own() -> dict[str, Any]:
        metadata = user.get("pod", "copy")["metadata"]
        noted = json.loads(metadata["annotations"][PROFILE])
        return dict(noted) if noted["uid"] == metadata["uid"] else {}

    assert user.wait("its own note", own)["shares"] == {"nvidia.com/gpu": "1/4"}
