"""The table of children."""

from __future__ import annotations

from typing import Any

from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.claim import claims
from modelmeter.provision.config_map import config_map
from modelmeter.provision.device_claim import claim_templates
from modelmeter.provision.service import service
from modelmeter.provision.workload import deployment


def desired(model: ModelDeployment, loader_image: str) -> tuple[dict[str, Any], ...]:
    """The children of a ModelDeployment, in the order in which they are applied: what pods need comes first."""
    needed = *claims(model), *claim_templates(model), config_map(model), service(model)
    return *needed, deployment(model, loader_image)
