"""Where a model's pods may run: tolerations, and Kubernetes' own Affinity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, WithJsonSchema

from modelmeter.api.base import Struct


class Toleration(Struct):
    """A Kubernetes toleration."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None


DEFAULT_TOLERATIONS = [Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule")]


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
