"""From an object of the API server to a Holding: what it holds, since when, until when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from modelmeter.api.cost_statement import Certainty
from modelmeter.api.names import PRICE_PROFILE
from modelmeter.api.scalars import quantity
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE, Holding, Profile
from modelmeter.meter.objects import Claim, Container, ContainerStatus, Node, Pod

TERMINAL: Final = ("Succeeded", "Failed")
SANDBOX: Final = "PodReadyToStartContainers"
"""Condition that says whether the pod's sandbox stands; of Kubernetes 1.29 and later."""

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


def captured_profile(pod: Pod) -> Profile | None:
    """The profile that was captured on the pod, if any."""
    text = pod.metadata.annotations.get(PRICE_PROFILE)
    return decode_profile(text) if text else None


def pod_holding(pod: Pod, nodes: Mapping[str, Node]) -> Holding | None:
    """What a pod holds; None while it is not scheduled (it holds nothing, and costs nothing).

    A pod that was deleted before it was scheduled is a holding of no length, so that it is settled.
    """
    start, start_certainty = scheduled_at(pod)
    if start is None:
        gone = pod.metadata.deletion_timestamp
        return Holding(pod.metadata.uid, gone, gone, {}, Profile()) if gone else None
    end, end_certainty = ended_at(pod, nodes)
    node = nodes.get(pod.spec.node_name)
    profile = captured_profile(pod) or (node_profile(node) if node else None)
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
    )


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


def ended_at(pod: Pod, nodes: Mapping[str, Node]) -> tuple[datetime | None, Certainty]:
    """When the pod gave its resources back; None while it holds them. A restart gives nothing back.

    1. Terminal phase: the last container's finishedAt, where it ran until it was told to end or later. The kubelet's
       own word; exact.
    2. Terminal phase, and no container ran when the pod was told to end (it waited for an image, or to start one once
       more): the end of its sandbox. The kubelet's own word; exact.
    3. Terminal phase without either: when it was told to end, else the last transition of its conditions; estimated.
    4. Deleted by force (grace period 0), or deleted and its node is gone: deletionTimestamp; estimated.
    """
    deleted = pod.metadata.deletion_timestamp
    if pod.status.phase in TERMINAL:
        finished = _last_finished((*pod.status.container_statuses, *pod.status.init_container_statuses))
        told = _told_to_end(pod)
        if finished and (told is None or finished >= told):
            return finished, "exact"
        if sandbox := _transition(pod, SANDBOX, "False"):
            return max(sandbox, finished or sandbox), "exact"
        if told:
            return told, "estimated"
        changes = [
            condition.last_transition_time
            for condition in pod.status.conditions
            if condition.type != "PodScheduled" and condition.last_transition_time
        ]
        return max(changes, default=deleted or pod.metadata.creation_timestamp), "estimated"
    if deleted and (pod.metadata.deletion_grace_period_seconds == 0 or pod.spec.node_name not in nodes):
        return deleted, "estimated"
    return None, "exact"


def _told_to_end(pod: Pod) -> datetime | None:
    """When the pod was evicted or preempted, or its deletion asked for: the earlier; None where it was neither."""
    asked = pod.metadata.deletion_timestamp
    if asked is not None:
        # The API server writes down when the grace period will be over.
        asked -= timedelta(seconds=pod.metadata.deletion_grace_period_seconds or 0)
    return min((moment for moment in (asked, _transition(pod, "DisruptionTarget", "True")) if moment), default=None)


def _transition(pod: Pod, kind: str, status: str) -> datetime | None:
    for condition in pod.status.conditions:
        if (condition.type, condition.status) == (kind, status):
            return condition.last_transition_time
    return None


def _last_finished(statuses: Iterable[ContainerStatus]) -> datetime | None:
    ended = [
        state.terminated.finished_at
        for status in statuses
        for state in (status.state, status.last_state)
        if state.terminated and state.terminated.finished_at
    ]
    return max(ended, default=None)


def amounts(pod: Pod) -> Mapping[str, int]:
    """Whole units that the pod holds: GPUs, millicores, bytes, and itself as a replica."""
    spec = pod.spec
    return _amounts(
        tuple(_requests(container) for container in spec.containers),
        tuple((container.restart_policy == "Always", _requests(container)) for container in spec.init_containers),
        tuple(sorted(spec.overhead.items())),
    )


Requests = tuple[tuple[str, str], ...]


def _requests(container: Container) -> Requests:
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
    )


def claim_amounts(claim: Claim) -> Mapping[str, int]:
    """Whole units that a bound claim holds: the bytes of its capacity."""
    units = quantity(claim.status.capacity["storage"])
    return {STORAGE: -(-units.numerator // units.denominator)}
