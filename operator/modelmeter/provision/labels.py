"""What the children of a ModelDeployment have in common: names, labels and their owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelmeter.api.names import API_VERSION, LABEL_MODEL, LABEL_MODEL_UID, MANAGED_BY
from modelmeter.api.resources import ModelDeployment


def child_labels(uid: str) -> dict[str, str]:
    """What every child of the model of a UID carries, and nothing that somebody labelled by hand."""
    return {**MANAGED_BY, LABEL_MODEL_UID: uid}


def is_child_of(uid: str, labels: Mapping[str, str]) -> bool:
    """Whether something with these labels was made for the model of a UID."""
    return child_labels(uid).items() <= labels.items()


def selector_labels(model: ModelDeployment) -> dict[str, str]:
    """What the Deployment and the Service select by; immutable, so it is as little as it can be."""
    return {**MANAGED_BY, LABEL_MODEL: model.name}


def selector(model: ModelDeployment) -> str:
    """`selector_labels` as a label selector, for the scale subresource."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector_labels(model).items()))


def labels(model: ModelDeployment) -> dict[str, str]:
    """Labels of every child and of the pods."""
    return {
        "app.kubernetes.io/name": "triton",
        "app.kubernetes.io/instance": model.name,
        "app.kubernetes.io/component": "model-server",
        **selector_labels(model),
        LABEL_MODEL_UID: model.uid,
    }


def metadata(model: ModelDeployment, name: str) -> dict[str, Any]:
    """Metadata of a child: it is deleted with the ModelDeployment, and found by its labels."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "name": model.name,
        "uid": model.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"name": name, "namespace": model.namespace, "labels": labels(model), "ownerReferences": [owner]}
