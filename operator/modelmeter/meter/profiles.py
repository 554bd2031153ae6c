"""What is noted on a pod while its node and its devices are there to tell: what decides its price, and its shares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from modelmeter.api.names import PRICE_PROFILE
from modelmeter.meter.holding import Profile, share_text
from modelmeter.meter.objects import Node, Pod
from modelmeter.meter.shares import PRODUCT, device_product, part

ON_DEMAND: Final = "on-demand"
CAPACITY_LABELS: Final = {
    "karpenter.sh/capacity-type": {"spot": "spot", "on-demand": ON_DEMAND, "reserved": "reserved"},
    "eks.amazonaws.com/capacityType": {"SPOT": "spot", "ON_DEMAND": ON_DEMAND, "CAPACITY_BLOCK": "reserved"},
    "cloud.google.com/gke-spot": {"true": "spot"},
    "cloud.google.com/gke-provisioning": {"spot": "spot", "preemptible": "spot", "standard": ON_DEMAND},
    "kubernetes.azure.com/scalesetpriority": {"spot": "spot", "regular": ON_DEMAND},
}
"""Label to value to capacity type. Clouds label the exception, so a node without any is on demand."""

CLAIM_UNKNOWN: Final = "ClaimUnknown"
"""Reason: the devices of a ResourceClaim were never seen, so its GPUs are not counted."""

Parts = Mapping[str, int]
"""A share of a GPU ("1/7"; empty: whole) to how many such parts."""


class Captured(NamedTuple):
    """All that must outlive the node: a spot node may be gone when the pod settles."""

    profile: Profile
    shares: Mapping[str, str] = {}
    """Resource to the share of a GPU that one unit of it is; whole GPUs are left out."""
    claims: Mapping[str, Parts] = {}
    """UID of each ResourceClaim of the pod to the GPUs that are allocated to it."""
    reason: str = ""
    """Why something of it is an estimate, or empty."""


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
        gpu_product=device_product(labels.get(PRODUCT, "")),
        instance_type=labels.get("node.kubernetes.io/instance-type", ""),
        region=labels.get("topology.kubernetes.io/region", ""),
        capacity_type=capacity,
    )


def on_node(node: Node, resources: Iterable[str]) -> Captured:
    """What a node says of a pod that requests these GPU resources."""
    parts = {resource: part(resource, node.metadata.labels) for resource in resources}
    return Captured(
        profile=node_profile(node),
        shares={resource: text for resource, found in sorted(parts.items()) if (text := share_text(found.share))},
        reason=next((found.reason for found in parts.values() if found.reason), ""),
    )


def encode(captured: Captured) -> str:
    """The annotation's text; what is empty is left out."""
    kept: dict[str, Any] = {**captured.profile._asdict(), **captured._asdict()}
    del kept["profile"]
    return json.dumps({name: value for name, value in kept.items() if value}, sort_keys=True)


@lru_cache(maxsize=4096)
def decode(text: str) -> Captured | None:
    """Read the annotation; None where it is not one of ours."""
    try:
        kept = json.loads(text)
        rest = {name: kept.pop(name) for name in ("shares", "claims", "reason") if name in kept}
        return Captured(Profile(**kept), **rest)
    except (ValueError, TypeError, AttributeError):
        return None


def captured(pod: Pod) -> Captured | None:
    """What was captured on the pod, if anything."""
    text = pod.metadata.annotations.get(PRICE_PROFILE)
    return decode(text) if text else None
