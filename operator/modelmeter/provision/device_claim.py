"""The template of the ResourceClaim that each replica has where its GPUs are a DRA driver's (resource.k8s.io/v1)."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from modelmeter.api.names import LABEL_MODEL
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import metadata

KIND: Final = "ResourceClaimTemplate"
REQUEST: Final = "gpu"
"""What the pod calls its claim, and the claim its one request."""
HASH_CHARACTERS: Final = 8


def claimed(model: ModelDeployment) -> bool:
    """Whether replicas have a ResourceClaim."""
    gpu = model.spec.serving.gpu
    return bool(gpu.device_class_name and gpu.count)


def template_name(model: ModelDeployment) -> str:
    """Name of the template. A template never changes, so another spec is another template, of another name."""
    made_of = json.dumps(_template_spec(model), sort_keys=True).encode()
    return f"{model.name}-gpu-{hashlib.sha256(made_of).hexdigest()[:HASH_CHARACTERS]}"


def claim_templates(model: ModelDeployment) -> tuple[dict[str, Any], ...]:
    """The ResourceClaimTemplate, if any; the claims made of it come and go with their pods."""
    if not claimed(model):
        return ()
    return (
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": KIND,
            "metadata": metadata(model, template_name(model)),
            "spec": _template_spec(model),
        },
    )


def pod_claims(model: ModelDeployment) -> list[dict[str, str]]:
    """What the pod has of it."""
    return [{"name": REQUEST, "resourceClaimTemplateName": template_name(model)}] if claimed(model) else []


def container_claims(model: ModelDeployment) -> dict[str, Any]:
    """What the container's resources have of it; `claims` is there where there is one."""
    return {"claims": [{"name": REQUEST}]} if claimed(model) else {}


def _template_spec(model: ModelDeployment) -> dict[str, Any]:
    """ResourceClaimTemplateSpec: so many devices of one class, each as the selectors and the product say.

    The label tells metering that they are GPUs, whoever's driver has them.
    """
    gpu = model.spec.serving.gpu
    expressions = [*gpu.selectors, *([_of_product(gpu.product)] if gpu.product else [])]
    exactly: dict[str, Any] = {
        "deviceClassName": gpu.device_class_name,
        "allocationMode": "ExactCount",
        "count": gpu.count,
    }
    if expressions:
        exactly["selectors"] = [{"cel": {"expression": expression}} for expression in expressions]
    claim = {"devices": {"requests": [{"name": REQUEST, "exactly": exactly}]}}
    return {"metadata": {"labels": {LABEL_MODEL: model.name}}, "spec": claim}


def _of_product(product: str) -> str:
    """CEL: drivers write a product as NVIDIA L4, node labels and prices as NVIDIA-L4."""
    found = "device.attributes[device.driver].productName"
    return f"has({found}) && {found}.replace(' ', '-') == '{product}'"
