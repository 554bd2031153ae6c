"""How a new revision replaces the one before: on a canary's replicas first, the others after, or back.

A decision of the moment, from what the API server has alone: the Deployments, which carry the hash of their template,
and their pods. So an operator that starts again goes on where the last one stopped. No step needs a spare GPU: a
Deployment gets no more replicas than the other one's pods have left room for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from modelmeter.api.names import GROUP
from modelmeter.api.resources import ModelDeployment
from modelmeter.api.rollout import Rollout
from modelmeter.api.scalars import rfc3339
from modelmeter.provision.checks import CHAIN
from modelmeter.provision.containers import crash_looping
from modelmeter.provision.observed import OVERDUE, Observed, PodFacts

FAILED_HASH: Final = f"{GROUP}/failed-template-hash"
"""Annotation on the stable Deployment: the revision that was rolled back, which is not tried again."""
FAILURE: Final = f"{GROUP}/failed-template-reason"
"""Annotation on the stable Deployment: why it was."""
FORGOTTEN: Final = {FAILED_HASH: None, FAILURE: None}

REMEDY: Final = (
    "change spec.model or spec.serving, or take out spec.serving.rollout to have it on all replicas all the same"
)


@dataclass(frozen=True, slots=True)
class Revision:
    """What a Deployment says about the revision that its pods are of."""

    template_hash: str
    replicas: int
    created: datetime | None = None
    deleting: bool = False
    failed_hash: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the Deployments of a model are to be now, and what is said of it."""

    serving_hash: str
    """The revision whose pods are to serve."""
    stable_replicas: int
    renews_stable: bool = True
    """Whether the stable Deployment gets the template of the current spec; else it keeps the one that it has."""
    canary_replicas: int | None = None
    """Of the canary; None where none is to be applied."""
    removes_canary: bool = False
    notes: Mapping[str, str | None] = field(default_factory=dict)
    """Annotations of the stable Deployment to write, or to take off."""
    canary: str | None = None
    """What a canary is waiting for, while there is one."""
    rolled_back: str | None = None
    """Why the current spec was rolled back, if it was."""
    look_again: datetime | None = None
    """When it may be decided otherwise though nothing has changed."""

    @property
    def under_way(self) -> bool:
        """Whether the next change of a pod may change the plan."""
        return bool(self.canary or self.removes_canary)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What there is of a model with its two Deployments."""

    wanted: str
    replicas: int
    canaries: int
    """How many of the replicas a canary gets."""
    stable: Revision
    canary: Revision | None
    seen: Observed

    def of(self, canary: bool) -> list[PodFacts]:
        """One Deployment's pods that are here to stay and of the current spec."""
        return [pod for pod in self.seen.held() if pod.canary is canary and pod.template_hash == self.wanted]

    def beside(self, canary: bool) -> int:
        """Replicas that one Deployment may have beside the pods of the other, which hold their GPUs up to their end."""
        others = (pod for pod in self.seen.pods if pod.canary is not canary)
        return max(0, self.replicas - sum(pod.holds(self.seen.now) for pod in others))

    def stable_replicas(self, asked: int) -> int:
        """So many as are asked for, as far as there is room; what it has is not taken away for want of room."""
        return max(min(self.stable.replicas, asked), min(asked, self.beside(canary=False)))

    def canary_replicas(self) -> int:
        """As `stable_replicas`, of the canary."""
        has = self.canary.replicas if self.canary else 0
        return max(min(has, self.canaries), min(self.canaries, self.beside(canary=True)))

    @property
    def overdue(self) -> datetime | None:
        """When the next pod that is ending will have held its GPUs for long enough."""
        ends = (pod.ends_by + OVERDUE for pod in self.seen.pods if pod.ends_by and pod.holds(self.seen.now))
        return min(ends, default=None)


def straight(model: ModelDeployment, wanted: str) -> Plan:
    """Without a canary and without what is left of one: all replicas are of the current spec."""
    return Plan(serving_hash=wanted, stable_replicas=model.spec.serving.replicas)


def decide(model: ModelDeployment, stable: Revision | None, canary: Revision | None, seen: Observed) -> Plan:
    """What the two Deployments are to be; `stable` or `canary` is None where there is no such Deployment.

    `seen` is of the current spec: its template_hash, its replicas and all pods of the model.
    """
    rollout = model.spec.serving.rollout
    wanted, replicas = seen.template_hash, model.spec.serving.replicas
    canaries = rollout.canaries(replicas) if rollout else 0
    facts = _Facts(wanted, replicas, canaries, stable or Revision(wanted, 0), canary, seen)
    if rollout is None or facts.stable.template_hash == wanted:
        return _renew(facts, keeps_canary=rollout is not None)
    if facts.stable.failed_hash == wanted:
        return _back(facts, facts.stable.failure)
    plan = _try(facts, rollout)
    return replace(plan, notes=FORGOTTEN) if facts.stable.failed_hash and not plan.notes else plan


