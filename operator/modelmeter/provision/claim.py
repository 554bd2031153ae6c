"""The claim that keeps the fetched model and its Triton repository."""

from __future__ import annotations

from typing import Any

from modelmeter.api.names import METERING_FINALIZER
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import metadata


def claim_name(model: ModelDeployment) -> str:
    """Name of the claim."""
    return f"{model.name}-models"


def claim(model: ModelDeployment) -> dict[str, Any]:
    """The PersistentVolumeClaim; its finalizer keeps it until its last second is on the ledger."""
    storage = model.spec.storage
    spec: dict[str, Any] = {
        "accessModes": list(storage.access_modes),
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class_name:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {**metadata(model, claim_name(model)), "finalizers": [METERING_FINALIZER]},
        "spec": spec,
    }
