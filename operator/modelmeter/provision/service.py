"""The Service in front of the Triton pods, and the addresses that it gives."""

from __future__ import annotations

from typing import Any, Final

from modelmeter.api.model_deployment_status import Endpoints
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import metadata, selector_labels

PORTS: Final = {"http": 8000, "grpc": 8001, "metrics": 8002}
"""Triton's ports, by name."""


def service(model: ModelDeployment) -> dict[str, Any]:
    """The Service."""
    ports = [{"name": name, "port": port, "targetPort": name, "protocol": "TCP"} for name, port in PORTS.items()]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(model, model.name),
        "spec": {"type": "ClusterIP", "selector": selector_labels(model), "ports": ports},
    }


def endpoints(model: ModelDeployment) -> Endpoints:
    """Where the model answers, inside the cluster."""
    host = f"{model.name}.{model.namespace}.svc"
    http = f"http://{host}:{PORTS['http']}"
    return Endpoints(http=http, grpc=f"{host}:{PORTS['grpc']}", predict=f"{http}/v2/models/{model.name}/generate")
