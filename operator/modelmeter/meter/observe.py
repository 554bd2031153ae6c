"""From an object of the API server to a Holding: what it holds, since when, until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from modelmeter.api.names import LABEL_STAGE
from modelmeter.api.scalars import quantity
from modelmeter.meter.devices import claim_names
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE, Holding, Profile, Shared
from modelmeter.meter.objects import Claim, Container, ContainerStatus, Metadata, Node, Pod
from modelmeter.meter.profiles import CLAIM_UNKNOWN, Captured, Parts, captured, on_node
from modelmeter.meter.shares import is_gpu

TERMINAL: Final = ("Succeeded", "Failed")
SERVING: Final = "serving"
"""The stage of what is labelled with none."""

Steps = Mapping[str, tuple[tuple[datetime, int], ...]]
"""UID of a ResourceClaim to the steps of `devices.sharing`."""


def pod_holding(pod: Pod, nodes: Mapping[str, Node], sharing: Steps | None = None) -> Holding | None:
    """What a pod holds; None while it is not scheduled (it holds nothing, and costs nothing).

    `sharing` says among how many pods its ResourceClaims are shared; one that it does not name is the pod's own.
    A pod that was deleted before it was scheduled is a holding of no length, so that it is settled.
    """
    start, start_reason = scheduled_at(pod)
    if start is None:
        gone = pod.metadata.deletion_timestamp
        return Holding(pod.metadata.uid, gone, gone, {}, Profile()) if gone else None
    end, end_reason = ended_at(pod, nodes)
    known = profile_of(pod, nodes)
    amounts, slices = divide(requests(pod), known.shares)
    reason = end_reason or start_reason or known.reason
    steps = sharing or {}
    return Holding(
        uid=pod.metadata.uid,
        start=start,
        end=None if end is None else max(start, end),
        amounts=amounts,
        profile=known.profile,
        certainty="estimated" if reason else "exact",
        slices=slices,
        shared=tuple(Shared(parts, steps.get(uid) or ((start, 1),)) for uid, parts in known.claims.items()),
        stage=stage_of(pod.metadata),
        reason=reason,
    )


def profile_of(pod: Pod, nodes: Mapping[str, Node]) -> Captured:
    """What was captured on the pod, else what its node says now, else nothing, which is an estimate."""
    node = nodes.get(pod.spec.node_name)
    if known := captured(pod):
        return known
    if node is None:
        return Captured(Profile(), reason="NodeUnknown")
    now = on_node(node, gpu_resources(pod))
    return now._replace(reason=CLAIM_UNKNOWN) if claim_names(pod) else now


def stage_of(metadata: Metadata) -> str:
    """The stage that a pod or claim is labelled with; empty: serving."""
    stage = metadata.labels.get(LABEL_STAGE, "")
    return "" if stage == SERVING else stage


def scheduled_at(pod: Pod) -> tuple[datetime | None, str]:
    """When the pod got its node: from then on nobody else can have its GPUs.

    1. PodScheduled's transition: the scheduler's own word.
    2. startTime, then creationTimestamp: pods bound without a scheduler; estimated: NotScheduled.

    Also answers the reason of an estimate, or empty.
    """
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "True":
            return condition.last_transition_time, ""
    if not pod.spec.node_name:
        return None, ""
    return pod.status.start_time or pod.metadata.creation_timestamp, "NotScheduled"


def ended_at(pod: Pod, nodes: Mapping[str, Node]) -> tuple[datetime | None, str]:
    """When the pod gave its resources back; None while it holds them. A restart gives nothing back.

    1. Terminal phase: the last container's finishedAt. The kubelet's own word; exact.
    2. Terminal phase without it: the last transition of its conditions; estimated: NoContainerEnd.
    3. Deleted by force (grace period 0): deletionTimestamp; estimated: DeletedByForce.
    4. Deleted and its node is gone: deletionTimestamp; estimated: NodeLost.

    Also answers the reason of an estimate, or empty.
    """
    deleted = pod.metadata.deletion_timestamp
    if pod.status.phase in TERMINAL:
        if finished := _last_finished((*pod.status.container_statuses, *pod.status.init_container_statuses)):
            return finished, ""
        changes = [
            condition.last_transition_time
            for condition in pod.status.conditions
            if condition.type != "PodScheduled" and condition.last_transition_time
        ]
        return max(changes, default=deleted or pod.metadata.creation_timestamp), "NoContainerEnd"
    if deleted and pod.metadata.deletion_grace_period_seconds == 0:
        return deleted, "DeletedByForce"
    if deleted and pod.spec.node_name not in nodes:
        return deleted, "NodeLost"
    return None, ""


def _last_finished(statuses: Iterable[ContainerStatus]) -> datetime | None:
    ended = [
        state.terminated.finished_at
        for status in statuses
        for state in (status.state, status.last_state)
        if state.terminated and state.terminated.finished_at
    ]
    return max(ended, default=None)


def gpu_resources(pod: Pod) -> list[str]:
    """Names of the GPU resources that the pod requests."""
    return [resource for resource in requests(pod) if is_gpu(resource)]


def requests(pod: Pod) -> Mapping[str, int]:
    """Whole units that the pod requests: millicores, bytes, itself as a replica, and GPUs by their resource.

    A resource for which the scheduler has made a ResourceClaim is left out once the claim's devices are known: it
    would count twice.
    """
    spec = pod.spec
    asked = _requests_of(
        tuple(_requests(container) for container in spec.containers),
        tuple((container.restart_policy == "Always", _requests(container)) for container in spec.init_containers),
        tuple(sorted(spec.overhead.items())),
    )
    extended = pod.status.extended_resource_claim_status
    known = captured(pod)
    if extended is None or known is None or known.reason == CLAIM_UNKNOWN:
        return asked
    claimed = {mapping.resource_name for mapping in extended.request_mappings}
    return {item: units for item, units in asked.items() if item not in claimed}


def divide(asked: Mapping[str, int], shares: Mapping[str, str]) -> tuple[dict[str, int], Parts]:
    """Requests as `Holding.amounts` and `Holding.slices`: GPU resources become whole GPUs or parts of them."""
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


Requests = tuple[tuple[str, str], ...]


def _requests(container: Container) -> Requests:
    return tuple(sorted(container.resources.requests.items()))


@lru_cache(maxsize=1024)
def _requests_of(
    containers: tuple[Requests, ...], inits: tuple[tuple[bool, Requests], ...], overhead: Requests
) -> Mapping[str, int]:
    """Kubernetes' own rule: the larger of all containers together and the hungriest start-up step."""
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
    _add(held, overhead)
    return {REPLICA: 1, **{item: units for item, units in sorted(held.items()) if units}}


