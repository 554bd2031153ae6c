"""How many replicas a model has by its load, and how many of them a drain of nodes may take at once."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from modelmeter.api.base import Struct, rule, rules

Metric = Literal["cpu", "queueMicroseconds"]

ADDRESS_PATTERN: Final = r"^https?://[^/?# ]+(/[^?# ]*)?$"
ADDRESS_MESSAGE: Final = "prometheusAddress must be a URL such as http://prometheus.monitoring:9090"
ORDER_MESSAGE: Final = "min must not be above max"
ZERO_MESSAGE: Final = (
    "min 0 needs keda with a wakeQuery, for a HorizontalPodAutoscaler never goes below 1, and pods that are not there"
    " count no requests: give keda.prometheusAddress and keda.wakeQuery, or set min to 1"
)
KEDA_MESSAGE: Final = "keda scales by metric queueMicroseconds: set that, or leave keda out for cpu"
UNAVAILABLE_PATTERN: Final = r"^([1-9][0-9]?|100)%$"
UNAVAILABLE_MESSAGE: Final = (
    'maxUnavailable must be a number of pods or a percentage such as "25%", and more than 0: else no node with a'
    " replica could ever be drained"
)


def _address(text: str) -> str:
    if not re.match(ADDRESS_PATTERN, text):
        raise ValueError(ADDRESS_MESSAGE)
    return text


def _unavailable(value: int | str) -> int | str:
    if value < 1 if isinstance(value, int) else not re.match(UNAVAILABLE_PATTERN, value):
        raise ValueError(UNAVAILABLE_MESSAGE)
    return value


class Keda(Struct):
    """Lets KEDA scale the model by what Prometheus says."""

    prometheus_address: Annotated[
        str,
        Field(
            max_length=1024,
            json_schema_extra=rules(rule(f"self.matches('{ADDRESS_PATTERN}')", ADDRESS_MESSAGE)),
        ),
        AfterValidator(_address),
    ]
    """Where KEDA asks Prometheus, for example http://prometheus.monitoring:9090."""
    wake_query: Annotated[str, Field(max_length=4096)] = ""
    """With min 0: PromQL whose sum is above 0 while anybody asks for the model.

    It has to count in front of the pods, at a gateway or ingress: pods that are not there count nothing."""


class Autoscaling(Struct):
    """Lets Kubernetes set spec.serving.replicas, between min and max, by what the replicas have to do."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self.min <= self.max", ORDER_MESSAGE),
            rule("self.min > 0 || (has(self.keda) && self.keda.wakeQuery != '')", ZERO_MESSAGE),
            rule("!has(self.keda) || self.metric == 'queueMicroseconds'", KEDA_MESSAGE),
        )
    )

    min: Annotated[int, Field(ge=0, le=500)] = 1
    """Fewest replicas; 0 costs no compute while nobody asks, and needs keda with a wakeQuery."""
    max: Annotated[int, Field(ge=1, le=500)]
    """Most replicas."""
    metric: Metric
    """cpu: percent of the Triton container's CPU request; queueMicroseconds: how long a request waits in Triton before
    the model runs it, on average."""
    target: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """The metric's value at which there are neither too few replicas nor too many."""
    scale_down_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """How long fewer replicas must have been enough before the others end."""
    keda: Keda | None = None
    """Not given: a HorizontalPodAutoscaler, which needs metrics-server for cpu, prometheus-adapter for
    queueMicroseconds."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for wrong, message in (
            (self.min > self.max, ORDER_MESSAGE),
            (self.min == 0 and not (self.keda and self.keda.wake_query), ZERO_MESSAGE),
            (self.keda is not None and self.metric != "queueMicroseconds", KEDA_MESSAGE),
        ):
            if wrong:
                raise ValueError(message)
        return self


class DisruptionBudget(Struct):
    """How many replicas whoever drains nodes may take at once."""

    max_unavailable: Annotated[
        int | str,
        AfterValidator(_unavailable),
        WithJsonSchema(
            {
                "x-kubernetes-int-or-string": True,
                "maxLength": 4,
                **rules(
                    rule(f"type(self) == int ? self >= 1 : self.matches('{UNAVAILABLE_PATTERN}')", UNAVAILABLE_MESSAGE)
                ),
            }
        ),
    ] = 1
    """A number of replicas, or a percentage of them, rounded up; those that are not ready count."""
