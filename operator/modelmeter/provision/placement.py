"""Why pods do not exist, or have no node: claims, admission and the scheduler, each in its own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from modelmeter.provision.observed import Observed, PodFacts

NOT_WHERE_OTHERS_ARE: Final = "didn't match pod affinity rules"
"""What the scheduler says of nodes where the model's other pods are not."""

OF_STORAGE: Final = ("persistentvolume", "storageclass")
"""What it speaks of where a claim is the reason."""
NO_VOLUME: Final = "unbound immediate PersistentVolumeClaims"
"""What it says of a claim that should have a volume before any pod comes."""
CLAIM_TO_COME: Final = ("waiting for ephemeral volume controller to create", "ResourceClaim not created yet")
"""What it says while a replica's own claim is being made."""
NO_DEVICE_CLASS: Final = re.compile(r"device class (\S+) does not exist")
NO_DEVICES: Final = "cannot allocate all claims"
"""What it says of a node that has not as many free devices as a ResourceClaim asks for."""

REMEDIES: Final = (
    ("serviceaccount ", "create it, or name another in spec.serving.serviceAccountName"),
    ("PriorityClass", "create it, or name another in spec.serving.priorityClassName"),
    ("exceeded quota", "raise the namespace's ResourceQuota, or ask for less in spec.serving"),
    ("failed quota", "give what it asks for in spec.serving.resources (requests, limits)"),
    ("violates PodSecurity", "let the namespace's label pod-security.kubernetes.io/enforce allow such pods"),
    ("usage per", "change spec.serving.resources or the namespace's LimitRange"),
    ("", "change spec.serving, or what forbids such pods in this namespace"),
)
"""Words of those that refuse pods, and what to do about it; the first that is said holds."""


def source_claim_not_found(seen: Observed) -> str | None:
    """Also where it is there but on its way out."""
    said = f'persistentvolumeclaim "{seen.source_claim}" '
    pod = next((pod for pod in _refused(seen) if said in pod.scheduling_message), None) if seen.source_claim else None
    if pod is None:
        return None
    claim = f"{pod.name} waits for claim {seen.source_claim} of spec.model.source, which"
    if f"{said}is being deleted" in pod.scheduling_message:
        return f"{claim} is being deleted; create it again once it is gone, or name another claim"
    return f"{claim} does not exist in this namespace; create it, or name another claim"


def claim_terminating(seen: Observed) -> str | None:
    """Somebody deleted the model's own claim, which goes only after the pods that use it."""
    if seen.claim is None or not seen.claim.deleting:
        return None
    # A replica's own claim goes with its pod, and no other pod waits for it.
    said = f'persistentvolumeclaim "{seen.claim.name}" is being deleted'
    pod = next((pod for pod in _refused(seen) if said in pod.scheduling_message), None)
    if pod is None:
        return None
    users = [other.name for other in seen.pods if other.scheduled and not other.ended]
    wait = f"once {', '.join(users)} has ended" if users else "once its last second is on the ledger"
    return (
        f"claim {seen.claim.name} is being deleted, so {pod.name} gets no node; {wait}, the claim is gone, made again"
        " and the model fetched again: scale spec.serving.replicas to 0 and back to hasten it"
    )


def claim_pending(seen: Observed) -> str | None:
    """A claim that waits for its first consumer is not what its pods wait for."""
    claim = seen.claim
    if claim is None or claim.phase == "Bound":
        return None
    said = next(filter(_is_of_storage, (pod.scheduling_message for pod in _refused(seen))), "")
    if claim.phase == "Pending" and not said:
        return None
    name = claim.storage_class or "the cluster's default"
    quoted = f" (the scheduler: {said.removesuffix(' not found')})" if said else ""
    return (
        f"claim {claim.name} is {claim.phase}: StorageClass {name} does not exist or provides no volume;"
        f" see kubectl describe pvc {claim.name}, or name another in spec.storage.storageClassName"
        f" of a new ModelDeployment{quoted}"
    )


