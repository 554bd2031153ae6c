"""Where the API server keeps each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelmeter.api.names import API_VERSION

PLURALS: Final = {
    "Pod": ("v1", "pods"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "Namespace": ("v1", "namespaces"),
    "Node": ("v1", "nodes"),
    "ConfigMap": ("v1", "configmaps"),
    "Service": ("v1", "services"),
    "Event": ("v1", "events"),
    "Job": ("batch/v1", "jobs"),
    "Deployment": ("apps/v1", "deployments"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "ScaledObject": ("keda.sh/v1alpha1", "scaledobjects"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "ResourceClaim": ("resource.k8s.io/v1", "resourceclaims"),
    "ResourceClaimTemplate": ("resource.k8s.io/v1", "resourceclaimtemplates"),
    "ResourceSlice": ("resource.k8s.io/v1", "resourceslices"),
    "ModelDeployment": (API_VERSION, "modeldeployments"),
    "PriceBook": (API_VERSION, "pricebooks"),
    "CostStatement": (API_VERSION, "coststatements"),
}


def path(kind: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The path of a kind's collection or object.

    >>> path("Pod", "default", "a")
    '/api/v1/namespaces/default/pods/a'
    """
    version, plural = PLURALS[kind]
    parts = ["", "api" if version == "v1" else "apis", version]
    if namespace:
        parts += ["namespaces", namespace]
    parts += [plural, *([name] if name else []), *([subresource] if subresource else [])]
    return "/".join(parts)


def path_of(manifest: Mapping[str, Any]) -> str:
    """The path of a manifest's object."""
    metadata = manifest["metadata"]
    return path(manifest["kind"], metadata.get("namespace", ""), metadata["name"])


def kind_and_name(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """What tells a manifest's object from the others of its model."""
    return manifest["kind"], manifest["metadata"]["name"]
