"""From an object of the API server to a Holding: what it holds, since when, until when."""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from modelmeter.api.cost_statement import Certainty
from modelmeter.api.names import HELD_AT_FIRST, METERING_FINALIZER, PRICE_PROFILE
from modelmeter.api.scalars import quantity
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE, Holding, Profile
from modelmeter.meter.objects import Claim, ContainerStatus, Metadata, Node, Pod
from modelmeter.meter.objects import Container as PodContainer

TERMINAL: Final = ("Succeeded", "Failed")

ON_DEMAND: Final = "on-demand"
CAPACITY_LABELS: Final = {
    "karpenter.sh/capacity-type": {"spot": "spot", "on-demand": ON_DEMAND, "reserved": "reserved"},
    "eks.amazonaws.com/capacityType": {"SPOT": "spot", "ON_DEMAND": ON_DEMAND, "CAPACITY_BLOCK": "reserved"},
    "cloud.google.com/gke-spot": {"true": "spot"},
    "cloud.google.com/gke-provisioning": {"spot": "spot", "preemptible": "spot", "standard": ON_DEMAND},
    "kubernetes.azure.com/scalesetpriority": {"spot": "spot", "regular": ON_DEMAND},
}
"""Label to value to capacity type. Clouds label the exception, so a node without any is on demand."""


def node_profile(node: Node) -> Profile:
    """The price profile of pods on a node, from its labels."""
    labels = node.metadata.labels
    capacity = next(
        (
            types[labels[label]]
            for label, types in CAPACITY_LABELS.items()
            if label in labels and labels[label] in types
        ),
        ON_DEMAND,
    )
    return Profile(
        gpu_product=labels.get("nvidia.com/gpu.product", ""),
        instance_type=labels.get("node.kubernetes.io/instance-type", ""),
        region=labels.get("topology.kubernetes.io/region", ""),
        capacity_type=capacity,
    )


def encode_profile(profile: Profile) -> str:
    """The annotation that keeps a pod's profile when its node is gone."""
    return json.dumps({name: value for name, value in profile._asdict().items() if value}, sort_keys=True)


@lru_cache(maxsize=4096)
def decode_profile(text: str) -> Profile | None:
    """Read the annotation; None where it is not one of ours."""
    try:
        return Profile(**json.loads(text))
    except (ValueError, TypeError):
        return None


def encode_amounts(held: Mapping[str, int]) -> str:
    """The annotation that keeps what a pod held at first."""
    return json.dumps(dict(held), sort_keys=True)


