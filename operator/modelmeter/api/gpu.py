"""The GPUs of a replica: which resource, how many, of which product."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from modelmeter.api.base import Struct, rule, rules

GPU_PATTERN: Final = r"^[a-z0-9.-]+/(gpu|mig-[a-z0-9.]+)([.]shared)?$"
GPU_MESSAGE: Final = (
    "resource must be a GPU's, or nobody could say what it costs: VENDOR/gpu, VENDOR/gpu.shared, VENDOR/mig-..."
)
PRODUCT_PATTERN: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
PRODUCT_MESSAGE: Final = (
    "product must be a value of the nodes' label nvidia.com/gpu.product, such as NVIDIA-L4 (not NVIDIA L4);"
    " see kubectl get nodes -L nvidia.com/gpu.product"
)


def _gpu(text: str) -> str:
    if not re.match(GPU_PATTERN, text):
        raise ValueError(GPU_MESSAGE)
    return text


def _product(text: str) -> str:
    if not re.match(PRODUCT_PATTERN, text):
        raise ValueError(PRODUCT_MESSAGE)
    return text


class Gpu(Struct):
    """The GPUs of one replica."""

    resource: Annotated[
        str,
        Field(max_length=253, json_schema_extra=rules(rule(f"self.matches('{GPU_PATTERN}')", GPU_MESSAGE))),
        AfterValidator(_gpu),
    ] = "nvidia.com/gpu"
    """Extended resource that is requested: VENDOR/gpu, VENDOR/gpu.shared or VENDOR/mig-PROFILE."""
    count: Annotated[int, Field(ge=0, le=64)] = 1
    """GPUs of one replica; 0 serves on the CPU."""
    product: Annotated[
        str,
        Field(max_length=63, json_schema_extra=rules(rule(f"self.matches('{PRODUCT_PATTERN}')", PRODUCT_MESSAGE))),
        AfterValidator(_product),
    ] = ""
    """GPU product (node label nvidia.com/gpu.product) that the pods must run on; empty: any."""
