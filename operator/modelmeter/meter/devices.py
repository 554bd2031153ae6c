"""GPUs that ResourceClaims allocate (resource.k8s.io/v1): which devices.

A claim counts by its allocation, for as long as pods that are metered use it: from PodScheduled, for the scheduler
allocates it just before, to the end of the pod. Pods that use one claim at once each bear an equal part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final, NamedTuple

from modelmeter.api.names import LABEL_MODEL
from modelmeter.api.scalars import quantity
from modelmeter.meter.device_objects import Allocated, Device, ResourceClaim
from modelmeter.meter.holding import share_text
from modelmeter.meter.objects import Pod
from modelmeter.meter.profiles import Captured, Parts
from modelmeter.meter.shares import SHARE_UNKNOWN, WHOLE, Part, mig_part

GPU_DRIVERS: Final = ("gpu.nvidia.com", "gpu.amd.com", "gpu.intel.com")
"""DRA drivers whose devices are GPUs; devices of others (network, compute domains) are not priced, unless their claim
has a model's label."""

PRODUCTS_DIFFER: Final = "ProductsDiffer"
"""Reason: a pod's ResourceClaims allocate GPUs of several products, and a pod has one price profile."""

DeviceOf = Callable[[Allocated], Device | None]
"""Finds what the ResourceSlices say of an allocated device; None where they no longer do."""


class Devices(NamedTuple):
    """The GPUs of one claim; `product` as node labels would name it, `reason` why something is an estimate."""

    parts: Parts
    product: str = ""
    reason: str = ""


def claim_names(pod: Pod) -> list[str]:
    """Names of all ResourceClaims of a pod: named, made from templates, and made for extended resources."""
    made = {status.name: status.resource_claim_name for status in pod.status.resource_claim_statuses}
    names = [entry.resource_claim_name or made.get(entry.name, "") for entry in pod.spec.resource_claims]
    extended = pod.status.extended_resource_claim_status
    return [*names, *([extended.resource_claim_name] if extended else [])]


def allocated_devices(claim: ResourceClaim, device_of: DeviceOf) -> Devices | None:
    """The GPUs of a claim; None while nothing is allocated. Access for administrators takes nothing from anybody."""
    if claim.status.allocation is None:
        return None
    parts: dict[str, int] = {}
    product = reason = ""
    for result in claim.status.allocation.devices.results:
        if (LABEL_MODEL in claim.metadata.labels or result.driver in GPU_DRIVERS) and not result.admin_access:
            device = device_of(result)
            found = _part(result, device)
            share = share_text(found.share)
            parts[share] = parts.get(share, 0) + 1
            reason = reason or found.reason or _other(product, _product(device))
            product = product or _product(device)
    return Devices(parts, product, reason)


def with_claims(captured: Captured, claims: Mapping[str, Devices]) -> Captured:
    """Add the claims (by UID) of a pod to what its node says."""
    product, reason = "", captured.reason
    for devices in claims.values():
        reason = reason or devices.reason or _other(product, devices.product)
        product = product or devices.product
    return captured._replace(
        profile=captured.profile._replace(gpu_product=captured.profile.gpu_product or product),
        claims={uid: devices.parts for uid, devices in sorted(claims.items()) if devices.parts},
        reason=reason,
    )


def _part(result: Allocated, device: Device | None) -> Part:
    """A whole device, a MIG instance of one, or what is consumed of one that several claims may share."""
    if device is None:
        return Part(WHOLE.share, SHARE_UNKNOWN)
    if result.share_id:
        consumed = result.consumed_capacity.get("memory")
        memory = device.capacity.get("memory")
        if consumed is None or memory is None:
            return Part(WHOLE.share, SHARE_UNKNOWN)
        return Part(Fraction(quantity(consumed), quantity(memory.value)))
    if device.text("type") == "mig":
        return mig_part(device.text("profile"), _product(device))
    return WHOLE


def _other(product: str, another: str) -> str:
    """The reason where a pod has GPUs of two products: all are priced as the first."""
    return PRODUCTS_DIFFER if product and another and product != another else ""


def _product(device: Device | None) -> str:
    return device.text("productName").replace(" ", "-") if device else ""
