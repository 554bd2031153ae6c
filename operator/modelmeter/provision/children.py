"""The table of children."""

from __future__ import annotations

from typing import Any, Final

from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.autoscaler import autoscaler
from modelmeter.provision.claim import claims
from modelmeter.provision.config_map import config_map
from modelmeter.provision.device_claim import claim_templates
from modelmeter.provision.disruption_budget import disruption_budget
from modelmeter.provision.service import service
from modelmeter.provision.workload import deployment

EXTRA_KINDS: Final = ("HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget")
"""Kinds of children that a spec may come to ask for, or no longer: what it does not ask for is deleted."""


def desired(model: ModelDeployment, loader_image: str) -> tuple[dict[str, Any], ...]:
    """The children that serving stands on, in the order in which they are applied: what pods need comes first."""
    needed = *claims(model), *claim_templates(model), config_map(model), service(model)
    return *needed, deployment(model, loader_image)


def extras(model: ModelDeployment) -> tuple[dict[str, Any], ...]:
    """The children that the spec asks for beside, of EXTRA_KINDS; serving goes on without them."""
    return *autoscaler(model), *disruption_budget(model)
