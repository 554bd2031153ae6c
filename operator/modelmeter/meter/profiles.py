"""What is noted on a pod while its node and its devices are there to tell: what decides its price, and its shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from modelmeter.api.names import PRICE_PROFILE
from modelmeter.meter.holding import Profile, share_of, share_text
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

_SHARE: Final = re.compile(r"[1-9][0-9]{0,17}/[1-9][0-9]{0,17}")

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


class Noted(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The annotation: what was captured, and on which pod and node; people can write it, too."""

    uid: str
    node: str
    gpu_product: str = ""
    instance_type: str = ""
    region: str = ""
    capacity_type: str = ""
    shares: dict[str, str] = {}
    claims: dict[str, dict[str, int]] = {}
    reason: str = ""


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


def encode(captured: Captured, pod: Pod) -> str:
    """The annotation's text for a pod; what is empty is left out."""
    profile = captured.profile
    noted = Noted(
        uid=pod.metadata.uid,
        node=pod.spec.node_name,
        gpu_product=profile.gpu_product,
        instance_type=profile.instance_type,
        region=profile.region,
        capacity_type=profile.capacity_type,
        shares=dict(captured.shares),
        claims={claim: dict(parts) for claim, parts in captured.claims.items()},
        reason=captured.reason,
    )
    return msgspec.json.encode(noted).decode()


@lru_cache(maxsize=4096)
def decode(text: str) -> Noted | None:
    """Read the annotation; None where it is not one of ours."""
    try:
        noted = msgspec.json.decode(text, type=Noted)
    except msgspec.MsgspecError:
        return None
    claims = noted.claims.values()
    shares = (*noted.shares.values(), *(share for parts in claims for share in parts if share))
    counts = (units for parts in claims for units in parts.values())
    return noted if all(map(_is_share, shares)) and all(units > 0 for units in counts) else None


def captured(pod: Pod) -> Captured | None:
    """What was captured on the pod, if anything; what was noted on another pod, and copied, does not count."""
    noted = decode(pod.metadata.annotations.get(PRICE_PROFILE, ""))
    if noted is None or (noted.uid, noted.node) != (pod.metadata.uid, pod.spec.node_name):
        return None
    profile = Profile(noted.gpu_product, noted.instance_type, noted.region, noted.capacity_type)
    return Captured(profile, noted.shares, noted.claims, noted.reason)


def _is_share(text: str) -> bool:
    """Whether it is a part of a whole GPU: more than nothing, and no more than all of it."""
    return _SHARE.fullmatch(text) is not None and share_of(text) <= 1