@lru_cache(maxsize=4096)
def decode_amounts(text: str) -> Mapping[str, int] | None:
    """Read the annotation; None where it is not one of ours."""
    try:
        return {str(item): int(units) for item, units in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return None


def captured_profile(pod: Pod) -> Profile | None:
    """The profile that was captured on the pod, if any."""
    text = pod.metadata.annotations.get(PRICE_PROFILE)
    return decode_profile(text) if text else None


def pod_holding(pod: Pod, nodes: Mapping[str, Node], lost: Container[str]) -> Holding | None:
    """What a pod holds; None while it is not scheduled (it holds nothing, and costs nothing).

    `lost` names nodes that are known to be gone. A pod whose node is neither there nor lost is None, too:
    the watch has yet to show the node, and with it the price. A pod that was deleted before it was
    scheduled is a holding of no length, so that it is settled.
    """
    start, start_certainty = scheduled_at(pod)
    if start is None:
        gone = pod.metadata.deletion_timestamp
        return Holding(pod.metadata.uid, gone, gone, {}, Profile()) if gone else None
    end, end_certainty = ended_at(pod, lost)
    node = nodes.get(pod.spec.node_name)
    profile = captured_profile(pod) or (node_profile(node) if node else None)
    if profile is None and pod.spec.node_name not in lost:
        return None
    certainties: tuple[Certainty, ...] = (
        start_certainty,
        end_certainty,
        "exact" if profile else "estimated",
    )
    return Holding(
        uid=pod.metadata.uid,
        start=start,
        end=None if end is None else max(start, end),
        amounts=amounts(pod),
        profile=profile or Profile(),
        certainty="estimated" if "estimated" in certainties else "exact",
        resized=resized_at(pod),
        at_first=decode_amounts(pod.metadata.annotations.get(HELD_AT_FIRST, "")),
    )


def was_released(pod: Pod) -> bool:
    """Whether a finished pod is on the ledger already, however long it stays: we noted it, and let go of it."""
    noted = PRICE_PROFILE in pod.metadata.annotations
    return noted and pod.status.phase in TERMINAL and METERING_FINALIZER not in pod.metadata.finalizers


def resized_at(pod: Pod) -> datetime | None:
    """When a pod was last resized in place; None where it never was."""
    times = (entry.time for entry in pod.metadata.managed_fields if entry.subresource == "resize")
    return max((time for time in times if time is not None), default=None)


def scheduled_at(pod: Pod) -> tuple[datetime | None, Certainty]:
    """When the pod got its node: from then on nobody else can have its GPUs.

    1. PodScheduled's transition: the scheduler's own word.
    2. startTime, then creationTimestamp: pods bound without a scheduler; estimated.
    """
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "True":
            return condition.last_transition_time, "exact"
    if not pod.spec.node_name:
        return None, "exact"
    return pod.status.start_time or pod.metadata.creation_timestamp, "estimated"


def ended_at(pod: Pod, lost: Container[str]) -> tuple[datetime | None, Certainty]:
    """When the pod gave its resources back; None while it holds them. A restart gives nothing back.

    1. Terminal phase, and every container is said to have ended: the last one's finishedAt; exact.
    2. Terminal phase without it: when it was disrupted or deleted, whichever was first; else the last
       transition of its conditions; estimated.
    3. Deleted by force (grace period 0), or deleted and its node is lost: its deletion; estimated.

    A pod's deletion is when somebody asked for it, without the grace period: that stays the same when force follows.
    """
    deleted = _deletion(pod.metadata)
    if pod.status.phase in TERMINAL:
        if finished := _finished(pod, deleted):
            return finished, "exact"
        changes = {
            condition.type: condition.last_transition_time
            for condition in pod.status.conditions
            if condition.type != "PodScheduled" and condition.last_transition_time
        }
        stopped = [at for at in (changes.get("DisruptionTarget"), deleted) if at]
        return min(stopped, default=max(changes.values(), default=pod.metadata.creation_timestamp)), "estimated"
    if deleted and (pod.metadata.deletion_grace_period_seconds == 0 or pod.spec.node_name in lost):
        return deleted, "estimated"
    return None, "exact"


def _deletion(metadata: Metadata) -> datetime | None:
    """When the deletion was asked for: deletionTimestamp is the grace period later."""
    if metadata.deletion_timestamp is None:
        return None
    return metadata.deletion_timestamp - timedelta(seconds=metadata.deletion_grace_period_seconds or 0)


def _finished(pod: Pod, deleted: datetime | None) -> datetime | None:
    """The last container's end, where every container is said to have ended.

    lastState says nothing: after that run the pod held its resources on. Containers that never ran say nothing
    either, unless start-up failed, and nobody deleted the pod: then a failed init container was the last to end.
    """
    status = pod.status
    main = [_end(container) for container in status.container_statuses]
    if main and all(main):
        ends = (*main, *map(_end, status.init_container_statuses))
        return max(end for end in ends if end)
    failed = [_end(container) for container in status.init_container_statuses if _failed(container)]
    never_ran = all(container.last_state.terminated is None for container in status.container_statuses)
    return max((end for end in failed if end), default=None) if never_ran and deleted is None else None


def _end(status: ContainerStatus) -> datetime | None:
    return status.state.terminated.finished_at if status.state.terminated else None


def _failed(status: ContainerStatus) -> bool:
    return status.state.terminated is not None and status.state.terminated.exit_code != 0


def amounts(pod: Pod) -> Mapping[str, int]:
    """Whole units that the pod holds: GPUs, millicores, bytes, and itself as a replica."""
    spec = pod.spec
    return _amounts(
        tuple(_requests(container) for container in spec.containers),
        tuple((container.restart_policy == "Always", _requests(container)) for container in spec.init_containers),
        tuple(sorted(spec.overhead.items())),
    )


Requests = tuple[tuple[str, str], ...]


def _requests(container: PodContainer) -> Requests:
    return tuple(sorted(container.resources.requests.items()))


@lru_cache(maxsize=1024)
def _amounts(
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
    return {REPLICA: 1, **{item: held[item] for item in (GPU, CPU, MEMORY) if held.get(item)}}


def _add(sums: dict[str, int], requests: Requests) -> None:
    for resource, text in requests:
        if item := _item(resource):
            units = quantity(text) * (1000 if item == CPU else 1)
            sums[item] = sums.get(item, 0) + -(-units.numerator // units.denominator)


def _item(resource: str) -> str:
    if resource in (CPU, MEMORY):
        return resource
    return GPU if resource.endswith("/gpu") or resource.startswith("nvidia.com/mig-") else ""


def claim_holding(claim: Claim, users: Collection[Holding] = ()) -> Holding | None:
    """What a claim holds: its capacity from when it was bound to its deletion; None while it is not bound.

    `users` are pods that mount it: a deleted claim is kept until the last of them has ended.
    """
    created = claim.metadata.creation_timestamp
    deleted = claim.metadata.deletion_timestamp
    if created is None:
        return None
    if claim.status.phase != "Bound" or "storage" not in claim.status.capacity:
        return Holding(claim.metadata.uid, deleted, deleted, {}, Profile()) if deleted else None
    bound = _bound_at(claim.metadata)
    start = bound or created
    used = any(user.end is None for user in users)
    ends = [user.end for user in users if user.end is not None]
    return Holding(
        uid=claim.metadata.uid,
        start=start,
        end=max(start, deleted, *ends) if deleted and not used else None,
        amounts=claim_amounts(claim),
        profile=Profile(storage_class=claim.spec.storage_class_name),
        certainty="exact" if bound and all(user.certainty == "exact" for user in users if deleted) else "estimated",
        resized=_capacity_changed(claim.metadata),
    )


def _bound_at(metadata: Metadata) -> datetime | None:
    """When a claim was bound: whoever owns its phase wrote it then."""
    times = (entry.time for entry in metadata.managed_fields if entry.owned.status.phase is not None)
    return min((time for time in times if time is not None), default=None)


def _capacity_changed(metadata: Metadata) -> datetime | None:
    """When a claim got its present capacity, if ever somebody asked for another one than at first."""
    entries = [entry for entry in metadata.managed_fields if entry.time is not None]
    asked = any(
        entry.owned.spec.resources is not None and entry.time != metadata.creation_timestamp for entry in entries
    )
    got = (entry.time for entry in entries if entry.owned.status.capacity is not None)
    return max((time for time in got if time is not None), default=None) if asked else None


def claim_amounts(claim: Claim) -> Mapping[str, int]:
    """Whole units that a bound claim holds: the bytes of its capacity."""
    units = quantity(claim.status.capacity["storage"])
    return {STORAGE: -(-units.numerator // units.denominator)}


def claims_of(pod: Pod) -> list[str]:
    """Names of the claims that a pod mounts."""
    return [volume.persistent_volume_claim.claim_name for volume in pod.spec.volumes if volume.persistent_volume_claim]
