"""The Deployment, and what tells whether a pod is of the current spec."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from modelmeter.api.names import GROUP, METERING_FINALIZER, TEMPLATE_HASH
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.config_map import model_json
from modelmeter.provision.labels import labels, metadata, selector_labels
from modelmeter.provision.pod import pod_spec
from modelmeter.provision.track import STABLE, Track

LOADER_IMAGE: Final = f"{GROUP}/loader-image"

PROGRESS_DEADLINE_SECONDS: Final = 1800
"""A large model may take that long to be fetched."""


def template_hash(model: ModelDeployment) -> str:
    """What decides whether pods restart: all of the template but the loader's image.

    The image changes with every version of the operator, which alone is no reason to restart anything.
    """
    parts = [pod_spec(model, loader_image=""), model_json(model)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def loader_image_of(annotations: Mapping[str, str]) -> str | None:
    """The loader's image that a Deployment with these annotations runs."""
    return annotations.get(LOADER_IMAGE)


def deployment_name(model: ModelDeployment, track: Track = STABLE) -> str:
    """Name of the Deployment."""
    return f"{model.name}{track.suffix}"


def deployment(
    model: ModelDeployment, loader_image: str, track: Track = STABLE, replicas: int | None = None
) -> dict[str, Any]:
    """The Deployment of the Triton pods; a rollout replaces one at a time and needs no spare GPU.

    `replicas`: how many it gets of those that the model has; None: all of them.
    """
    made_of = {TEMPLATE_HASH: template_hash(model)}
    common = metadata(model, deployment_name(model, track))
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**common, "annotations": {**made_of, LOADER_IMAGE: loader_image}},
        "spec": {
            "replicas": model.spec.serving.replicas if replicas is None else replicas,
            "selector": {"matchLabels": {**selector_labels(model), **dict(track.labels)}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "template": {
                "metadata": {
                    "labels": {**labels(model), **dict(track.labels), **_identity_label(model)},
                    "annotations": made_of,
                    # No pod vanishes before its last second is on the ledger.
                    "finalizers": [METERING_FINALIZER],
                },
                "spec": pod_spec(model, loader_image, track),
            },
        },
    }


def _identity_label(model: ModelDeployment) -> dict[str, str]:
    """What Azure's webhook looks for before it gives a pod its ServiceAccount's identity; other clouds ask for none."""
    known = model.spec.serving.service_account_name and model.spec.model.source.startswith("az://")
    return {"azure.workload.identity/use": "true"} if known else {}
