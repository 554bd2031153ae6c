"""Where a model's pods may run: tolerations, spread, and Kubernetes' own Affinity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from modelmeter.api.base import Struct


class Toleration(Struct):
    """A Kubernetes toleration."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None


DEFAULT_TOLERATIONS = [Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")]


class TopologySpreadConstraint(Struct):
    """A Kubernetes TopologySpreadConstraint; it counts the model's own replicas of one spec."""

    topology_key: Annotated[str, Field(min_length=1, max_length=317)]
    """Label of nodes, for example topology.kubernetes.io/zone."""
    max_skew: Annotated[int, Field(ge=1)] = 1
    """How many more replicas one value of that label may have than another."""
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"] = "DoNotSchedule"


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _affinity(given: dict[str, Any]) -> dict[str, Any]:
    """What we add a term to must be what Kubernetes says that it is; null is nothing, to the API server too."""
    pods = given.get("podAffinity") or {}
    if not isinstance(pods, dict):
        raise ValueError("podAffinity must be an object")
    terms = pods.get(REQUIRED) or []
    if not isinstance(terms, list) or not all(isinstance(term, dict) for term in terms):
        raise ValueError(f"podAffinity.{REQUIRED} must be a list of objects")
    return given


Affinity = Annotated[
    dict[str, Any],
    AfterValidator(_affinity),
    WithJsonSchema(
        {
            **OPEN,
            "properties": {
                "podAffinity": {**OPEN, "properties": {REQUIRED: {"type": "array", "items": OPEN}}},
            },
        }
    ),
]