def source_claim_pending(seen: Observed) -> str | None:
    """Where the model's own claim is well, so that it can be no other."""
    pod = next((pod for pod in _refused(seen) if NO_VOLUME in pod.scheduling_message), None)
    if pod is None or not seen.source_claim or seen.claim is None or seen.claim.phase != "Bound":
        return None
    return (
        f"{pod.name} waits for claim {seen.source_claim} of spec.model.source, which has no volume;"
        f" see kubectl describe pvc {seen.source_claim}"
    )


def pods_not_created(seen: Observed) -> str | None:
    """While pods are missing: the API server refuses them, and says why."""
    if not seen.pods_error or sum(1 for _ in seen.held()) >= seen.desired:
        return None
    remedy = next(remedy for words, remedy in REMEDIES if words in seen.pods_error)
    return f"{seen.pods_error}; {remedy}"


def no_pods(seen: Observed) -> str | None:
    """It takes a moment until they are there."""
    return None if any(seen.held()) else "its pods are being created"


def room_not_freed(seen: Observed) -> str | None:
    """A rollout brings no pod more than are asked for: the new one gets what an old one holds until its end."""
    pod = next(_refused(seen), None)
    leaving = next((other for other in seen.pods if _holds_on(other, seen.now)), None)
    if pod is None or leaving is None:
        return None
    return f"{pod.name} waits for what {leaving.name} holds on its node until it has ended ({pod.scheduling_message})"


def claim_on_one_node(seen: Observed) -> str | None:
    """Where one replica has a node, all others must go there."""
    pod = next(_refused(seen), None)
    elsewhere = seen.beside_placed or any(other.scheduled for other in seen.held())
    if pod is None or not elsewhere or not seen.one_node:
        return None
    if NOT_WHERE_OTHERS_ARE not in pod.scheduling_message:
        return None
    return (
        f"{pod.name}: its claim can be mounted on one node only, and that node is full;"
        " use fewer replicas, or a new ModelDeployment with spec.storage.perReplica or accessModes [ReadWriteMany]"
        f" ({pod.scheduling_message})"
    )


def device_class_not_found(seen: Observed) -> str | None:
    """A ResourceClaim names it."""
    for pod in _refused(seen):
        if said := NO_DEVICE_CLASS.search(pod.scheduling_message):
            return (
                f"{pod.name}: there is no DeviceClass {said[1]}; install the DRA driver that brings it, or name another"
                " in spec.serving.gpu.deviceClassName (kubectl get deviceclasses)"
            )
    return None


def no_node_fits(seen: Observed) -> str | None:
    """Not where it is a claim that no node could do anything about."""
    pod = next(_refused(seen), None)
    if pod is None or any(
        find(seen) for find in (source_claim_not_found, claim_terminating, claim_pending, source_claim_pending)
    ):
        return None
    return (
        f"{pod.name}: {pod.scheduling_message} {_add(pod.scheduling_message)},"
        " or change spec.serving (gpu, resources, nodeSelector, affinity, tolerations, topologySpreadConstraints)"
    )


def _add(message: str) -> str:
    if NO_DEVICES not in message:
        return "Add a node that fits"
    return "Add a node that has so many free devices of spec.serving.gpu.deviceClassName"


def scheduling(seen: Observed) -> str | None:
    """The scheduler has yet to say something."""
    waiting = [pod.name for pod in seen.held() if not pod.scheduled]
    return f"{waiting[0]} waits for the scheduler" if waiting else None


def _refused(seen: Observed) -> Iterator[PodFacts]:
    """Pods that the scheduler found no node for."""
    unscheduled = (pod for pod in seen.held() if not pod.scheduled and pod.scheduling_message)
    return (pod for pod in unscheduled if not any(words in pod.scheduling_message for words in CLAIM_TO_COME))


def _holds_on(pod: PodFacts, now: datetime) -> bool:
    """Whether a pod that ends still holds its node's GPUs."""
    return pod.scheduled and pod.ends_by is not None and pod.holds(now)


def _is_of_storage(text: str) -> bool:
    return any(word in text.lower().replace(" ", "") for word in OF_STORAGE)
