"""Children are what they were: a new version of the operator that changes a pod template restarts whole fleets.

After a change that is meant, write the golden files again: `python -m tests.provision.golden`.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from modelmeter.api.compute import Resources
from modelmeter.api.crd import structural
from modelmeter.api.names import TEMPLATE_HASH
from modelmeter.errors import SpecError
from modelmeter.loader.spec import LoadSpec
from modelmeter.provision.children import EXTRA_KINDS, desired, extras
from modelmeter.provision.config_map import model_json
from modelmeter.provision.labels import selector, selector_labels
from modelmeter.provision.workload import LOADER_IMAGE, deployment, template_hash
from tests.provision.builders import EXTRAS, FULL, OPTIONS, PER_REPLICA, PROMETHEUS, QUEUE, model, serving
from tests.provision.golden import golden_files


def test_golden_files() -> None:
    for path, text in golden_files().items():
        assert path.read_text() == text, f"{path.name} differs; if that is meant: python -m tests.provision.golden"


def changed(**parts: Any) -> dict[str, Any]:
    """FULL with some fields changed, given as section__field=value."""
    spec = copy.deepcopy(FULL)
    for key, value in parts.items():
        section, field = key.split("__")
        spec[section][field] = value
    return spec


@pytest.mark.parametrize(
    "part", [{"serving__replicas": 7}, {"storage__size": "80Gi"}, {"pricing__priceBook": "us"}], ids=str
)
def test_what_restarts_no_pod(part: dict[str, Any]) -> None:
    assert template_hash(model(changed(**part))) == template_hash(model(FULL))
    before, after = (deployment(model(spec), "loader:1")["spec"]["template"] for spec in (FULL, changed(**part)))
    assert before == after


@pytest.mark.parametrize(
    "part",
    [
        {"model__labels": ["books", "phones"]},
        {"model__source": "pvc://models/other"},
        {"serving__batching": {"maxBatchSize": 9}},
        {"serving__image": "triton:2"},
        {"serving__env": []},
        {"model__credentialsSecret": "hub"},
        {"serving__serviceAccountName": "reader"},
    ],
    ids=str,
)
def test_what_restarts_pods(part: dict[str, Any]) -> None:
    assert template_hash(model(changed(**part))) != template_hash(model(FULL))


@pytest.mark.parametrize("reference", ["r.example/a/b:1", f"r.example:5000/b@sha256:{'0f' * 32}"])
@pytest.mark.parametrize("folder", ["", "/", "/models/bert:1"])
def test_the_kubelet_mounts_the_image_of_a_source_and_the_loader_alone_sees_it(reference: str, folder: str) -> None:
    pod = deployment(model(changed(model__source=f"image://{reference}{folder}")), "")["spec"]["template"]["spec"]
    assert {"name": "source", "image": {"reference": reference}} in pod["volumes"]
    assert "source" in [mount["name"] for mount in pod["initContainers"][0]["volumeMounts"]]
    assert "source" not in [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]


@pytest.mark.parametrize("source", ["image://r.example/a", "image://a:1", "image:///a:1", "image://r.example/a:1?b"])
def test_an_image_source_has_a_host_and_a_tag_or_a_digest(source: str) -> None:
    with pytest.raises(SpecError, match=r"image://HOST/REPOSITORY:TAG/path or @sha256:DIGEST/path"):
        model(changed(model__source=source))


def test_only_the_loader_gets_the_credentials() -> None:
    spec = changed(model__credentialsSecret="hub", serving__serviceAccountName="reader")
    pod = deployment(model(spec), "loader:1")["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["envFrom"] == [{"secretRef": {"name": "hub"}}]
    assert pod["serviceAccountName"] == "reader"
    assert "hub" not in str(pod["containers"])
    # A cloud's own webhook adds the token that it wants; the pods get none for the API server.
    assert pod["automountServiceAccountToken"] is False


def test_azure_is_asked_for_the_identity_of_a_pod() -> None:
    sources = {
        source: changed(model__source=source, serving__serviceAccountName="reader")
        for source in ("az://a/b", "s3://a/b")
    }
    labels = {
        source: deployment(model(spec), "")["spec"]["template"]["metadata"]["labels"]
        for source, spec in sources.items()
    }
    assert labels["az://a/b"].items() - labels["s3://a/b"].items() == {("azure.workload.identity/use", "true")}
    without = deployment(model(changed(model__source="az://a/b")), "")["spec"]["template"]["metadata"]["labels"]
    assert without == labels["s3://a/b"]


def test_another_loader_image_alone_is_not_another_hash() -> None:
    one, two = deployment(model(), "loader:1"), deployment(model(), "loader:2")
    assert one["metadata"]["annotations"][TEMPLATE_HASH] == two["metadata"]["annotations"][TEMPLATE_HASH]
    assert one["metadata"]["annotations"][LOADER_IMAGE] == "loader:1"


@pytest.mark.parametrize("spec", [None, FULL], ids=["smallest", "full"])
def test_the_loader_reads_what_the_operator_writes(spec: dict[str, Any] | None, tmp_path: Any) -> None:
    file = tmp_path / "model.json"
    file.write_text(model_json(model(spec)))
    read = LoadSpec.from_file(file)
    assert read.name == "intent"
    assert read.instance_kind == "KIND_GPU"
    assert list(read.labels) == ((spec or {}).get("model", {}).get("labels") or [])


def test_the_loader_reads_the_options(tmp_path: Any) -> None:
    file = tmp_path / "model.json"
    file.write_text(model_json(model(OPTIONS)))
    assert LoadSpec.from_file(file) == LoadSpec(
        "intent",
        precision="int8",
        sequence_buckets=(24, 48),
        queue_timeout_milliseconds=250,
        instance_count=2,
        response_cache=True,
    )


@pytest.mark.parametrize(
    ("serving", "backend"),
    [
        ({}, "onnxruntime"),
        ({"gpu": {"count": 0}}, "python"),
        ({"backend": "python"}, "python"),
        ({"gpu": {"count": 0}, "backend": "onnxruntime"}, "onnxruntime"),
    ],
    ids=str,
)
def test_a_gpu_that_is_paid_is_used_unless_the_spec_says_otherwise(
    serving: dict[str, Any], backend: str, tmp_path: Any
) -> None:
    file = tmp_path / "model.json"
    file.write_text(model_json(model({"model": {"source": "pvc://a/b"}, "serving": serving})))
    assert LoadSpec.from_file(file).backend == backend


def test_without_gpu_the_model_is_placed_on_the_cpu() -> None:
    cpu = model({"model": {"source": "pvc://a/b"}, "serving": {"gpu": {"count": 0}}})
    assert '"instanceKind": "KIND_CPU"' in model_json(cpu)
    triton = deployment(cpu, "")["spec"]["template"]["spec"]["containers"][0]
    assert "nvidia.com/gpu" not in triton["resources"]["limits"]


@pytest.mark.parametrize("spec", [None, FULL], ids=["smallest", "full"])
def test_children_are_owned_found_and_selected(spec: dict[str, Any] | None) -> None:
    owner = model(spec)
    children = desired(owner, "loader:1")
    assert [child["kind"] for child in children] == ["PersistentVolumeClaim", "ConfigMap", "Service", "Deployment"]
    for child in children:
        (reference,) = child["metadata"]["ownerReferences"]
        assert reference["uid"] == owner.uid
        assert reference["controller"]
        assert child["metadata"]["labels"]["modelmeter.dev/model-uid"] == owner.uid
    template = children[3]["spec"]["template"]["metadata"]
    assert selector_labels(owner).items() <= template["labels"].items()
    assert template["finalizers"] == ["modelmeter.dev/metering"]
    assert selector(owner) == "app.kubernetes.io/managed-by=modelmeter,modelmeter.dev/model=intent"


@pytest.mark.parametrize("spec", [None, FULL], ids=["smallest", "full"])
def test_pods_pass_the_restricted_pod_security_standard(spec: dict[str, Any] | None) -> None:
    pod = deployment(model(spec), "loader:1")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod["initContainers"], *pod["containers"]):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    allowed = {"name", "persistentVolumeClaim", "configMap", "emptyDir"}
    assert all(volume.keys() <= allowed for volume in pod["volumes"])


def test_replicas_share_a_node_only_where_the_claim_needs_it() -> None:
    alone = deployment(model(), "")["spec"]["template"]["spec"]["affinity"]["podAffinity"]
    (term,) = alone["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    shared = deployment(model(FULL), "")["spec"]["template"]["spec"]["affinity"]
    assert shared == FULL["serving"]["affinity"]


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([{}], "podAffinity must be an object"),
        ({REQUIRED: "hostname"}, f"podAffinity.{REQUIRED} must be a list of objects"),
        ({REQUIRED: [None]}, f"podAffinity.{REQUIRED} must be a list of objects"),
    ],
    ids=str,
)
def test_an_affinity_that_no_term_can_be_added_to_names_its_field(pods: Any, words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(f"spec.serving.affinity: {words}")):
        model({"model": {"source": "pvc://a/b"}, "serving": {"affinity": {"podAffinity": pods}}})


@pytest.mark.parametrize("pods", [None, {}, {REQUIRED: None}, {REQUIRED: []}], ids=str)
def test_our_term_stands_alone_where_the_user_has_none(pods: Any) -> None:
    found = deployment(model({"model": {"source": "pvc://a/b"}, "serving": {"affinity": {"podAffinity": pods}}}), "")
    (term,) = found["spec"]["template"]["spec"]["affinity"]["podAffinity"][REQUIRED]
    assert term["topologyKey"] == "kubernetes.io/hostname"


def test_our_term_stands_beside_the_user_s() -> None:
    theirs = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "cache"}}}
    serving = {"affinity": {"podAffinity": {REQUIRED: [theirs]}, "nodeAffinity": {"any": 1}}}
    found = deployment(model({"model": {"source": "pvc://a/b"}, "serving": serving}), "")
    affinity = found["spec"]["template"]["spec"]["affinity"]
    assert affinity["nodeAffinity"] == {"any": 1}
    assert [term["topologyKey"] for term in affinity["podAffinity"][REQUIRED]] == ["zone", "kubernetes.io/hostname"]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"autoscaling": {**QUEUE, "min": 5}}, "spec.serving.autoscaling: min must not be above max"),
        ({"autoscaling": {**QUEUE, "min": 0}}, "spec.serving.autoscaling: min 0 needs keda with a wakeQuery"),
        (
            {"autoscaling": {**QUEUE, "metric": "cpu", "keda": {"prometheusAddress": PROMETHEUS}}},
            "spec.serving.autoscaling: keda scales by metric queueMicroseconds",
        ),
        (
            {"autoscaling": {**QUEUE, "keda": {"prometheusAddress": "prometheus"}}},
            "spec.serving.autoscaling.keda.prometheusAddress: prometheusAddress must be a URL",
        ),
        ({"disruptionBudget": {"maxUnavailable": 0}}, "and more than 0"),
        ({"disruptionBudget": {"maxUnavailable": "101%"}}, "and more than 0"),
    ],
    ids=str,
)
def test_an_autoscaler_or_budget_that_cannot_work_names_its_field(part: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        model(serving(**part))


def test_neither_autoscaler_nor_budget_unless_asked_for() -> None:
    assert all(extras(model(spec)) == () for spec in (None, FULL, PER_REPLICA))
    assert {child["kind"] for spec in EXTRAS for child in extras(model(spec))} == set(EXTRA_KINDS)


def test_neither_autoscaler_nor_budget_restarts_pods() -> None:
    plain, *others = (template_hash(model(spec)) for spec in (serving(), *EXTRAS))
    assert set(others) == {plain}


def test_children_are_plain_yaml() -> None:
    text = yaml.safe_dump_all(desired(model(FULL), "loader:1"))
    assert list(yaml.safe_load_all(text)) == list(desired(model(FULL), "loader:1"))


@pytest.mark.parametrize(
    ("given", "requests", "limits"),
    [
        ({}, {"cpu": "1", "memory": "2Gi"}, {"memory": "2Gi"}),
        ({"requests": {"memory": "4Gi"}}, {"cpu": "1", "memory": "4Gi"}, {"memory": "4Gi"}),
        ({"requests": {"cpu": "2"}, "limits": {"memory": "40Mi"}}, {"cpu": "2", "memory": "40Mi"}, {"memory": "40Mi"}),
        ({"limits": {"memory": "4Gi"}}, {"cpu": "1", "memory": "4Gi"}, {"memory": "4Gi"}),
    ],
)
def test_what_is_not_given_of_resources(
    given: dict[str, Any], requests: dict[str, str], limits: dict[str, str]
) -> None:
    # As it is after the API server has filled in the CRD's defaults.
    defaults = structural(Resources)["properties"]
    filled = {name: given.get(name, schema["default"]) for name, schema in defaults.items()}
    spec = {"model": {"source": "pvc://models/minilm"}, "serving": {"resources": filled}}
    assert model(spec).spec.serving.resources.effective() == {"requests": requests, "limits": limits}


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ({"cpu": "lots"}, "spec.serving.resources.requests.cpu"),
        ({"memory": -1}, "spec.serving.resources.requests.memory"),
        ({"nvidia.com/gpu": 2}, "GPUs: spec.serving.gpu"),
    ],
)
def test_resources_that_were_stored_before_the_crd_refused_them(requests: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        model({"model": {"source": "pvc://models/minilm"}, "serving": {"resources": {"requests": requests}}})
