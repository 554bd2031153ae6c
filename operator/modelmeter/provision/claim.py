"""What keeps the fetched model and its Triton repository: one claim that all replicas share, or one for each."""

from __future__ import annotations

from typing import Any

from modelmeter.api.names import METERING_FINALIZER
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import labels, metadata


def claim_name(model: ModelDeployment) -> str:
    """Name of the shared claim."""
    return f"{model.name}-models"


def one_node(model: ModelDeployment) -> bool:
    """Whether all replicas have to be where the shared claim is mounted."""
    storage = model.spec.storage
    return not storage.per_replica and "ReadWriteMany" not in storage.access_modes


def claims(model: ModelDeployment) -> tuple[dict[str, Any], ...]:
    """The shared PersistentVolumeClaim, if any; its finalizer keeps it until its last second is on the ledger."""
    if model.spec.storage.per_replica:
        return ()
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {**metadata(model, claim_name(model)), "finalizers": [METERING_FINALIZER]},
            "spec": claim_spec(model),
        },
    )


def volume_source(model: ModelDeployment) -> dict[str, Any]:
    """What a pod mounts. A template of a claim takes no finalizers: such a claim gets ours when it is first seen."""
    if not model.spec.storage.per_replica:
        return {"persistentVolumeClaim": {"claimName": claim_name(model)}}
    template = {"metadata": {"labels": labels(model)}, "spec": claim_spec(model)}
    return {"ephemeral": {"volumeClaimTemplate": template}}


def claim_spec(model: ModelDeployment) -> dict[str, Any]:
    """PersistentVolumeClaimSpec."""
    storage = model.spec.storage
    spec: dict[str, Any] = {
        "accessModes": list(storage.access_modes),
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class_name:
        spec["storageClassName"] = storage.storage_class_name
    return spec