def _renew(facts: _Facts, keeps_canary: bool) -> Plan:
    """All replicas get the current spec. One of a canary ends whenever one of the others has become ready."""
    canary, ready = facts.canary, sum(pod.ready for pod in facts.of(canary=False))
    kept = 0
    if keeps_canary and canary and not canary.deleting and canary.template_hash == facts.wanted:
        # One is not ready at a time, as in any rollout.
        kept = min(canary.replicas, max(0, facts.replicas - 1 - ready))
    said = None
    if canary:
        said = f"revision {facts.wanted}: {ready} of {facts.replicas} replicas have followed the canary"
    return Plan(
        serving_hash=facts.wanted,
        stable_replicas=facts.stable_replicas(facts.replicas - kept),
        canary_replicas=kept or None,
        removes_canary=canary is not None and not kept,
        notes=FORGOTTEN if facts.stable.failed_hash else {},
        canary=said,
        look_again=facts.overdue if canary else None,
    )


def _back(facts: _Facts, why: str) -> Plan:
    """All replicas are of the revision before, again."""
    before = facts.stable.template_hash
    return Plan(
        serving_hash=before,
        stable_replicas=facts.stable_replicas(facts.replicas),
        renews_stable=False,
        removes_canary=facts.canary is not None,
        rolled_back=f"revision {facts.wanted} was rolled back to {before}: {why}; {REMEDY}",
        look_again=facts.overdue if facts.canary else None,
    )


def _try(facts: _Facts, rollout: Rollout) -> Plan:
    """A canary is to be, and to show whether the others may follow."""
    canary, now = facts.canary, facts.seen.now
    current = canary is not None and canary.template_hash == facts.wanted
    if not facts.canaries and not current:
        # Too few replicas for one, from the start.
        return _renew(facts, keeps_canary=False)
    plan = Plan(
        serving_hash=facts.stable.template_hash,
        stable_replicas=facts.stable_replicas(facts.replicas - facts.canaries),
        renews_stable=False,
        look_again=facts.overdue,
    )
    name = f"canary of revision {facts.wanted}"
    if canary is not None and (canary.deleting or not current or (facts.canaries and not canary.replicas)):
        return replace(plan, removes_canary=True, canary=f"{name}: waits for the end of the canary before")
    count = facts.canary_replicas()
    if canary is None:
        if not count:
            return replace(plan, canary=f"{name}: waits for the end of {facts.canaries} other replicas")
        return replace(plan, canary_replicas=count, canary=f"{name}: is being created")
    plan = replace(plan, canary_replicas=count)
    if not facts.canaries:
        return replace(plan, canary=f"{name}: waits until there are 2 replicas; set spec.serving.replicas")
    return _judge(facts, rollout, plan, canary, name, now)


def _judge(facts: _Facts, rollout: Rollout, plan: Plan, canary: Revision, name: str, now: datetime) -> Plan:
    pods = facts.of(canary=True)
    since = sorted(pod.ready_since for pod in pods if pod.ready and pod.ready_since)
    counted = f"{len(since)} of {facts.canaries} replicas are ready"
    if len(since) >= facts.canaries:
        due = since[-1] + timedelta(seconds=rollout.ready_seconds)
        if now >= due:
            return _renew(facts, keeps_canary=True)
        return replace(plan, canary=f"{name}: {counted}; the others follow at {rfc3339(due)}", look_again=due)
    alone = _alone(facts)
    if looping := crash_looping(alone):
        return _fail(facts, f"its canary does not run (CrashLooping: {looping})")
    deadline = (canary.created or now) + timedelta(seconds=rollout.deadline_seconds)
    if now >= deadline:
        return _fail(facts, f"of its canary {counted} after {rollout.deadline_seconds} s{_explained(alone)}")
    look_again = min(filter(None, (deadline, plan.look_again)))
    said = f"{name}: {counted}; it is rolled back at {rfc3339(deadline)} if they are not all ready by then"
    return replace(plan, canary=said, look_again=look_again)


def _fail(facts: _Facts, why: str) -> Plan:
    return replace(_back(facts, why), notes={FAILED_HASH: facts.wanted, FAILURE: why})


def _alone(facts: _Facts) -> Observed:
    """The canary as if it were all that there is."""
    pods = tuple(pod for pod in facts.seen.pods if pod.canary)
    return replace(facts.seen, desired=facts.canaries, pods=pods, triton=(True, ""))


def _explained(alone: Observed) -> str:
    """The lowest check that fails, one that somebody has to act for before all others."""
    found = [(check, message) for check in CHAIN if (message := check.find(alone))]
    # A sort is stable.
    found.sort(key=lambda entry: not entry[0].problem)
    return next((f" ({check.reason}: {message})" for check, message in found), "")
