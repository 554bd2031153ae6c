"""The table of children."""

from __future__ import annotations

from typing import Any, Final

from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.autoscaler import autoscaler
from modelmeter.provision.claim import claims
from modelmeter.provision.config_map import config_map
from modelmeter.provision.device_claim import claim_templates
from modelmeter.provision.disruption_budget import disruption_budget
from modelmeter.provision.plan import Plan
from modelmeter.provision.service import service
from modelmeter.provision.track import CANARY, STABLE, Track
from modelmeter.provision.workload import deployment

EXTRA_KINDS: Final = ("HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget")
"""Kinds of children that a spec may come to ask for, or no longer: what it does not ask for is deleted."""


def desired(model: ModelDeployment, loader_image: str, plan: Plan | None = None) -> tuple[dict[str, Any], ...]:
    """The children that serving stands on, in the order in which they are applied: what pods need comes first.

    Without a plan all replicas are of the current spec. A stable Deployment that keeps its template is not among them,
    nor what its loader is told.
    """
    tracks = _tracks(model, plan)
    return (
        *claims(model),
        *claim_templates(model),
        *(config_map(model, track) for track in tracks),
        service(model),
        *(_noted(deployment(model, loader_image, track, replicas), track, plan) for track, replicas in tracks.items()),
    )


def of_canary(model: ModelDeployment, loader_image: str) -> tuple[dict[str, Any], ...]:
    """Those of a canary, which has no replicas yet."""
    return config_map(model, CANARY), deployment(model, loader_image, CANARY, 0)


def extras(model: ModelDeployment) -> tuple[dict[str, Any], ...]:
    """The children that the spec asks for beside, of EXTRA_KINDS; serving goes on without them."""
    return *autoscaler(model), *disruption_budget(model)


def _noted(made: dict[str, Any], track: Track, plan: Plan | None) -> dict[str, Any]:
    """A Deployment with the notes of a rollout."""
    if plan and track is CANARY:
        made["metadata"]["annotations"].update(plan.canary_notes)
    return made


def _tracks(model: ModelDeployment, plan: Plan | None) -> dict[Track, int]:
    """What gets the current spec, and how many replicas of it."""
    if plan is None:
        return {STABLE: model.spec.serving.replicas}
    wanted = {STABLE: plan.stable_replicas if plan.renews_stable else None, CANARY: plan.canary_replicas}
    return {track: replicas for track, replicas in wanted.items() if replicas is not None}
