"""What of Triton's is off unless it is asked for: response cache, restricted APIs; and which fields go together."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.scalars import QUANTITY_RULE, QuantityString

SMALLEST_CACHE: Final = "1Mi"
"""Triton refuses to start with a cache that holds nothing."""

RestrictedApi = Literal["model-config", "model-repository", "shared-memory", "trace", "logging"]
"""What callers who want scores do not need; health, metadata, statistics and inference stay open."""


class ResponseCache(Struct):
    """Scores of texts that were asked for before, kept in the server's memory."""

    size: Annotated[
        QuantityString,
        Field(
            json_schema_extra=rules(
                QUANTITY_RULE,
                rule(
                    f"!isQuantity(self) || quantity(self).compareTo(quantity('{SMALLEST_CACHE}')) >= 0",
                    f"size must be {SMALLEST_CACHE} or more",
                ),
            )
        ),
    ]
    """Memory of each replica's cache, for example 64Mi; a part of resources.limits.memory."""


COMPUTES_ON_CPU: Final = (
    "(has(self.spec.serving) && ((has(self.spec.serving.backend) && self.spec.serving.backend == 'python')"
    " || (has(self.spec.serving.gpu) && has(self.spec.serving.gpu.count) && self.spec.serving.gpu.count == 0)))"
)
INT8_RULE: Final = rule(
    "!has(self.spec.model) || !has(self.spec.model.precision) || self.spec.model.precision != 'int8'"
    f" || {COMPUTES_ON_CPU}",
    "spec.model.precision int8 is for the CPU, onnxruntime has no such operators on a GPU:"
    " set spec.serving.gpu.count to 0, or precision to fp16",
)
TENSORRT_RULE: Final = rule(
    "!has(self.spec.serving) || !has(self.spec.serving.accelerator) || self.spec.serving.accelerator != 'tensorrt'"
    f" || !{COMPUTES_ON_CPU}",
    "spec.serving.accelerator tensorrt needs spec.serving.gpu.count 1 or more, and the backend onnxruntime",
)
"""Rules of a whole ModelDeployment: fields that do not go together."""
