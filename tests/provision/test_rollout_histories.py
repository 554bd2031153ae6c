"""Whatever happens in the middle of a rollout: no spare GPU, what is proved until something else is, and an end."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from modelmeter.provision.observed import PodFacts
from modelmeter.provision.plan import CANARIES, FAILED_HASH, FAILURE, Plan, TrackState
from modelmeter.provision.rollout import decide
from tests.provision.builders import NOW, seen
from tests.provision.test_rollout import careful, pods

READY_SECONDS = 120
ROLLOUT = {"canaryShare": "0.25", "readySeconds": READY_SECONDS, "deadlineSeconds": 90}
"""A deadline by which all pods start that ever will, and that every canary outlives."""
SETTLED_ROUNDS = 900
GRACE = timedelta(seconds=30)


@dataclass
class Deployment:
    """What Kubernetes makes of one: so many pods of its template, one after another."""

    canary: bool
    at: TrackState
    pods: list[PodFacts] = field(default_factory=list)


@dataclass
class World:
    """A model, its Deployments and what its nodes do; `bad` revisions never become ready."""

    chance: random.Random
    now: datetime = NOW
    replicas: int = 4
    rollout: bool = True
    scaled_to: int | None = None
    """Most replicas of an autoscaler."""
    wanted: str = "r0"
    bad: set[str] = field(default_factory=set)
    stable: Deployment | None = None
    canary: Deployment | None = None
    proved: set[str] = field(default_factory=lambda: {"r0"})
    number: int = 0
    orphans: list[PodFacts] = field(default_factory=list)
    """Of a canary that somebody deleted; they end."""

    def everybody(self) -> tuple[PodFacts, ...]:
        """All pods."""
        return (*(pod for item in (self.stable, self.canary) if item for pod in item.pods), *self.orphans)

    def operator(self) -> Plan:
        """One pass of an operator that knows nothing but what there is."""
        model = careful(self.replicas, ROLLOUT if self.rollout else None, self.scaled_to)
        observed = seen(template_hash=self.wanted, desired=self.replicas, pods=self.everybody(), now=self.now)
        plan = decide(model, self.stable and self.stable.at, self.canary and self.canary.at, observed)
        self.check(plan)
        if self.stable is None:
            self.stable = Deployment(False, TrackState(self.wanted, 0))
        at = self.stable.at
        if plan.notes:
            at = replace(at, failed_hash=plan.notes[FAILED_HASH] or "", failure=plan.notes[FAILURE] or "")
        if plan.renews_stable:
            at = replace(at, template_hash=self.wanted)
        self.stable.at = replace(at, replicas=plan.stable_replicas)
        if plan.canary_replicas is not None:
            if self.canary is None:
                self.canary = Deployment(True, TrackState(self.wanted, 0))
            assert not self.canary.at.deleting
            noted = int(plan.canary_notes[CANARIES])
            self.canary.at = TrackState(self.wanted, plan.canary_replicas, noted)
        if plan.removes_canary and self.canary:
            self.canary.at = replace(self.canary.at, deleting=True)
        return plan

    def check(self, plan: Plan) -> None:
        """What grows finds room, and what is unproved gets no more than its share, unless nobody asks for a canary."""
        for item, asked in ((self.stable, plan.stable_replicas), (self.canary, plan.canary_replicas or 0)):
            others = [pod for pod in self.everybody() if item and pod.canary is not item.canary]
            assert not item or asked <= max(item.at.replicas, self.replicas - len(others)), plan
        if self.canary is None and plan.canary_replicas:
            assert len(self.everybody()) + plan.canary_replicas <= self.replicas, plan
        # A revision that can become ready never goes back.
        assert not plan.rolled_back or self.wanted in self.bad, plan
        unproved = self.wanted not in self.proved
        if plan.renews_stable and unproved:
            ready = [pod for pod in self.everybody() if pod.canary and pod.template_hash == self.wanted and pod.ready]
            since = [pod.ready_since for pod in ready if pod.ready_since]
            enough = bool(since) and self.now - max(since) >= timedelta(seconds=READY_SECONDS)
            serves = self.scaled_to and self.replicas and self.stable and self.stable.at.replicas
            assert not self.rollout or (self.replicas < 2 and not serves) or enough, plan
            self.proved.add(self.wanted)

    def nodes(self) -> None:
        """A second passes."""
        self.now += timedelta(seconds=1)
        self.orphans = [
            replace(pod, deleting=True, ready=False, ends_by=pod.ends_by or self.now + GRACE)
            for pod in self.orphans
            if not (pod.ends_by and pod.ends_by <= self.now)
        ]
        for item in (self.stable, self.canary):
            if item:
                self._run(item)
        if self.canary and self.canary.at.deleting and not self.canary.pods:
            self.canary = None

    def _run(self, item: Deployment) -> None:
        item.pods = [pod for pod in item.pods if not (pod.ends_by and pod.ends_by <= self.now)]
        stay = [pod for pod in item.pods if not pod.deleting]
        wanted = 0 if item.at.deleting else item.at.replicas
        old = [pod for pod in stay if pod.template_hash != item.at.template_hash]
        # Of an older template those that are not ready go first, and of the others one at a time.
        going = [pod for pod in old if not pod.ready] or (old[:1] if all(pod.ready for pod in stay) else [])
        going = stay[wanted:] if len(stay) > wanted else going if len(stay) == wanted else []
        ends = self.now + timedelta(seconds=self.chance.randint(1, 30))
        item.pods = [
            replace(pod, deleting=True, ready=False, ends_by=ends) if pod in going else pod for pod in item.pods
        ]
        for _ in range(wanted - len(stay)):
            self.number += 1
            (new,) = pods(1, item.at.template_hash, item.canary, ready=False)
            item.pods.append(replace(new, name=f"pod-{self.number}", created=self.now))
        item.pods = [self._started(pod) for pod in item.pods]

    def _started(self, pod: PodFacts) -> PodFacts:
        starts = not pod.ready and not pod.deleting and pod.template_hash not in self.bad
        return replace(pod, ready=True, ready_since=self.now) if starts and self.chance.random() < 0.2 else pod

    def user(self) -> None:
        """Something happens in the middle."""
        match self.chance.randrange(8):
            case 0:
                self.number += 1
                self.wanted = f"r{self.number}"
                if self.chance.random() < 0.5:
                    self.bad.add(self.wanted)
            case 1 if self.stable:
                self.wanted = self.stable.at.template_hash
            case 2:
                self.replicas = self.chance.randint(0, 8)
            case 3 if self.chance.random() < 0.3:
                self.rollout = not self.rollout
            case 4:
                self.lose()
            case 5 if self.canary and not self.canary.at.deleting:
                self.orphans += self.canary.pods
                self.canary = None
            case 6:
                # The operator is away.
                for _ in range(self.chance.randint(1, 3 * READY_SECONDS)):
                    self.nodes()
            case _:
                pass

    def lose(self) -> None:
        """Somebody deletes a pod."""
        pod = self.chance.choice(self.everybody() or (None,))
        for item in (self.stable, self.canary):
            if item and pod and not pod.deleting:
                gone = replace(pod, deleting=True, ready=False, ends_by=self.now + GRACE)
                item.pods = [gone if one is pod else one for one in item.pods]

    def settles(self) -> Plan:
        """What it comes to when nothing more happens."""
        for _ in range(SETTLED_ROUNDS):
            self.operator()
            self.nodes()
        return self.operator()


@pytest.mark.parametrize("seed", range(60))
def test_a_history(seed: int) -> None:
    world = World(random.Random(seed), scaled_to=8 if seed % 3 == 0 else None)
    for _ in range(400):
        world.operator()
        world.nodes()
        if world.chance.random() < 0.04:
            world.user()
    plan = world.settles()
    assert world.stable
    stay = [pod for pod in world.everybody() if not pod.deleting]
    assert len(stay) == world.replicas
    # A canary that was under way when fewer than 2 replicas were left, or an autoscaler that may bring the second.
    waits = plan.canary is not None
    if waits:
        assert world.replicas < 2
        assert world.canary or (world.scaled_to and world.replicas)
    assert not world.canary or world.canary.at.replicas == 0
    assert world.stable.at.replicas == world.replicas
    serving = {pod.template_hash for pod in stay}
    if plan.rolled_back:
        assert world.wanted in world.bad
        assert world.wanted == world.stable.at.failed_hash
    elif not waits and world.wanted not in world.bad:
        assert serving <= {world.wanted}
    if plan.rolled_back or waits:
        assert world.wanted not in serving


@pytest.mark.parametrize("seed", range(20))
def test_what_can_become_ready_comes_whatever_is_lost_or_scaled_meanwhile(seed: int) -> None:
    world = World(random.Random(seed))
    for second in range(600):
        world.operator()
        world.nodes()
        if second == 60:
            world.wanted = "r1"
        elif second > 90 and world.chance.random() < 0.02:
            world.replicas = world.chance.randint(2, 8)
        elif second > 90 and world.chance.random() < 0.02:
            world.lose()
    assert not world.settles().rolled_back
    assert {pod.template_hash for pod in world.everybody()} == {"r1"}
