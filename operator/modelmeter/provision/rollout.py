"""How a new revision replaces the one before: on a canary's replicas first, the others after, or back.

A decision of the moment, from what the API server has alone: the Deployments, which carry the hash of their template,
and their pods. So an operator that starts again goes on where the last one stopped. No step needs a spare GPU: a
Deployment gets no more replicas than the other one's pods have left room for.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from modelmeter.api.resources import ModelDeployment
from modelmeter.api.rollout import Rollout
from modelmeter.api.scalars import rfc3339
from modelmeter.provision.checks import CHAIN, METERED
from modelmeter.provision.containers import crash_looping
from modelmeter.provision.observed import Observed
from modelmeter.provision.plan import FAILED_HASH, FAILURE, FORGOTTEN, Plan, TrackState
from modelmeter.provision.room import Room

AT_ONCE: Final = "take out spec.serving.rollout to have it on all replicas all the same"
REMEDY: Final = f"change spec.model or spec.serving, or {AT_ONCE}"


def decide(model: ModelDeployment, stable: TrackState | None, canary: TrackState | None, seen: Observed) -> Plan:
    """What the two Deployments are to be; `stable` or `canary` is None where there is no such Deployment.

    `seen` is of the current spec: its template_hash, its replicas and all pods of the model.
    """
    rollout, wanted = model.spec.serving.rollout, seen.template_hash
    room = Room(wanted, model.spec.serving, stable or TrackState(wanted, 0), canary, seen)
    if rollout is None or room.stable.template_hash == wanted:
        return _renew(room, keeps_canary=rollout is not None)
    if room.stable.failed_hash == wanted:
        return _back(room, room.stable.failure)
    plan = _try(room, rollout)
    if not room.stable.failed_hash or plan.notes:
        return plan
    instead = plan.unless_taken and replace(plan.unless_taken, notes=FORGOTTEN)
    return replace(plan, notes=FORGOTTEN, unless_taken=instead)


def _renew(room: Room, keeps_canary: bool) -> Plan:
    """All replicas get the current spec. One of a canary ends whenever one of the others has become ready."""
    canary, current, ready = room.canary, room.current, sum(pod.ready for pod in room.of(canary=False))
    kept = 0
    if keeps_canary and current and not current.deleting:
        # One is not ready at a time, as in any rollout.
        kept = min(current.replicas, max(0, room.replicas - 1 - ready))
    said = f"the canary of revision {canary.template_hash} is being removed" if canary else None
    if current and keeps_canary:
        said = f"revision {room.wanted}: {ready} of {room.replicas} replicas have followed the canary"
    return Plan(
        serving_hash=room.wanted,
        stable_replicas=room.stable_replicas(room.replicas - kept),
        canary_replicas=kept or None,
        canary_notes=room.notes if current and kept else {},
        removes_canary=canary is not None and not kept,
        notes=FORGOTTEN if room.stable.failed_hash else {},
        canary=said,
        look_again=room.overdue,
    )


def _back(room: Room, why: str) -> Plan:
    """All replicas are of the revision before, again."""
    before = room.stable.template_hash
    return Plan(
        serving_hash=before,
        stable_replicas=room.stable_replicas(room.replicas),
        renews_stable=False,
        removes_canary=room.canary is not None,
        rolled_back=f"revision {room.wanted} was rolled back to {before}: {why}; {REMEDY}",
        look_again=room.overdue,
    )


def _try(room: Room, rollout: Rollout) -> Plan:
    """A canary is to be, and to show whether the others may follow."""
    canary, current = room.canary, room.current
    if not room.canaries and not current and not room.waits_for_more():
        # Too few replicas for one, from the start.
        return _renew(room, keeps_canary=False)
    plan = Plan(
        serving_hash=room.stable.template_hash,
        stable_replicas=room.stable_replicas(room.replicas - room.canaries),
        renews_stable=False,
        look_again=room.overdue,
    )
    name = f"canary of revision {room.wanted}"
    if canary and (canary.deleting or not current or (room.canaries and not canary.replicas)):
        overdue = _overdue(room)
        said = f"{name}: waits for the end of the canary before{overdue}"
        return replace(plan, removes_canary=True, canary=said, canary_stuck=bool(overdue))
    if current:
        plan = replace(plan, canary_replicas=room.canary_replicas(), canary_notes=room.notes)
    if not room.canaries:
        field = "autoscaling.min" if room.serving.autoscaling else "replicas"
        said = f"{name}: waits until there are 2 replicas; set spec.serving.{field}, or {AT_ONCE}"
        return replace(plan, canary=said, canary_stuck=room.replicas > 0)
    if current:
        return _judge(room, rollout, plan, current, name)
    return _create(room, plan, name)


def _create(room: Room, plan: Plan, name: str) -> Plan:
    """Room is made for a canary; with some, it comes."""
    count = room.canary_replicas()
    said = "is being created" if count else f"waits for the end of {room.canaries} other replicas"
    plan = replace(plan, canary=f"{name}: {said}")
    return replace(
        plan,
        canary_replicas=count or None,
        canary_notes=room.notes if count else {},
        unless_taken=replace(plan, stable_replicas=room.stable_replicas(room.replicas)),
    )


def _judge(room: Room, rollout: Rollout, plan: Plan, canary: TrackState, name: str) -> Plan:
    now, pods = room.seen.now, room.of(canary=True)
    since = sorted(pod.ready_since for pod in pods if pod.ready and pod.ready_since)
    counted = f"{min(len(since), room.canaries)} of {room.canaries} replicas are ready"
    if len(since) >= room.canaries:
        due = since[-1] + timedelta(seconds=rollout.ready_seconds)
        if now >= due:
            return _renew(room, keeps_canary=True)
        said = f"{name}: {counted}; the others follow at {rfc3339(due)}"
        return replace(plan, canary=said, look_again=due)
    alone = _alone(room, canary)
    if looping := crash_looping(alone):
        return _fail(room, f"its canary does not run (CrashLooping: {looping})")
    ended = room.ended()
    if len(ended) > room.canaries:
        see = f"kubectl get events --field-selector involvedObject.name={ended[-1].name}"
        return _fail(room, f"{len(ended)} pods of its canary ended by themselves; see {see}")
    begun = room.deadline_from()
    if begun is None:
        return replace(plan, canary=f"{name}: {counted}; waits for a pod to be made")
    deadline = begun + timedelta(seconds=rollout.deadline_seconds)
    if now >= deadline:
        why = f"of its canary {counted} past the deadline of {rollout.deadline_seconds} s{_explained(alone)}"
        return _fail(room, why)
    return replace(
        plan,
        canary=f"{name}: {counted}; it is rolled back at {rfc3339(deadline)} if they are not all ready by then",
        look_again=min(filter(None, (deadline, plan.look_again))),
    )


def _fail(room: Room, why: str) -> Plan:
    return replace(_back(room, why), notes={FAILED_HASH: room.wanted, FAILURE: why})


def _alone(room: Room, canary: TrackState) -> Observed:
    """The canary as if it were all that there is."""
    pods = tuple(pod for pod in room.seen.pods if pod.canary and pod.template_hash == room.wanted)
    return replace(
        room.seen,
        desired=room.canaries,
        pods=pods,
        pods_error=canary.pods_error,
        triton=(True, ""),
        beside_placed=any(pod.scheduled for pod in room.seen.held() if pod not in pods),
    )


def _overdue(room: Room) -> str:
    """Which pod of a canary does not end, and what to do; empty where all may still end by themselves."""
    pod = next((pod for pod in room.seen.pods if pod.canary and pod.overdue(room.seen.now)), None)
    if pod is None or pod.ends_by is None:
        return ""
    return (
        f": {pod.name} should have ended at {rfc3339(pod.ends_by)}; if its node is lost, delete the Node"
        f" (or kubectl delete pod {pod.name} --force), else see condition {METERED}"
    )


def _explained(alone: Observed) -> str:
    """The lowest check that fails, one that somebody has to act for before all others."""
    found = [(check, message) for check in CHAIN if (message := check.find(alone))]
    # A sort is stable.
    found.sort(key=lambda entry: not entry[0].problem)
    return next((f" ({check.reason}: {message})" for check, message in found), "")
