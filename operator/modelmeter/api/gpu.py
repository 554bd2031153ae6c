"""The GPUs of a replica: which resource, how many, of which product."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

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
CLASS_PATTERN: Final = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$"
CLASS_MESSAGE: Final = (
    "deviceClassName must be the name of a DeviceClass, such as gpu.nvidia.com; see kubectl get deviceclasses"
)
DEFAULT_RESOURCE: Final = "nvidia.com/gpu"
CLAIM_DEVICES: Final = 32
"""How many devices one ResourceClaim may have."""
NO_CLASS: Final = "!has(self.deviceClassName) || self.deviceClassName == ''"
A_CLASS: Final = "has(self.deviceClassName) && self.deviceClassName != ''"
EITHER: Final = rule(
    f"{NO_CLASS} || self.resource == '{DEFAULT_RESOURCE}'",
    "give either resource (a device plugin's) or deviceClassName (a DRA driver's), not both: count is of that one",
)
DEVICES: Final = rule(
    f"{NO_CLASS} || self.count <= {CLAIM_DEVICES}",
    f"count of deviceClassName is at most {CLAIM_DEVICES}, as many as one ResourceClaim may have",
)
SELECTORS: Final = rule(
    f"({A_CLASS}) || !has(self.selectors) || size(self.selectors) == 0",
    "selectors choose among the devices of a DeviceClass: name it in deviceClassName",
)


def _gpu(text: str) -> str:
    if not re.match(GPU_PATTERN, text):
        raise ValueError(GPU_MESSAGE)
    return text


def _product(text: str) -> str:
    if not re.match(PRODUCT_PATTERN, text):
        raise ValueError(PRODUCT_MESSAGE)
    return text


def _class(text: str) -> str:
    if not re.match(CLASS_PATTERN, text):
        raise ValueError(CLASS_MESSAGE)
    return text


class Gpu(Struct):
    """The GPUs of one replica: a device plugin's by resource, or a DRA driver's by deviceClassName."""

    model_config = ConfigDict(json_schema_extra=rules(EITHER, DEVICES, SELECTORS))

    resource: Annotated[
        str,
        Field(max_length=253, json_schema_extra=rules(rule(f"self.matches('{GPU_PATTERN}')", GPU_MESSAGE))),
        AfterValidator(_gpu),
    ] = DEFAULT_RESOURCE
    """Extended resource that is requested: VENDOR/gpu, VENDOR/gpu.shared or VENDOR/mig-PROFILE."""
    device_class_name: Annotated[
        str,
        Field(max_length=253, json_schema_extra=rules(rule(f"self.matches('{CLASS_PATTERN}')", CLASS_MESSAGE))),
        AfterValidator(_class),
    ] = ""
    """DeviceClass, such as gpu.nvidia.com: each replica has a ResourceClaim for count of its devices (Dynamic Resource
    Allocation) instead of the extended resource; empty: none."""
    selectors: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=10240)]],
        Field(max_length=8),
    ] = []
    """CEL expressions that each device of deviceClassName must satisfy, for example
    device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('20Gi'))."""
    count: Annotated[int, Field(ge=0, le=64)] = 1
    """GPUs of one replica: units of resource, or devices of deviceClassName; 0 serves on the CPU."""
    product: Annotated[
        str,
        Field(max_length=63, json_schema_extra=rules(rule(f"self.matches('{PRODUCT_PATTERN}')", PRODUCT_MESSAGE))),
        AfterValidator(_product),
    ] = ""
    """GPU product that the pods must run on; empty: any. By the node label nvidia.com/gpu.product, or, with
    deviceClassName, by the device's attribute productName, whose spaces are written as '-'."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        broken = (
            (EITHER, self.device_class_name and self.resource != DEFAULT_RESOURCE),
            (DEVICES, self.device_class_name and self.count > CLAIM_DEVICES),
            (SELECTORS, self.selectors and not self.device_class_name),
        )
        for kept, wrong in broken:
            if wrong:
                raise ValueError(kept["message"])
        return self
