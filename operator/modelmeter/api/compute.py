"""What a container of a model's pods gets of cpu, memory and disk."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.scalars import QUANTITY_RULE, QuantityString

Amount = Annotated[
    QuantityString,
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            **rules({**QUANTITY_RULE, "rule": f"type(self) == int ? self >= 0 : {QUANTITY_RULE['rule']}"}),
        }
    ),
]

CONTAINER_RESOURCES = ("cpu", "memory", "ephemeral-storage")
RESOURCES_MESSAGE = "resources are cpu, memory and ephemeral-storage; GPUs: spec.serving.gpu"


def _container_resources(amounts: dict[str, str]) -> dict[str, str]:
    if not amounts.keys() <= set(CONTAINER_RESOURCES):
        raise ValueError(RESOURCES_MESSAGE)
    return amounts


ResourceList = Annotated[
    dict[str, Amount],
    Field(
        max_length=16,
        json_schema_extra=rules(rule(f"self.all(name, name in {list(CONTAINER_RESOURCES)})", RESOURCES_MESSAGE)),
    ),
    AfterValidator(_container_resources),
]
"""Amounts by name; the loader gets the same, so a GPU among them would be held twice."""

DEFAULT_REQUESTS = {"cpu": "1", "memory": "2Gi"}
ENOUGH = (
    "['cpu', 'memory'].all(name, !(name in self.requests) || !(name in self.limits)"
    " || !isQuantity(string(self.requests[name])) || !isQuantity(string(self.limits[name]))"
    " || quantity(string(self.limits[name])).compareTo(quantity(string(self.requests[name]))) >= 0)"
)


class Resources(Struct):
    """Requests and limits of the Triton container."""

    requests: ResourceList = {}
    """What the scheduler reserves, and what is metered: cpu in cores, memory in bytes.

    What is not given is as much as the limit; without one, 1 core and 2Gi."""
    limits: ResourceList = {}
    """What the container may use at most; memory: as much as it requests, if not given."""

    def effective(self) -> dict[str, dict[str, str]]:
        """Requests and limits with all that is not given."""
        limited = {name: self.limits[name] for name in DEFAULT_REQUESTS if name in self.limits}
        requests = {**DEFAULT_REQUESTS, **limited, **self.requests}
        return {"requests": requests, "limits": {"memory": requests["memory"], **self.limits}}
