"""From an object of the API server to a Holding: what it holds, since when, until when."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Mapping
from datetime import datetime
from typing import Final

from modelmeter.api.cost_statement import REVISION
from modelmeter.api.names import LABEL_STAGE, MANAGED_BY, METERING_FINALIZER, SERVING, TEMPLATE_HASH
from modelmeter.meter.devices import claim_names
from modelmeter.meter.holding import Holding, Profile, Shared
from modelmeter.meter.lifetime import (
    TERMINAL,
    bound_at,
    capacity_changed_at,
    ended_at,
    lost_at,
    resized_at,
    scheduled_at,
)
from modelmeter.meter.objects import Claim, Metadata, Node, Pod
from modelmeter.meter.profiles import CLAIM_UNKNOWN, Captured, captured, on_node
from modelmeter.meter.requests import claim_amounts, gpu_resources, held_at_first, held_by
from modelmeter.meter.uses import Use, Uses

VOLUME_LOST: Final = "VolumeLost"
"""Reason of an estimate: the volume of a claim is gone."""


def pod_holding(
    pod: Pod, nodes: Mapping[str, Node], lost: Container[str] = (), uses: Mapping[str, Uses] | None = None
) -> Holding | None:
    """What a pod holds; None while it is not scheduled (it holds nothing, and costs nothing).

    `lost` names nodes that are known to be gone. A pod whose node is neither there nor lost is None, too:
    the watch has yet to show the node, and with it the price. `uses` says, by UID of its ResourceClaims, which
    pods use them; one that it does not name is the pod's own. A pod that was deleted before it was scheduled is a
    holding of no length, so that it is settled.
    """
    start, start_reason = scheduled_at(pod)
    if start is None:
        gone = pod.metadata.deletion_timestamp
        return Holding(pod.metadata.uid, gone, gone, {}, Profile()) if gone else None
    known = _known(pod, nodes, lost)
    if known is None:
        return None
    end, end_reason = ended_at(pod, lost)
    own = Use(start, None if end is None else max(start, end))
    amounts, slices = held_by(pod, known)
    reason = end_reason or start_reason or known.reason
    return Holding(
        uid=pod.metadata.uid,
        start=start,
        end=own.end,
        amounts=amounts,
        profile=known.profile,
        certainty="estimated" if reason else "exact",
        slices=slices,
        shared=tuple(
            Shared(uid, parts, {**(uses or {}).get(uid, {}), pod.metadata.uid: own})
            for uid, parts in known.claims.items()
        ),
        stage=_stage(pod.metadata),
        reason=reason,
        revision=_revision(pod.metadata),
        resized=resized_at(pod.metadata),
        at_first=held_at_first(pod),
    )


def use_of(pod: Pod, lost: Container[str] = ()) -> Use | None:
    """Since when and until when a pod uses its ResourceClaims; None while it is not scheduled."""
    start, _ = scheduled_at(pod)
    end, _ = ended_at(pod, lost)
    return None if start is None else Use(start, None if end is None else max(start, end))


def _known(pod: Pod, nodes: Mapping[str, Node], lost: Container[str]) -> Captured | None:
    """What was captured on the pod, else what its node says now; of a node that is lost nothing, an estimate."""
    if known := captured(pod):
        return known
    node = nodes.get(pod.spec.node_name)
    if node is None:
        return Captured(Profile(), reason="NodeUnknown") if pod.spec.node_name in lost else None
    now = on_node(node, gpu_resources(pod))
    return now._replace(reason=CLAIM_UNKNOWN) if claim_names(pod) else now


def _stage(metadata: Metadata) -> str:
    """The stage that a pod or claim is labelled with; empty: serving."""
    stage = metadata.labels.get(LABEL_STAGE, "")
    return "" if stage == SERVING else stage


def _revision(metadata: Metadata) -> str:
    """The revision of a replica; empty where a pod is none, or says one that cannot be."""
    revision = metadata.annotations.get(TEMPLATE_HASH, "")
    replica = MANAGED_BY.items() <= metadata.labels.items() and not _stage(metadata)
    return revision if replica and re.fullmatch(REVISION, revision) else ""


def to_be_noted(pod: Pod) -> bool:
    """Whether it is to be noted on a pod what decides its price.

    Only while it carries our finalizer, which leaves once the pod is posted: see `was_released`.
    """
    return bool(pod.spec.node_name) and METERING_FINALIZER in pod.metadata.finalizers and captured(pod) is None


def was_released(pod: Pod) -> bool:
    """Whether a finished pod is on the ledger already, however long it stays: we noted it, and let go of it."""
    released = pod.status.phase in TERMINAL and METERING_FINALIZER not in pod.metadata.finalizers
    return released and captured(pod) is not None


def claims_of(pod: Pod) -> list[str]:
    """Names of the claims that a pod mounts."""
    volumes = pod.spec.volumes
    named = [volume.persistent_volume_claim.claim_name for volume in volumes if volume.persistent_volume_claim]
    return named + own_claims_of(pod)


def own_claims_of(pod: Pod) -> list[str]:
    """Names of those that are made for it and go with it (generic ephemeral volumes): POD-VOLUME."""
    return [f"{pod.metadata.name}-{volume.name}" for volume in pod.spec.volumes if volume.ephemeral is not None]


def claim_holding(claim: Claim, now: datetime, users: Collection[Holding] = ()) -> Holding | None:
    """What a claim holds: its capacity from when it was bound to its deletion; None while it is not bound.

    `users` are pods that mount it: a deleted claim is kept until the last of them has ended.
    Estimated where nobody noted when it was bound (BoundUnknown), or how such a pod ended; and where its volume was
    lost (VolumeLost): then it has ended, and says no longer what its capacity was.
    """
    created = claim.metadata.creation_timestamp
    deleted = claim.metadata.deletion_timestamp
    if created is None:
        return None
    lost = lost_at(claim.metadata, now) if claim.status.phase == "Lost" else None
    if lost is None and (claim.status.phase != "Bound" or "storage" not in claim.status.capacity):
        return Holding(claim.metadata.uid, deleted, deleted, {}, Profile()) if deleted else None
    bound = bound_at(claim.metadata, now)
    start = bound or created
    used = any(user.end is None for user in users)
    ends = [user.end for user in users if user.end is not None]
    reason = "" if bound else "BoundUnknown"
    if deleted and not reason:
        reason = next((user.reason for user in users if user.reason), "")
    end = max(start, deleted, *ends) if deleted and not used else None
    if lost is not None:
        reason, end = VOLUME_LOST, max(start, min(lost, end or lost))
    return Holding(
        uid=claim.metadata.uid,
        start=start,
        end=end,
        amounts=claim_amounts(claim),
        profile=Profile(storage_class=claim.spec.storage_class_name),
        certainty="estimated" if reason else "exact",
        stage=_stage(claim.metadata),
        reason=reason,
        # What a page knows of it counts until then.
        resized=capacity_changed_at(claim.metadata) if lost is None else end,
        at_first=claim_amounts(claim) if lost else None,
    )
