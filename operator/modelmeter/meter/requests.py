"""What pods and claims ask for, and so hold, in whole units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec
from msgspec import Struct

from modelmeter.api.names import HELD_AT_FIRST
from modelmeter.api.scalars import quantity
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE
from modelmeter.meter.objects import Claim, Container, Pod, PodSpec
from modelmeter.meter.profiles import CLAIM_UNKNOWN, Captured, Parts
from modelmeter.meter.shares import is_gpu

Requests = tuple[tuple[str, str], ...]


def requests(pod: Pod) -> Mapping[str, int]:
    """Whole units that the pod requests: millicores, bytes, itself as a replica, and GPUs by their resource."""
    spec = pod.spec
    return _requests_of(
        tuple(_requests(container) for container in spec.containers),
        tuple((container.restart_policy == "Always", _requests(container)) for container in spec.init_containers),
        tuple(sorted(spec.overhead.items())),
        _requests(spec),
    )


def gpu_resources(pod: Pod) -> list[str]:
    """Names of the GPU resources that the pod requests."""
    return [resource for resource in requests(pod) if is_gpu(resource)]


def held_by(pod: Pod, known: Captured) -> tuple[dict[str, int], Parts]:
    """What a pod holds as `Holding.amounts` and `Holding.slices`: GPU resources become whole GPUs or parts of them.

    A resource for which the scheduler has made a ResourceClaim is left out once the claim's devices are known: it
    would count twice.
    """
    extended = pod.status.extended_resource_claim_status
    claimed: set[str] = set()
    if extended is not None and known.reason != CLAIM_UNKNOWN:
        claimed = {mapping.resource_name for mapping in extended.request_mappings}
    return divide({item: units for item, units in requests(pod).items() if item not in claimed}, known.shares)


def divide(asked: Mapping[str, int], shares: Mapping[str, str]) -> tuple[dict[str, int], Parts]:
    """Requests as whole GPUs and parts of them, by the share of a GPU that one unit of a resource is."""
    amounts: dict[str, int] = {}
    slices: dict[str, int] = {}
    for item, units in asked.items():
        if not is_gpu(item):
            amounts[item] = units
        elif share := shares.get(item, ""):
            slices[share] = slices.get(share, 0) + units
        else:
            amounts[GPU] = amounts.get(GPU, 0) + units
    return amounts, slices


class _AtFirst(Struct, frozen=True, forbid_unknown_fields=True):
    """The annotation that keeps what a pod held at first; people can write it, too."""

    uid: str
    amounts: dict[str, int]


def encode_at_first(held: Mapping[str, int], pod: Pod) -> str:
    """The annotation's text for a pod."""
    return msgspec.json.encode(_AtFirst(pod.metadata.uid, dict(held)), order="sorted").decode()


def held_at_first(pod: Pod) -> Mapping[str, int] | None:
    """What was noted of a pod; None where nothing was, or of another pod."""
    noted = _decode_at_first(pod.metadata.annotations.get(HELD_AT_FIRST, ""))
    return noted.amounts if noted and noted.uid == pod.metadata.uid else None


@lru_cache(maxsize=4096)
def _decode_at_first(text: str) -> _AtFirst | None:
    try:
        noted = msgspec.json.decode(text, type=_AtFirst)
    except msgspec.MsgspecError:
        return None
    valid = all(item in (GPU, CPU, MEMORY, REPLICA) and units > 0 for item, units in noted.amounts.items())
    return noted if valid else None


def claim_amounts(claim: Claim) -> Mapping[str, int]:
    """Whole units that a claim holds: the bytes of its capacity, or of its request where it has lost that."""
    sizes = claim.status.capacity or claim.spec.resources.requests
    units = quantity(sizes.get("storage", "0"))
    return {STORAGE: -(-units.numerator // units.denominator)}


def _requests(holder: Container | PodSpec) -> Requests:
    return tuple(sorted(holder.resources.requests.items()))


@lru_cache(maxsize=1024)
def _requests_of(
    containers: tuple[Requests, ...], inits: tuple[tuple[bool, Requests], ...], overhead: Requests, whole: Requests
) -> Mapping[str, int]:
    """Kubernetes' own rule: the larger of all containers together and the hungriest start-up step.

    What is requested of CPU and memory for the pod as a `whole` counts instead; its overhead comes on top.
    """
    running: dict[str, int] = {}
    for requests in containers:
        _add(running, requests)
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for stays, requests in inits:
        step = dict(sidecars)
        _add(step, requests)
        peak = {item: max(step.get(item, 0), peak.get(item, 0)) for item in {*step, *peak}}
        if stays:
            sidecars = step
    for item, units in sidecars.items():
        running[item] = running.get(item, 0) + units
    held = {item: max(running.get(item, 0), peak.get(item, 0)) for item in {*running, *peak}}
    of_whole: dict[str, int] = {}
    _add(of_whole, [(resource, text) for resource, text in whole if not is_gpu(resource)])
    held |= of_whole
    _add(held, overhead)
    return {REPLICA: 1, **{item: units for item, units in sorted(held.items()) if units}}


def _add(sums: dict[str, int], requests: Iterable[tuple[str, str]]) -> None:
    for resource, text in requests:
        if resource in (CPU, MEMORY) or is_gpu(resource):
            units = quantity(text) * (1000 if resource == CPU else 1)
            sums[resource] = sums.get(resource, 0) + -(-units.numerator // units.denominator)
