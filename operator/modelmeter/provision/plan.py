"""What a model's Deployments say of their revisions, and what they are to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from modelmeter.api.names import GROUP
from modelmeter.api.resources import ModelDeployment

FAILED_HASH: Final = f"{GROUP}/failed-template-hash"
"""Annotation on the stable Deployment: the revision that was rolled back, which is not tried again."""
FAILURE: Final = f"{GROUP}/failed-template-reason"
"""Annotation on the stable Deployment: why it was."""
FORGOTTEN: Final = {FAILED_HASH: None, FAILURE: None}

CANARIES: Final = f"{GROUP}/canary-replicas"
"""Annotation on the canary: how many replicas it was made for, whatever an autoscaler does to the model's."""


@dataclass(frozen=True, slots=True)
class TrackState:
    """What a Deployment says about itself and the revision that its pods are of."""

    template_hash: str
    replicas: int
    canaries: int = 0
    """Of a canary: how many replicas it was made for; 0 where nobody noted it."""
    deleting: bool = False
    failed_hash: str = ""
    failure: str = ""
    pods_error: str | None = None
    """Why the API server refuses its pods, in its own words."""
    refused_since: datetime | None = None
    """Since when it does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the Deployments of a model are to be now, and what is said of it."""

    serving_hash: str
    """The revision whose pods are to serve."""
    stable_replicas: int
    renews_stable: bool = True
    """Whether the stable Deployment gets the template of the current spec; else it keeps the one that it has."""
    canary_replicas: int | None = None
    """Of the canary; None where none is to be applied."""
    canary_notes: Mapping[str, str] = field(default_factory=dict)
    """Annotations of the canary."""
    removes_canary: bool = False
    notes: Mapping[str, str | None] = field(default_factory=dict)
    """Annotations of the stable Deployment to write, or to take off."""
    canary: str | None = None
    """What a canary is waiting for, while there is one."""
    canary_stuck: bool = False
    """Whether that may not come unless somebody acts."""
    rolled_back: str | None = None
    """Why the current spec was rolled back, if it was."""
    look_again: datetime | None = None
    """When it may be decided otherwise though nothing has changed."""
    unless_taken: Plan | None = None
    """Of a plan that is to make a canary: what is to be instead while the canary's names are somebody else's."""

    @property
    def under_way(self) -> bool:
        """Whether the next change of a pod may change the plan."""
        return bool(self.canary or self.removes_canary)


def straight(model: ModelDeployment, wanted: str) -> Plan:
    """Without a canary and without what is left of one: all replicas are of the current spec."""
    return Plan(serving_hash=wanted, stable_replicas=model.spec.serving.replicas)
