"""When pods and claims begin and end to hold what they hold: ladders of sources, the best first.

Each ladder answers the moment and the reason of an estimate, which is empty where the moment is the API server's own.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime, timedelta
from typing import Final

from modelmeter.meter.objects import ContainerStatus, Metadata, Pod

AHEAD: Final = timedelta(minutes=10)
"""How far the API server's times may be ahead of ours: a moment later than that was written by somebody else."""
TERMINAL: Final = ("Succeeded", "Failed")
SANDBOX: Final = "PodReadyToStartContainers"
"""Condition that says whether the pod's sandbox stands; of Kubernetes 1.29 and later."""
FOLLOWS: Final = timedelta(seconds=5)
"""How much later than its last container a sandbox may end, on a busy node; a back-off takes 10 s or more."""


def scheduled_at(pod: Pod) -> tuple[datetime | None, str]:
    """When the pod got its node: from then on nobody else can have its GPUs.

    1. PodScheduled's transition: the scheduler's own word.
    2. startTime, then creationTimestamp: pods bound without a scheduler; estimated: NotScheduled.
    """
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "True" and condition.last_transition_time:
            return condition.last_transition_time, ""
    if not pod.spec.node_name:
        return None, ""
    return pod.status.start_time or pod.metadata.creation_timestamp, "NotScheduled"


def ended_at(pod: Pod, lost: Container[str]) -> tuple[datetime | None, str]:
    """When the pod gave its resources back; None while it holds them. A restart gives nothing back.

    `lost` names nodes that are known to be gone.

    1. Terminal phase, and every container is said to have ended, the last of them not before the pod was told to, or
       at a time when none would be started again: its finishedAt. So for an init container that ran when the pod was
       told to end, before any other. The kubelet's own word; exact.
    2. Terminal phase, and no container ran when the pod was told to end (it waited for an image, or to start one once
       more): the end of its sandbox. The kubelet's own word; exact.
    3. Terminal phase without either: when it was told to end, else the last transition of its conditions; estimated:
       NoContainerEnd.
    4. Deleted by force (grace period 0): its deletion; estimated: DeletedByForce.
    5. Deleted, and its node is lost: its deletion; estimated: NodeLost.

    A pod's deletion is when somebody asked for it, without the grace period: that stays the same when force follows.
    """
    deleted = _deletion(pod.metadata)
    if pod.status.phase in TERMINAL:
        told, sandbox = _told_to_end(pod), _transition(pod, SANDBOX, "False")
        finished = _finished(pod, deleted) or _killed_in_start_up(pod, told, sandbox)
        if finished and not (_starts_again(pod) and _waited(finished, told, sandbox)):
            return finished, ""
        if sandbox:
            return max(sandbox, finished or sandbox), ""
        changes = [
            condition.last_transition_time
            for condition in pod.status.conditions
            if condition.type != "PodScheduled" and condition.last_transition_time
        ]
        stopped = [moment for moment in (told, deleted) if moment]
        return min(stopped, default=max(changes, default=pod.metadata.creation_timestamp)), "NoContainerEnd"
    if deleted and pod.metadata.deletion_grace_period_seconds == 0:
        return deleted, "DeletedByForce"
    if deleted and pod.spec.node_name in lost:
        return deleted, "NodeLost"
    return None, ""


def resized_at(metadata: Metadata) -> datetime | None:
    """When a pod was last resized in place; None where it never was."""
    times = (entry.time for entry in metadata.managed_fields if entry.subresource == "resize")
    return max((time for time in times if time is not None), default=None)


def bound_at(metadata: Metadata, now: datetime) -> datetime | None:
    """When a claim was bound: who gave it its volume wrote it then.

    Its phase says so only where nothing else does: conditions that come and go are written beside it.
    """
    entries = [entry for entry in metadata.managed_fields if entry.time is not None and entry.time <= now + AHEAD]
    volume = [entry.time for entry in entries if entry.owned.spec.volume_name is not None]
    phase = [entry.time for entry in entries if entry.owned.status.phase is not None]
    return min((time for time in volume or phase if time is not None), default=None)


