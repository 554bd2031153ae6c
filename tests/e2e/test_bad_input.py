"""What users get wrong: refused by `kubectl apply` with field and reason, or a condition and an event."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.cluster.chart import SYSTEM
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.user import MODELS, User, model

pytestmark = pytest.mark.e2e

QUEUE = {"max": 2, "metric": "queueMicroseconds", "target": 20000}
REFUSED: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("no source", {"model": {}}, ("spec.model.source", "Required value")),
    ("an unknown field", {"serving": {"replica": 2}}, ('unknown field "spec.serving.replica"',)),
    ("an unknown scheme", {"model": {"source": "ftp://host/model"}}, ("spec.model.source", "pvc://", "https://")),
    (
        "labels that repeat",
        {"model": {"source": "pvc://a/b", "labels": ["x", "x"]}},
        ("spec.model.labels", "Duplicate"),
    ),
    (
        "int8 on a GPU",
        {"model": {"source": "pvc://a/b", "precision": "int8"}},
        ("spec.model.precision int8 is for the CPU", "set spec.serving.gpu.count to 0"),
    ),
    (
        "TensorRT without a GPU",
        {"serving": {"accelerator": "tensorrt", "gpu": {"count": 0}}},
        ("spec.serving.accelerator tensorrt needs spec.serving.gpu.count 1 or more",),
    ),
    (
        "a cache that holds nothing",
        {"serving": {"responseCache": {"size": "10k"}}},
        ("spec.serving.responseCache.size", "1Mi or more"),
    ),
    ("an API that must stay open", {"serving": {"restrictedApis": ["statistics"]}}, ("spec.serving.restrictedApis",)),
    ("replicas below 0", {"serving": {"replicas": -1}}, ("spec.serving.replicas", "greater than or equal to 0")),
    ("a negative price", {"pricing": {"labour": [{"name": "o", "price": "-1", "per": "day"}]}}, ("price", "-1")),
    ("a float as a price", {"pricing": {"labour": [{"name": "o", "price": 1.5, "per": "day"}]}}, ("price", "string")),
    (
        "a share over 1",
        {"pricing": {"labour": [{"name": "o", "price": "1", "per": "day", "share": "1.5"}]}},
        ("share must be between 0 and 1",),
    ),
    (
        "half an operation",
        {"pricing": {"operations": [{"name": "o", "price": "1"}]}},
        ("either hoursPerDay and pricePerHour, or price and per",),
    ),
    ("a size that is none", {"storage": {"size": "ten"}}, ("spec.storage.size",)),
    ("no size", {"storage": {"size": "0"}}, ("spec.storage.size", "more than 0")),
    ("a source without a claim", {"model": {"source": "pvc://"}}, ("spec.model.source", "pvc://CLAIM/path")),
    ("a claim that cannot be", {"model": {"source": "pvc://Bad_Name/x"}}, ("spec.model.source", "pvc://CLAIM/path")),
    ("a source without an owner", {"model": {"source": "hf://bert"}}, ("spec.model.source", "hf://OWNER/NAME")),
    (
        "a Secret that cannot be",
        {"model": {"source": "hf://a/b", "credentialsSecret": "H_1"}},
        ("spec.model.credentialsSecret",),
    ),
    ("a source without a bucket", {"model": {"source": "s3:///bert"}}, ("spec.model.source", "s3://BUCKET/path")),
    ("a bucket's signed address", {"model": {"source": "gs://b/x?sig=1"}}, ("spec.model.source", "gs://BUCKET/path")),
    ("an image without a tag", {"model": {"source": "image://host/bert/v1"}}, ("spec.model.source", "image://HOST")),
    ("an artefact without a tag", {"model": {"source": "oci://host/bert"}}, ("spec.model.source", "oci://HOST")),
    ("a source without a host", {"model": {"source": "https:///x"}}, ("spec.model.source", "https://HOST/path")),
    (
        "a GPU product that no label can be",
        {"serving": {"gpu": {"product": "NVIDIA L4"}}},
        ("spec.serving.gpu.product", "such as NVIDIA-L4", "kubectl get nodes -L nvidia.com/gpu.product"),
    ),
    (
        "a limit below its request",
        {"serving": {"resources": {"requests": {"memory": "4Gi"}, "limits": {"memory": "2Gi"}}}},
        ("spec.serving.resources", "a limit must not be below its request"),
    ),
    (
        "a canary of all replicas",
        {"serving": {"rollout": {"canaryShare": "1.0"}}},
        ("spec.serving.rollout.canaryShare", "must be more than 0 and less than 1"),
    ),
    (
        "a canary of no size",
        {"serving": {"rollout": {"readySeconds": 5}}},
        ("spec.serving.rollout", "give either canaryShare or canaryReplicas"),
    ),
    ("an unknown backend", {"serving": {"backend": "torch"}}, ("spec.serving.backend", '"onnxruntime", "python"')),
    (
        "an amount that is none",
        {"serving": {"resources": {"requests": {"cpu": "lots"}}}},
        ("spec.serving.resources.requests[cpu]", "must be a Kubernetes quantity"),
    ),
    (
        "an amount below 0",
        {"serving": {"resources": {"limits": {"memory": -1}}}},
        ("spec.serving.resources.limits[memory]", "must be a Kubernetes quantity"),
    ),
    (
        "an affinity that is a list",
        {"serving": {"affinity": {"podAffinity": [{}]}}},
        ("spec.serving.affinity.podAffinity", "must be of type object"),
    ),
    (
        "an affinity whose terms are none",
        {"serving": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": "hostname"}}}},
        ("spec.serving.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution", "must be of type array"),
    ),
    (
        "fewer at most than at least",
        {"serving": {"autoscaling": {"min": 3, "max": 2, "metric": "cpu", "target": 70}}},
        ("spec.serving.autoscaling", "min must not be above max"),
    ),
    (
        "no replicas without anybody to bring one back",
        {"serving": {"autoscaling": {"min": 0, "max": 2, "metric": "cpu", "target": 70}}},
        ("spec.serving.autoscaling", "min 0 needs keda with a wakeQuery", "or set min to 1"),
    ),
    (
        "no replicas, and nothing that counts without them",
        {"serving": {"autoscaling": {**QUEUE, "min": 0, "keda": {"prometheusAddress": "http://prometheus:9090"}}}},
        ("spec.serving.autoscaling", "min 0 needs keda with a wakeQuery"),
    ),
    (
        "a metric that KEDA is not given",
        {"serving": {"autoscaling": {**QUEUE, "metric": "cpu", "keda": {"prometheusAddress": "http://prometheus"}}}},
        ("spec.serving.autoscaling", "keda scales by metric queueMicroseconds"),
    ),
    (
        "a Prometheus that is no URL",
        {"serving": {"autoscaling": {**QUEUE, "keda": {"prometheusAddress": "prometheus:9090"}}}},
        ("spec.serving.autoscaling.keda.prometheusAddress", "must be a URL such as"),
    ),
    ("an unknown metric", {"serving": {"autoscaling": {**QUEUE, "metric": "gpu"}}}, ('"cpu", "queueMicroseconds"',)),
    ("no target", {"serving": {"autoscaling": {"max": 2, "metric": "cpu"}}}, ("autoscaling.target", "Required value")),
    (
        "a budget that no drain could keep",
        {"serving": {"disruptionBudget": {"maxUnavailable": 0}}},
        ("spec.serving.disruptionBudget.maxUnavailable", "and more than 0"),
    ),
    (
        "a budget that is neither a number nor a percentage",
        {"serving": {"disruptionBudget": {"maxUnavailable": "half"}}},
        ("spec.serving.disruptionBudget.maxUnavailable", 'a percentage such as "25%"'),
    ),
    (
        "GPUs where the loader would hold them too",
        {"serving": {"resources": {"requests": {"nvidia.com/gpu": 2}}}},
        ("spec.serving.resources.requests", "cpu, memory and ephemeral-storage; GPUs: spec.serving.gpu"),
    ),
]


@pytest.fixture(scope="module")
def mistaken(cluster: Cluster, operator: Operator) -> User:
    """Somebody whose every manifest is refused: so one namespace is enough."""
    return User(cluster, "mistaken")


@pytest.mark.parametrize(("spec", "words"), [entry[1:] for entry in REFUSED], ids=[entry[0] for entry in REFUSED])
def test_kubectl_apply_refuses(mistaken: User, spec: dict[str, Any], words: tuple[str, ...]) -> None:
    answer = mistaken.refused(model("wrong", **spec))
    for word in words:
        assert word in answer


def test_a_claim_cannot_shrink(user: User) -> None:
    user.apply(model("claimed", storage={"size": "10Gi"}))
    assert "size may grow but not shrink" in user.refused(model("claimed", storage={"size": "5Gi"}))


def test_a_name_that_no_service_could_have(mistaken: User) -> None:
    assert "metadata.name" in mistaken.refused(model("1-starts-with-a-digit"))


RATE = {"item": "gpu", "price": "1", "per": "hour", "from": "2026-01-01T00:00:00Z"}


def book(name: str, *rates: dict[str, Any]) -> dict[str, Any]:
    """A PriceBook."""
    return {
        "apiVersion": "modelmeter.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": name},
        "spec": {"currency": "USD", "rates": list(rates)},
    }


def test_a_price_book_is_append_only(user: User) -> None:
    second = {**RATE, "price": "2", "from": "2026-02-01T00:00:00Z"}
    name = f"append-only-{user.namespace}"
    user.apply(book(name, RATE, second))
    for changed in ((RATE,), (RATE, {**second, "price": "3"}), (second, RATE)):
        assert "rates are append-only" in user.refused(book(name, *changed))
    user.apply(book(name, RATE, second, {**RATE, "price": "4", "from": "2026-03-01T00:00:00Z"}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"price": 0.5}, ("price", "string")),
        ({"price": "-1"}, ("price",)),
        ({"per": "GiB-hour"}, ("gpu and cpu rates are per hour",)),
        ({"from": "yesterday"}, ("from",)),
        ({"from": "2026-11-31T00:00:00Z"}, ("rates[0].from",)),
        ({"match": {"capacityType": "Spot"}}, ("capacityType", "Unsupported value")),
        ({"match": {"storageClass": "fast"}}, ("no other rate by storageClass",)),
        ({"item": "storage", "per": "GiB-hour", "match": {"region": "eu"}}, ("by storageClass alone",)),
        ({"item": "disk"}, ("item", "Unsupported value")),
    ],
)
def test_a_rate_that_cannot_work(mistaken: User, change: dict[str, Any], words: tuple[str, ...]) -> None:
    answer = mistaken.refused(book("wrong", {**copy.deepcopy(RATE), **change}))
    for word in words:
        assert word in answer


PROBLEMS: list[tuple[str, dict[str, Any], str, str, tuple[str, ...]]] = [
    ("no such book", {"pricing": {"priceBook": "nowhere"}}, "Priced", "PriceBookNotFound", ("nowhere",)),
    (
        "no node fits",
        {"serving": {"gpu": {"product": "NVIDIA-H100-80GB-HBM3"}}},
        "Scheduled",
        "NoNodeFits",
        ("nodes are available",),
    ),
    (
        "the claim waits",
        {"storage": {"storageClassName": "never"}},
        "ModelAvailable",
        "ClaimPending",
        ("StorageClass never", "unbound immediate PersistentVolumeClaims"),
    ),
    (
        "no such StorageClass",
        {"storage": {"storageClassName": "nowhere"}},
        "ModelAvailable",
        "ClaimPending",
        ("StorageClass nowhere does not exist",),
    ),
    (
        "no such claim",
        {"model": {"source": "pvc://nowhere/minilm"}},
        "ModelAvailable",
        "SourceClaimNotFound",
        ("claim nowhere of spec.model.source, which does not exist in this namespace; create it",),
    ),
    (
        "no such PriorityClass",
        {"serving": {"priorityClassName": "nowhere"}},
        "Scheduled",
        "PodsNotCreated",
        ("no PriorityClass with name nowhere was found; create it",),
    ),
]


def _warnings(user: User, name: str) -> set[str]:
    """Reasons of the Warning events about a ModelDeployment."""
    events = [event for event in user.list("events") if event["involvedObject"]["kind"] == "ModelDeployment"]
    return {
        event["reason"] for event in events if event["involvedObject"]["name"] == name and event["type"] == "Warning"
    }


@pytest.mark.parametrize(
    ("spec", "kind", "reason", "words"), [entry[1:] for entry in PROBLEMS], ids=[entry[0] for entry in PROBLEMS]
)
def test_what_only_time_shows_becomes_a_condition_and_one_event(
    user: User, spec: dict[str, Any], kind: str, reason: str, words: tuple[str, ...]
) -> None:
    user.apply(model("troubled", **spec))
    found = user.wait(
        f"{kind} {reason}",
        lambda: (entry := user.condition("troubled", kind)).get("reason") == reason and entry,
    )
    assert found["status"] == "False"
    for word in words:
        assert word in found["message"]
    events = user.wait("its event", lambda: [e for e in user.list("events") if e["reason"] == reason])
    assert [event["type"] for event in events] == ["Warning"]
    assert user.status("troubled")["reason"] == reason or kind == "Priced"
    assert _warnings(user, "troubled") <= {reason, "NoRate"}


def test_a_quota_that_is_used_up_is_told_and_so_is_that_there_is_room_again(user: User) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "gpus"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "0"}},
    }
    user.apply(quota)
    user.wait("the quota's use", lambda: user.get("resourcequota", "gpus").get("status", {}).get("used"))
    user.apply(model("over"))
    found = user.wait(
        "PodsNotCreated", lambda: (c := user.condition("over", "Scheduled")).get("reason") == "PodsNotCreated" and c
    )
    assert "exceeded quota: gpus" in found["message"]
    assert "raise the namespace's ResourceQuota" in found["message"]
    user.kubectl("delete", "resourcequota", "gpus")
    user.wait("a node", lambda: user.condition("over", "Scheduled")["status"] == "True")


def test_a_source_claim_on_its_way_out_is_told_as_that(user: User) -> None:
    leaving = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "leaving", "finalizers": ["example.com/kept"]},
        "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    user.apply(leaving)
    user.kubectl("delete", "persistentvolumeclaim", "leaving", "--wait=false")
    user.apply(model("late", model={"source": "pvc://leaving/minilm"}))
    found = user.wait(
        "a reason",
        lambda: (c := user.condition("late", "ModelAvailable")).get("reason") == "SourceClaimNotFound" and c,
    )
    assert "claim leaving of spec.model.source, which is being deleted; create it again" in found["message"]
    user.kubectl("patch", "persistentvolumeclaim", "leaving", "--type=merge", '-p={"metadata":{"finalizers":null}}')


def test_the_model_s_own_claim_on_its_way_out_is_told_and_made_again(user: User) -> None:
    user.apply(model("robbed", storage={"accessModes": ["ReadWriteMany"]}))
    user.wait("its node", lambda: user.condition("robbed", "Scheduled").get("status") == "True")
    before = user.get("persistentvolumeclaim", "robbed-models")["metadata"]["uid"]
    user.kubectl("delete", "persistentvolumeclaim", "robbed-models", "--wait=false")
    user.kubectl("scale", f"{MODELS}/robbed", "--replicas=2")
    found = user.wait(
        "a reason", lambda: (c := user.condition("robbed", "Scheduled")).get("reason") == "ClaimTerminating" and c
    )
    assert "claim robbed-models is being deleted, so " in found["message"]
    user.kubectl("scale", f"{MODELS}/robbed", "--replicas=0")
    user.wait(
        "another claim",
        lambda: user.get("persistentvolumeclaim", "robbed-models").get("metadata", {}).get("uid", before) != before,
    )
    user.kubectl("scale", f"{MODELS}/robbed", "--replicas=1")
    user.wait("its node again", lambda: user.condition("robbed", "Scheduled")["status"] == "True")


def test_no_replicas_are_no_problem_and_nothing_is_under_way(user: User) -> None:
    user.apply(model("idle", serving={"replicas": 0}))
    user.wait("ScaledToZero", lambda: user.status("idle").get("reason") == "ScaledToZero")
    assert user.condition("idle", "Progressing")["status"] == "False"
    scheduled = user.condition("idle", "Scheduled")
    assert (scheduled["status"], scheduled["reason"]) == ("Unknown", "ScaledToZero")
    assert _warnings(user, "idle") <= {"NoRate"}


def test_an_object_of_somebody_else_is_not_taken_over(user: User) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "taken"},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"name": "http", "port": 80}]},
    }
    user.apply(service)
    user.apply(model("taken"))
    ready = user.wait(
        "a refusal", lambda: (c := user.condition("taken", "Ready")).get("reason") == "ApplyRefused" and c
    )
    assert "belongs to somebody else, so nothing is applied; give the ModelDeployment another name" in ready["message"]
    assert user.get("service", "taken")["spec"]["selector"] == {"app": "theirs"}
    user.kubectl("delete", "service", "taken")
    user.wait("recovery", lambda: user.get("service", "taken"))
    assert user.get(MODELS, "taken")


def test_what_differs_in_no_field_of_ours_is_not_taken_over_either(user: User) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "alike-models"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
    }
    user.apply(claim)
    user.apply(model("alike"))
    ready = user.wait(
        "a refusal", lambda: (c := user.condition("alike", "Ready")).get("reason") == "ApplyRefused" and c
    )
    assert "PersistentVolumeClaim alike-models exists and belongs to somebody else" in ready["message"]
    for kind in ("deployment", "service", "configmap"):
        assert not user.list(kind, "modelmeter.dev/model=alike")
    user.kubectl("delete", MODELS, "alike")
    theirs = user.get("persistentvolumeclaim", "alike-models")["metadata"]
    assert not {"ownerReferences", "deletionTimestamp"} & theirs.keys()


def test_a_claim_that_may_not_grow_holds_up_nothing_else(user: User) -> None:
    user.apply(model("grown", storage={"storageClassName": "never", "size": "1Gi"}))
    user.wait("its Deployment", lambda: user.get("deployment", "grown"))
    user.apply(model("grown", storage={"storageClassName": "never", "size": "2Gi"}, serving={"replicas": 2}))
    user.wait("two replicas", lambda: user.get("deployment", "grown")["spec"]["replicas"] == 2)
    ready = user.wait(
        "a refusal", lambda: (c := user.condition("grown", "Ready")).get("reason") == "ApplyRefused" and c
    )
    assert "grown-models" in ready["message"]


def test_a_memory_request_alone_is_its_own_limit(user: User) -> None:
    user.apply(model("larger", serving={"resources": {"requests": {"memory": "4Gi"}}}))
    deployment = user.wait("its Deployment", lambda: user.get("deployment", "larger"))
    triton = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert (triton["requests"]["memory"], triton["limits"]["memory"]) == ("4Gi", "4Gi")
    assert triton["requests"]["cpu"] == "1"


@pytest.mark.parametrize("memory", ["1Gi", "4Gi"])
def test_a_memory_limit_alone_is_its_own_request(user: User, memory: str) -> None:
    user.apply(model("limited", serving={"resources": {"limits": {"memory": memory}}}))
    deployment = user.wait("its Deployment", lambda: user.get("deployment", "limited"))
    triton = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert (triton["requests"]["memory"], triton["limits"]["memory"]) == (memory, memory)


def test_an_unpriced_pod_is_metered_and_priced_later(user: User) -> None:
    name = f"later-{user.namespace}"
    user.apply(book(name))
    user.apply(model("later", pricing={"priceBook": name}))
    status = user.wait(
        "unpriced GPU-seconds",  # the claim may be bound, and unpriced, before the pod has a GPU
        lambda: (s := user.status("later")) and ((s.get("cost") or {}).get("unpriced") or {}).get("gpuSeconds") and s,
    )
    assert int(status["cost"]["unpriced"]["gpuSeconds"]) == int(status["usage"]["gpuSeconds"])
    assert user.condition("later", "Priced")["reason"] == "NoRate"
    rates = [
        {**RATE, "item": item, "per": per}
        for item, per in (("gpu", "hour"), ("cpu", "hour"), ("memory", "GiB-hour"), ("storage", "GiB-hour"))
    ]
    user.apply(book(name, *rates))
    priced = user.wait("prices", lambda: (s := user.status("later"))["cost"].get("unpriced") is None and s)
    assert float(priced["cost"]["compute"]) > 0
    user.wait("Priced", lambda: user.condition("later", "Priced")["status"] == "True")


def test_the_past_is_not_deleted_by_mistake(user: User) -> None:
    name = f"kept-{user.namespace}"
    user.apply(book(name, RATE))
    assert "holds the prices of usage that is not posted yet" in user.fails("delete", "pricebook", name)
    # A controller manager without a ServiceAccount for each controller ends namespaces under its own name.
    as_manager = ("--as=system:kube-controller-manager", "--as-group=system:masters")
    user.kubectl("delete", "pricebook", name, "--dry-run=server", *as_manager)
    user.kubectl("annotate", "pricebook", name, "modelmeter.dev/allow-deletion=true")
    user.kubectl("delete", "pricebook", name)

    user.apply(model("kept"))
    uid = user.get(MODELS, "kept")["metadata"]["uid"]
    mine = ("coststatements", f"--namespace={SYSTEM}", f"--selector=modelmeter.dev/model-uid={uid}")
    user.wait("its statement", lambda: "kept" in user.kubectl("get", *mine))
    assert "is open, and all that is known" in user.fails("delete", *mine)
