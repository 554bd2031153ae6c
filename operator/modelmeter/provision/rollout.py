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
from modelmeter.provision.checks import CHAIN
from modelmeter.provision.containers import crash_looping
from modelmeter.provision.observed import Observed
from modelmeter.provision.plan import FAILED_HASH, FAILURE, FORGOTTEN, Plan, Revision
from modelmeter.provision.room import Facts

AT_ONCE: Final = "take out spec.serving.rollout to have it on all replicas all the same"
REMEDY: Final = f"change spec.model or spec.serving, or {AT_ONCE}"


def decide(model: ModelDeployment, stable: Revision | None, canary: Revision | None, seen: Observed) -> Plan:
    """What the two Deployments are to be; `stable` or `canary` is None where there is no such Deployment.

    `seen` is of the current spec: its template_hash, its replicas and all pods of the model.
    """
    rollout, wanted = model.spec.serving.rollout, seen.template_hash
    facts = Facts(wanted, model.spec.serving, stable or Revision(wanted, 0), canary, seen)
    if rollout is None or facts.stable.template_hash == wanted:
        return _renew(facts, keeps_canary=rollout is not None)
    if facts.stable.failed_hash == wanted:
        return _back(facts, facts.stable.failure)
    plan = _try(facts, rollout)
    if not facts.stable.failed_hash or plan.notes:
        return plan
    instead = plan.unless_taken and replace(plan.unless_taken, notes=FORGOTTEN)
    return replace(plan, notes=FORGOTTEN, unless_taken=instead)


def _renew(facts: Facts, keeps_canary: bool) -> Plan:
    """All replicas get the current spec. One of a canary ends whenever one of the others has become ready."""
    canary, current, ready = facts.canary, facts.current, sum(pod.ready for pod in facts.of(canary=False))
    kept = 0
    if keeps_canary and current and not current.deleting:
        # One is not ready at a time, as in any rollout.
        kept = min(current.replicas, max(0, facts.replicas - 1 - ready))
    said = None
    if canary:
        said = f"revision {facts.wanted}: {ready} of {facts.replicas} replicas have followed the canary"
    return Plan(
        serving_hash=facts.wanted,
        stable_replicas=facts.stable_replicas(facts.replicas - kept),
        canary_replicas=kept or None,
        canary_notes=facts.notes(current.incomplete_since) if current and kept else {},
        removes_canary=canary is not None and not kept,
        notes=FORGOTTEN if facts.stable.failed_hash else {},
        canary=said,
        look_again=facts.overdue,
    )


def _back(facts: Facts, why: str) -> Plan:
    """All replicas are of the revision before, again."""
    before = facts.stable.template_hash
    return Plan(
        serving_hash=before,
        stable_replicas=facts.stable_replicas(facts.replicas),
        renews_stable=False,
        removes_canary=facts.canary is not None,
        rolled_back=f"revision {facts.wanted} was rolled back to {before}: {why}; {REMEDY}",
        look_again=facts.overdue,
    )


def _try(facts: Facts, rollout: Rollout) -> Plan:
    """A canary is to be, and to show whether the others may follow."""
    canary, current = facts.canary, facts.current
    if not facts.canaries and not current and not facts.waits_for_more():
        # Too few replicas for one, from the start.
        return _renew(facts, keeps_canary=False)
    plan = Plan(
        serving_hash=facts.stable.template_hash,
        stable_replicas=facts.stable_replicas(facts.replicas - facts.canaries),
        renews_stable=False,
        look_again=facts.overdue,
    )
    name = f"canary of revision {facts.wanted}"
    if canary and (canary.deleting or not current or (facts.canaries and not canary.replicas)):
        return replace(plan, removes_canary=True, canary=f"{name}: waits for the end of the canary before")
    if current:
        plan = replace(
            plan, canary_replicas=facts.canary_replicas(), canary_notes=facts.notes(current.incomplete_since)
        )
    if not facts.canaries:
        field = "autoscaling.min" if facts.serving.autoscaling else "replicas"
        return replace(plan, canary=f"{name}: waits until there are 2 replicas; set spec.serving.{field}, or {AT_ONCE}")
    if current:
        return _judge(facts, rollout, plan, current, name)
    return _create(facts, plan, name)


def _create(facts: Facts, plan: Plan, name: str) -> Plan:
    """Room is made for a canary; with some, it comes."""
    count = facts.canary_replicas()
    said = "is being created" if count else f"waits for the end of {facts.canaries} other replicas"
    return replace(
        plan,
        canary_replicas=count or None,
        canary_notes=facts.notes(facts.seen.now) if count else {},
        canary=f"{name}: {said}",
        unless_taken=replace(
            plan, stable_replicas=facts.stable_replicas(facts.replicas), canary=f"{name}: its name is somebody else's"
        ),
    )


def _judge(facts: Facts, rollout: Rollout, plan: Plan, canary: Revision, name: str) -> Plan:
    now, pods = facts.seen.now, facts.of(canary=True)
    since = sorted(pod.ready_since for pod in pods if pod.ready and pod.ready_since)
    counted = f"{min(len(since), facts.canaries)} of {facts.canaries} replicas are ready"
    if len(since) >= facts.canaries:
        due = since[-1] + timedelta(seconds=rollout.ready_seconds)
        if now >= due:
            return _renew(facts, keeps_canary=True)
        said = f"{name}: {counted}; the others follow at {rfc3339(due)}"
        return replace(plan, canary_notes=facts.notes(None), canary=said, look_again=due)
    alone = _alone(facts, canary)
    if looping := crash_looping(alone):
        return _fail(facts, f"its canary does not run (CrashLooping: {looping})")
    incomplete_since = canary.incomplete_since or now
    deadline = incomplete_since + timedelta(seconds=rollout.deadline_seconds)
    if now >= deadline:
        return _fail(facts, f"of its canary {counted} after {rollout.deadline_seconds} s{_explained(alone)}")
    return replace(
        plan,
        canary_notes=facts.notes(incomplete_since),
        canary=f"{name}: {counted}; it is rolled back at {rfc3339(deadline)} if they are not all ready by then",
        look_again=min(filter(None, (deadline, plan.look_again))),
    )


def _fail(facts: Facts, why: str) -> Plan:
    return replace(_back(facts, why), notes={FAILED_HASH: facts.wanted, FAILURE: why})


def _alone(facts: Facts, canary: Revision) -> Observed:
    """The canary as if it were all that there is."""
    pods = tuple(pod for pod in facts.seen.pods if pod.canary)
    return replace(facts.seen, desired=facts.canaries, pods=pods, pods_error=canary.pods_error, triton=(True, ""))


def _explained(alone: Observed) -> str:
    """The lowest check that fails, one that somebody has to act for before all others."""
    found = [(check, message) for check in CHAIN if (message := check.find(alone))]
    # A sort is stable.
    found.sort(key=lambda entry: not entry[0].problem)
    return next((f" ({check.reason}: {message})" for check, message in found), "")