def lost_at(metadata: Metadata, now: datetime) -> datetime:
    """When a claim lost its volume: its phase was written then; now, where nobody says it."""
    times = (entry.time for entry in metadata.managed_fields if entry.owned.status.phase is not None)
    return max((time for time in times if time is not None and time <= now + AHEAD), default=now)


def capacity_changed_at(metadata: Metadata) -> datetime | None:
    """When a claim got its present capacity, if ever somebody asked for another one than at first."""
    entries = [entry for entry in metadata.managed_fields if entry.time is not None]
    asked = any(
        entry.owned.spec.resources is not None and entry.time != metadata.creation_timestamp for entry in entries
    )
    got = (entry.time for entry in entries if entry.owned.status.capacity is not None)
    return max((time for time in got if time is not None), default=None) if asked else None


def _deletion(metadata: Metadata) -> datetime | None:
    """When the deletion was asked for: deletionTimestamp is the grace period later."""
    if metadata.deletion_timestamp is None:
        return None
    return metadata.deletion_timestamp - timedelta(seconds=metadata.deletion_grace_period_seconds or 0)


def _told_to_end(pod: Pod) -> datetime | None:
    """When the pod was evicted or preempted, or its deletion asked for: the earlier; None where nobody can tell.

    The kubelet's own deletion at the end, without a grace period, moves deletionTimestamp: it tells no longer.
    """
    asked = _deletion(pod.metadata) if pod.metadata.deletion_grace_period_seconds else None
    moments = (asked, _transition(pod, "DisruptionTarget", "True"))
    return min((moment for moment in moments if moment), default=None)


def _waited(finished: datetime, told: datetime | None, sandbox: datetime | None) -> bool:
    """Whether the pod still waited for another start after its last run: until it was told to end, or longer than
    a sandbox takes to follow its last container."""
    if told is not None:
        return finished < told
    return sandbox is not None and sandbox - finished > FOLLOWS


def _transition(pod: Pod, kind: str, status: str) -> datetime | None:
    for condition in pod.status.conditions:
        if (condition.type, condition.status) == (kind, status):
            return condition.last_transition_time
    return None


def _finished(pod: Pod, deleted: datetime | None) -> datetime | None:
    """The last container's end, where every container is said to have ended.

    lastState says nothing: after that run the pod held its resources on. Containers that never ran say nothing
    either, unless start-up failed for good: then a failed init container was the last to end.
    """
    status = pod.status
    main = [_end(container) for container in status.container_statuses]
    if main and all(main):
        ends = (*main, *map(_end, status.init_container_statuses))
        return max(end for end in ends if end)
    failed = [_end(container) for container in status.init_container_statuses if _failed(container)]
    for_good = deleted is None or pod.spec.restart_policy == "Never"
    never_ran = all(container.last_state.terminated is None for container in status.container_statuses)
    return max((end for end in failed if end), default=None) if never_ran and for_good else None


def _killed_in_start_up(pod: Pod, told: datetime | None, sandbox: datetime | None) -> datetime | None:
    """The end of the init container that ran when the pod was told to end; None where none did, or nobody can tell."""
    ran = any(container.last_state.terminated or _end(container) for container in pod.status.container_statuses)
    last = max((end for end in map(_end, pod.status.init_container_statuses) if end), default=None)
    if ran or last is None:
        return None
    if told is not None:
        return last if last >= told else None
    return last if sandbox is not None and sandbox - last <= FOLLOWS else None


def _starts_again(pod: Pod) -> bool:
    """Whether the kubelet would have started the containers once more: by then the pod waited, and had not ended."""
    if pod.spec.restart_policy == "OnFailure":
        return not all(_end(container) and not _failed(container) for container in pod.status.container_statuses)
    return pod.spec.restart_policy != "Never"


def _end(status: ContainerStatus) -> datetime | None:
    return status.state.terminated.finished_at if status.state.terminated else None


def _failed(status: ContainerStatus) -> bool:
    return status.state.terminated is not None and status.state.terminated.exit_code != 0