def _add(sums: dict[str, int], requests: Requests) -> None:
    for resource, text in requests:
        if resource in (CPU, MEMORY) or is_gpu(resource):
            units = quantity(text) * (1000 if resource == CPU else 1)
            sums[resource] = sums.get(resource, 0) + -(-units.numerator // units.denominator)


def claim_holding(claim: Claim) -> Holding | None:
    """What a claim holds: its capacity from its creation to its deletion; None while it is not bound."""
    created = claim.metadata.creation_timestamp
    deleted = claim.metadata.deletion_timestamp
    if created is None:
        return None
    if claim.status.phase != "Bound" or "storage" not in claim.status.capacity:
        return Holding(claim.metadata.uid, deleted, deleted, {}, Profile()) if deleted else None
    return Holding(
        uid=claim.metadata.uid,
        start=created.astimezone(UTC),
        end=max(created, deleted) if deleted else None,
        amounts=claim_amounts(claim),
        profile=Profile(storage_class=claim.spec.storage_class_name),
        stage=stage_of(claim.metadata),
    )


def claim_amounts(claim: Claim) -> Mapping[str, int]:
    """Whole units that a bound claim holds: the bytes of its capacity."""
    units = quantity(claim.status.capacity["storage"])
    return {STORAGE: -(-units.numerator // units.denominator)}
