"""The pod of one replica: an init container that fetches the model, and Triton that serves it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from modelmeter.api.image_source import image_source
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.claim import one_node, volume_source
from modelmeter.provision.config_map import FILE, SOURCE_DIRECTORY, config_map_name
from modelmeter.provision.device_claim import claimed, container_claims, pod_claims
from modelmeter.provision.labels import selector_labels
from modelmeter.provision.server_options import server_options, server_variables
from modelmeter.provision.service import PORTS
from modelmeter.provision.track import STABLE, Track

LOADER: Final = "loader"
TRITON: Final = "triton"
GPU_PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
USER_ID: Final = 1000
"""triton-server's in NVIDIA's images; the loader writes as the same user."""
SPEC_DIRECTORY: Final = "/etc/modelmeter"

GRACE_SECONDS: Final = 60
DRAIN_SECONDS: Final = 10
"""How long a pod that ends still takes requests, until every proxy knows that it ends."""
EXIT_SECONDS: Final = 45
"""How long Triton then waits for requests under way."""
assert DRAIN_SECONDS + EXIT_SECONDS < GRACE_SECONDS

STARTUP_PROBES: Final = 60
PROBE_SECONDS: Final = 10
PROBE_TIMEOUT_SECONDS: Final = 5

RESTRICTED: Final[dict[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What the Pod Security Standard `restricted` asks of a container."""


def run_as(user_id: int, **more: Any) -> dict[str, Any]:
    """A pod's security context: one user, who is not root, and what else it says."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user_id,
        "runAsGroup": user_id,
        **more,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def pod_spec(model: ModelDeployment, loader_image: str, track: Track = STABLE) -> dict[str, Any]:
    """The PodSpec. It does not depend on the number of replicas, so that scaling restarts nothing."""
    serving = model.spec.serving
    optional = {
        "nodeSelector": _node_selector(model),
        "tolerations": [
            toleration.model_dump(by_alias=True, exclude_defaults=True) for toleration in serving.tolerations
        ],
        "affinity": _affinity(model),
        "topologySpreadConstraints": [
            {
                **constraint.model_dump(by_alias=True, exclude_none=True),
                "labelSelector": {"matchLabels": selector_labels(model)},
                # Those of an older spec, which a rollout ends, count for nothing.
                "matchLabelKeys": ["pod-template-hash"],
            }
            for constraint in serving.topology_spread_constraints
        ],
        "priorityClassName": serving.priority_class_name,
        "serviceAccountName": serving.service_account_name,
        "imagePullSecrets": [{"name": reference.name} for reference in serving.image_pull_secrets],
        "resourceClaims": pod_claims(model),
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": run_as(USER_ID, fsGroup=USER_ID, fsGroupChangePolicy="OnRootMismatch"),
        "initContainers": [_loader(model, loader_image, track.repository)],
        "containers": [_triton(model, track.repository)],
        "volumes": _volumes(model, track),
        **{field: value for field, value in optional.items() if value},
    }


def _loader(model: ModelDeployment, image: str, repository: str) -> dict[str, Any]:
    mounts = [
        {"name": "models", "mountPath": "/models"},
        {"name": "spec", "mountPath": SPEC_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if source_volume(model):
        mounts.append({"name": "source", "mountPath": SOURCE_DIRECTORY, "readOnly": True})
    arguments = ["load", model.spec.model.source, repository, "--spec", f"{SPEC_DIRECTORY}/{FILE}"]
    secret = model.spec.model.credentials_secret
    return {
        "name": LOADER,
        "image": image,
        # Triton's port, which is free until then: whoever lets the operator reach Triton lets it reach the loader.
        "args": [*arguments, "--termination-log", "/dev/termination-log", f"--progress-port={PORTS['http']}"],
        **({"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}),
        # As much as Triton holds anyway: an init container that asks for more would raise the pod's price.
        "resources": model.spec.serving.resources.effective(),
        "securityContext": {**RESTRICTED, "readOnlyRootFilesystem": True},
        "volumeMounts": mounts,
    }


def _triton(model: ModelDeployment, repository: str) -> dict[str, Any]:
    serving = model.spec.serving
    extended = serving.gpu.count and not claimed(model)
    gpu = {serving.gpu.resource: str(serving.gpu.count)} if extended else {}
    resources = serving.resources.effective()
    alive, ready = "/v2/health/live", f"/v2/models/{model.name}/ready"
    return {
        "name": TRITON,
        "image": serving.image,
        "command": ["tritonserver"],
        "args": [
            f"--model-repository={repository}",
            "--strict-readiness=true",
            "--exit-on-error=true",
            f"--exit-timeout-secs={EXIT_SECONDS}",
            *server_options(serving),
        ],
        "env": [
            *(variable.model_dump(by_alias=True, exclude_defaults=True) for variable in serving.env),
            *server_variables(serving),
        ],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in PORTS.items()],
        "resources": {
            "requests": {**resources["requests"], **gpu},
            "limits": {**resources["limits"], **gpu},
            **container_claims(model),
        },
        "startupProbe": {**_probe("/v2/health/ready"), "failureThreshold": STARTUP_PROBES},
        "readinessProbe": {**_probe(ready), "failureThreshold": 3},
        "livenessProbe": {**_probe(alive), "failureThreshold": 3},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN_SECONDS)]}}},
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "models", "mountPath": "/models", "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _probe(path: str) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": PROBE_SECONDS,
        "timeoutSeconds": PROBE_TIMEOUT_SECONDS,
    }


def _volumes(model: ModelDeployment, track: Track) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "models", **volume_source(model)},
        {"name": "spec", "configMap": {"name": config_map_name(model, track)}},
        # Triton's Python backend passes tensors through shared memory.
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if source := source_volume(model):
        volumes.append({"name": "source", **source})
    return volumes


def source_volume(model: ModelDeployment) -> dict[str, Any]:
    """What the loader has mounted of a source that needs no download; empty for another source."""
    if claim := source_claim(model):
        return {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    if image := source_image(model):
        return {"image": {"reference": image}}
    return {}


def source_image(model: ModelDeployment) -> str:
    """The image of an image:// source, which the kubelet pulls with the pods' imagePullSecrets; else empty."""
    found = image_source(model.spec.model.source)
    return found.reference if found else ""


def source_claim(model: ModelDeployment) -> str:
    """Name of the claim of a pvc:// source; empty for another source."""
    url = urlsplit(model.spec.model.source)
    return url.netloc if url.scheme == "pvc" else ""


def _node_selector(model: ModelDeployment) -> dict[str, str]:
    """A device that is claimed says its product itself."""
    serving = model.spec.serving
    product = {GPU_PRODUCT_LABEL: serving.gpu.product} if serving.gpu.product and not claimed(model) else {}
    return {**serving.node_selector, **product}


def _affinity(model: ModelDeployment) -> dict[str, Any]:
    """The user's, and all replicas on one node where only one node can mount the claim."""
    given = dict(model.spec.serving.affinity or {})
    if not one_node(model):
        return given
    together = {
        "labelSelector": {"matchLabels": selector_labels(model)},
        "topologyKey": "kubernetes.io/hostname",
    }
    pods = dict(given.get("podAffinity") or {})
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    pods[required] = [*(pods.get(required) or []), together]
    return {**given, "podAffinity": pods}
