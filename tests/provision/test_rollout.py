"""What the two Deployments of a model are to be: a table of what there is and what follows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from modelmeter.api.resources import ModelDeployment
from modelmeter.errors import SpecError
from modelmeter.provision.children import desired, of_canary
from modelmeter.provision.observed import PodFacts
from modelmeter.provision.plan import CANARIES, FAILED_HASH, FAILURE, FORGOTTEN, Plan, TrackState
from modelmeter.provision.pod import LOADER
from modelmeter.provision.rollout import decide
from tests.provision.builders import NOW, model, pod, seen

MINUTE = timedelta(minutes=1)
OLD, NEW, OTHER = "old", "new", "other"
ROLLOUT = {"canaryShare": "0.25", "readySeconds": 60, "deadlineSeconds": 600}


def careful(
    replicas: int = 4, rollout: dict[str, Any] | None = ROLLOUT, scaled_to: int | None = None
) -> ModelDeployment:
    """A model that wants a canary, unless `rollout` is None; an autoscaler brings up to `scaled_to` replicas."""
    scaling = {"autoscaling": {"max": scaled_to, "metric": "cpu", "target": 70}} if scaled_to else {}
    serving = {"replicas": replicas, **({"rollout": rollout} if rollout is not None else {}), **scaling}
    return model({"model": {"source": "pvc://models/minilm"}, "serving": serving})


def pods(
    count: int, revision: str, canary: bool = False, since: int = 300, made: int = 300, **facts: Any
) -> tuple[PodFacts, ...]:
    """Pods made `made` seconds ago that have been ready for `since`, changed by `facts`."""
    kind = "canary" if canary else "stable"
    ready = None if facts.get("ready") is False else NOW - timedelta(seconds=since)
    names = (f"{kind}-{revision}-{n}" for n in range(count))
    common = {"template_hash": revision, "canary": canary, "created": begun(made), "ready_since": ready}
    return tuple(pod(name, **{**common, **facts}) for name in names)


def leaving(count: int, revision: str, canary: bool = False, ends_in: int = 30, **facts: Any) -> tuple[PodFacts, ...]:
    """Pods that are being deleted and hold their GPUs still, changed by `facts`."""
    return pods(count, revision, canary, deleting=True, ends_by=NOW + timedelta(seconds=ends_in), **facts)


def begun(seconds: int) -> datetime:
    """So long ago."""
    return NOW - timedelta(seconds=seconds)


@dataclass(frozen=True)
class Case:
    """What there is of a model that wants 4 replicas of NEW, and what is to follow."""

    stable: TrackState | None
    canary: TrackState | None
    there: tuple[PodFacts, ...]
    renews: bool
    """Whether the stable Deployment gets the new template."""
    scale: tuple[int, int | None]
    """Replicas of the two; None: nothing is applied."""
    removes: bool = False
    says: str = ""
    """Of the canary, or of the roll-back."""
    rolled_back: bool = False
    notes: dict[str, str | None] = field(default_factory=dict)
    again_in: int | None = None
    """Seconds until it may be otherwise by time alone."""
    replicas: int = 4
    rollout: dict[str, Any] | None = field(default_factory=lambda: ROLLOUT)
    scaled_to: int | None = None


STABLE_4, STABLE_3 = TrackState(OLD, 4), TrackState(OLD, 3)
CANARY = TrackState(NEW, 1)
FAILED = TrackState(OLD, 3, failed_hash=NEW, failure="it did not run")
STARTING = pods(1, NEW, True, made=100, ready=False, loader_exit_code=None, loader_running=True)
AT_DEADLINE = pods(1, NEW, True, made=600, ready=False, loader_exit_code=None, loader_running=True)
LATE = {
    FAILED_HASH: NEW,
    FAILURE: "of its canary 0 of 1 replicas are ready past the deadline of 600 s (ModelLoading: canary-new-0 is"
    " fetching the model)",
}
LOOPING = pods(1, NEW, True, ready=False, waiting_reason="CrashLoopBackOff", ended_container="triton")
OTHERS_LOOPING = pods(1, OTHER, True, ready=False, waiting_reason="CrashLoopBackOff", ended_container="triton")
EVICTED = pods(2, NEW, True, ready=False, ended=True)

CASES = {
    "nothing is there: the first revision needs no canary": Case(None, None, (), True, (4, None)),
    "nothing has changed": Case(TrackState(NEW, 4), None, pods(4, NEW), True, (4, None)),
    "no canary is asked for": Case(STABLE_4, None, pods(4, OLD), True, (4, None), rollout=None),
    "a new revision: room is made for it": Case(
        STABLE_4, None, pods(4, OLD), False, (3, None), says="waits for the end of 1 other"
    ),
    "which a pod holds up to its end": Case(
        STABLE_3, None, (*pods(3, OLD), *leaving(1, OLD)), False, (3, None), says="waits for the end", again_in=90
    ),
    "or until its end is overdue, for its node may be lost": Case(
        STABLE_3, None, (*pods(3, OLD), *leaving(1, OLD, ends_in=-61)), False, (3, 1), says="is being created"
    ),
    "there is room": Case(STABLE_3, None, pods(3, OLD), False, (3, 1), says="is being created"),
    "a canary of more than one grows as others end": Case(
        TrackState(OLD, 2), TrackState(NEW, 1), (*pods(2, OLD), *leaving(1, OLD), *STARTING), False, (2, 1),
        says="0 of 2", again_in=90, rollout={**ROLLOUT, "canaryShare": "0.5"},
    ),
    "and is not made smaller while another pod is replaced": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *leaving(1, OLD), *STARTING), False, (3, 1), says="0 of 1", again_in=90
    ),
    "the canary starts": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *STARTING), False, (3, 1),
        says="0 of 1 replicas are ready; it is rolled back at 2026-11-10T12:08:20Z if", again_in=500,
    ),
    "the canary is ready, but not for long enough": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *pods(1, NEW, True, since=59)), False, (3, 1),
        says="the others follow at 2026-11-10T12:00:01Z", again_in=1,
    ),
    "one of it is lost after the deadline: it is given another": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *leaving(1, NEW, True, made=9000), *STARTING), False, (3, 1),
        says="it is rolled back at 2026-11-10T12:08:20Z if", again_in=90,
    ),
    "as soon as there is one in its place": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *leaving(1, NEW, True, made=9000)), False, (3, 1),
        says="0 of 1 replicas are ready; waits for a pod to be made", again_in=90,
    ),
    "and all others are given it too": Case(
        TrackState(OLD, 2), TrackState(NEW, 2),
        (*pods(2, OLD), *pods(1, NEW, True, made=9000, ready=False), *STARTING), False, (2, 2),
        says="it is rolled back at 2026-11-10T12:08:20Z if", again_in=500,
        rollout={**ROLLOUT, "canaryShare": "0.5"},
    ),
    "one that is only not ready for a moment is given none: it would never come to an end": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *AT_DEADLINE), False, (3, None), removes=True,
        rolled_back=True, says="0 of 1 replicas are ready past the deadline of 600 s", notes=LATE,
    ),
    "pods that are refused are waited for no longer than others": Case(
        STABLE_3, replace(CANARY, pods_error="exceeded quota: gpus", refused_since=begun(599)), pods(3, OLD), False,
        (3, 1), says="it is rolled back at 2026-11-10T12:00:01Z if", again_in=1,
    ),
    "one that was refused after another had come is given its own time": Case(
        TrackState(OLD, 2), TrackState(NEW, 2, refused_since=begun(10), pods_error="exceeded quota: gpus"),
        (*pods(2, OLD), *AT_DEADLINE), False, (2, 2), says="it is rolled back at 2026-11-10T12:09:50Z if",
        again_in=590, rollout={**ROLLOUT, "canaryShare": "0.5"},
    ),
    "its pods end by themselves, which makes each of them a new one": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *EVICTED, *STARTING), False, (3, None), removes=True, rolled_back=True,
        says="2 pods of its canary ended by themselves; see kubectl get events", notes={
            FAILED_HASH: NEW,
            FAILURE: "2 pods of its canary ended by themselves; see kubectl get events --field-selector"
            " involvedObject.name=canary-new-1",
        },
    ),
    "each of its replicas may once": Case(
        STABLE_3, CANARY, (*pods(3, OLD), EVICTED[0], *leaving(1, NEW, True, ended=True), *STARTING), False, (3, 1),
        says="0 of 1 replicas are ready; it is rolled back at", again_in=500,
    ),
    "it is given that time beyond its deadline": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *pods(1, NEW, True, since=59, made=660)), False, (3, 1),
        says="the others follow", again_in=1,
    ),
    "it has been ready for long enough: the others follow": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *pods(1, NEW, True, since=60)), True, (3, 1), says="0 of 4"
    ),
    "all of a canary have to be": Case(
        TrackState(OLD, 2), TrackState(NEW, 2),
        (*pods(2, OLD), *pods(1, NEW, True), *pods(1, NEW, True, since=59)), False, (2, 2),
        says="2 of 2", again_in=1, rollout={**ROLLOUT, "canaryShare": "0.5"},
    ),
    "others are not yet ready": Case(
        TrackState(NEW, 3), CANARY, (*pods(2, OLD), *pods(1, NEW, ready=False), *pods(1, NEW, True)), True, (3, 1),
        says="0 of 4",
    ),
    "all others are: the canary goes": Case(
        TrackState(NEW, 3), CANARY, (*pods(3, NEW), *pods(1, NEW, True)), True, (3, None), removes=True, says="3 of 4"
    ),
    "one of two, for one at a time may be missing": Case(
        TrackState(NEW, 2), TrackState(NEW, 2), (*pods(2, NEW), *pods(2, NEW, True)), True, (2, 1),
        says="2 of 4", rollout={**ROLLOUT, "canaryReplicas": 2, "canaryShare": None},
    ),
    "its room is free once it has ended": Case(
        TrackState(NEW, 3), replace(CANARY, deleting=True), (*pods(3, NEW), *leaving(1, NEW, True)), True, (3, None),
        removes=True, says="3 of 4", again_in=90,
    ),
    "its room is free": Case(
        TrackState(NEW, 3), None, (*pods(3, NEW), *pods(1, NEW, True, ended=True)), True, (4, None)
    ),
    "the deadline has passed": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *AT_DEADLINE), False, (3, None), removes=True,
        rolled_back=True, says="revision new was rolled back to old: of its canary 0 of 1 replicas are ready past"
        " the deadline of 600 s (ModelLoading: canary-new-0 is fetching the model); change spec.model",
        notes=LATE,
    ),
    "its pods crash": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *LOOPING), False, (3, None), removes=True, rolled_back=True,
        says="CrashLooping: canary-new-0: container triton ends again and again",
        notes={
            FAILED_HASH: NEW,
            FAILURE: "its canary does not run (CrashLooping: canary-new-0: container triton ends again and again, last"
            " with exit code 0; see kubectl logs canary-new-0 -c triton --previous)",
        },
    ),
    "pods of the canary before say nothing of this one": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *OTHERS_LOOPING), False, (3, 1), says="0 of 1 replicas are ready; waits"
    ),
    "it is rolled back, and its pod ends": Case(
        FAILED, replace(CANARY, deleting=True), (*pods(3, OLD), *leaving(1, NEW, True)), False, (3, None), removes=True,
        rolled_back=True, says="it did not run; change spec", again_in=90,
    ),
    "it was rolled back and is not tried again": Case(
        FAILED, None, pods(3, OLD), False, (4, None), rolled_back=True, says="it did not run; change spec"
    ),
    "nor with one replica": Case(
        replace(FAILED, replicas=1), None, pods(1, OLD), False, (1, None), rolled_back=True, says="it did", replicas=1
    ),
    "another change is tried": Case(
        replace(FAILED, failed_hash=OTHER, replicas=4), None, pods(4, OLD), False, (3, None), says="waits for",
        notes=dict(FORGOTTEN),
    ),
    "the spec that failed is taken back": Case(
        replace(FAILED, template_hash=NEW, failed_hash=OTHER, replicas=4), None, pods(4, NEW), True, (4, None),
        notes=dict(FORGOTTEN),
    ),
    "no canary is asked for after a roll-back": Case(
        replace(FAILED, replicas=4), None, pods(4, OLD), True, (4, None), notes=dict(FORGOTTEN), rollout=None,
    ),
    "the spec changes in the middle: the canary before goes first": Case(
        STABLE_3, TrackState(OTHER, 1), (*pods(3, OLD), *pods(1, OTHER, True)), False, (3, None),
        removes=True, says="canary of revision new: waits for the end of the canary before",
    ),
    "and holds its room": Case(
        STABLE_3, TrackState(OTHER, 1, deleting=True), (*pods(3, OLD), *leaving(1, OTHER, True)), False,
        (3, None), removes=True, says="waits for the end of the canary before", again_in=90,
    ),
    "the spec is taken back in the middle": Case(
        TrackState(NEW, 3), TrackState(OTHER, 1),
        (*pods(2, NEW), *pods(1, NEW, ready=False), *pods(1, OTHER, True)), True, (3, None), removes=True,
        says="the canary of revision other is being removed",
    ),
    "the spec changes while the others follow": Case(
        TrackState(OTHER, 3), TrackState(OTHER, 1),
        (*pods(2, OLD), *pods(1, OTHER), *pods(1, OTHER, True)), False, (3, None), removes=True, says="canary before",
    ),
    "no canary is asked for in the middle": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *STARTING), True, (3, None), removes=True, rollout=None,
        says="the canary of revision new is being removed",
    ),
    "more replicas in the middle: the canary is as large as it was made": Case(
        STABLE_3, replace(CANARY, canaries=1), (*pods(3, OLD), *pods(1, NEW, True, since=59)), False, (7, 1),
        says="1 of 1", again_in=1, replicas=8,
    ),
    "also beyond its deadline": Case(
        STABLE_3, TrackState(NEW, 1, canaries=1), (*pods(3, OLD), *pods(1, NEW, True, made=9000)), True, (7, 1),
        says="0 of 8", replicas=8,
    ),
    "another share in the middle is for the next canary": Case(
        STABLE_3, replace(CANARY, canaries=1), (*pods(3, OLD), *pods(1, NEW, True, since=59)), False, (3, 1),
        says="1 of 1", again_in=1, rollout={**ROLLOUT, "canaryShare": "0.75"},
    ),
    "fewer replicas than it was made for": Case(
        TrackState(OLD, 2), TrackState(NEW, 2, canaries=2), (*pods(2, OLD), *pods(2, NEW, True, since=9)), False,
        (1, 1), says="1 of 1", again_in=51, replicas=2,
    ),
    "fewer replicas in the middle": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *pods(1, NEW, True, since=9)), False, (1, 1), says="1 of 1", again_in=51,
        replicas=2,
    ),
    "one replica from the start: it is replaced as without a canary": Case(
        TrackState(OLD, 1), None, pods(1, OLD), True, (1, None), replicas=1
    ),
    "nor one that an autoscaler may bring more than it": Case(
        TrackState(OLD, 1), None, pods(1, OLD), True, (1, None), replicas=1, scaled_to=1
    ),
    "one replica, and an autoscaler may bring more: it is not the one that is tried": Case(
        STABLE_3, None, (*pods(1, OLD), *leaving(2, OLD)), False, (1, None),
        says="waits until there are 2 replicas; set spec.serving.autoscaling.min, or take out", again_in=90, replicas=1,
        scaled_to=4,
    ),
    "nor are the first that it brings": Case(
        TrackState(OLD, 1), None, pods(1, OLD), False, (1, 1), says="is being created", replicas=2, scaled_to=4
    ),
    "nor where the one replica is not ready, or is lost: that may be for a moment": Case(
        TrackState(OLD, 1), None, pods(1, OLD, ready=False), False, (1, None), replicas=1, scaled_to=4,
        says="waits until there are 2 replicas; set spec.serving.autoscaling.min, or take out",
    ),
    "the last replica goes: the model rests": Case(
        TrackState(OLD, 1), None, pods(1, OLD), True, (0, None), replicas=0, scaled_to=4
    ),
    "nor has a model at rest": Case(TrackState(OLD, 0), None, (), True, (0, None), replicas=0, scaled_to=4),
    "one replica in the middle: it is of the old revision": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *pods(1, NEW, True)), False, (1, 0),
        says="waits until there are 2 replicas; set spec.serving.replicas, or take out", replicas=1,
    ),
    "and two again: another canary, whose time begins anew": Case(
        TrackState(OLD, 1), TrackState(NEW, 0), pods(1, OLD), False, (1, None), removes=True,
        says="waits for the end of the canary before", replicas=2,
    ),
    "none in the middle": Case(
        STABLE_3, CANARY, (*pods(3, OLD), *STARTING), False, (0, 0), says="waits until", replicas=0
    ),
    "somebody deleted the stable Deployment: there is nothing to go back to": Case(
        None, CANARY, pods(1, NEW, True), True, (3, 1), says="0 of 4"
    ),
    "somebody deletes the canary": Case(
        STABLE_3, replace(CANARY, deleting=True), (*pods(3, OLD), *leaving(1, NEW, True)), False, (3, None),
        removes=True, says="waits for the end of the canary before", again_in=90,
    ),
    "its pod ends on a node that may be lost: the room is looked for again": Case(
        TrackState(NEW, 3), None, (*pods(3, NEW), *leaving(1, NEW, True)), True, (3, None), again_in=90
    ),
    "also after a roll-back": Case(
        FAILED, None, (*pods(3, OLD), *leaving(1, NEW, True)), False, (3, None), rolled_back=True, says="it did not",
        again_in=90,
    ),
    "somebody deleted the canary, and its pods hold their GPUs still": Case(
        TrackState(OLD, 6), None, (*pods(6, OLD), *leaving(1, NEW, True), *pods(1, NEW, True)), False, (6, None),
        says="waits for the end of 2 other", again_in=90, replicas=8,
    ),
    "a replica of the old revision is asked for and not shown yet: it has the room": Case(
        STABLE_4, None, pods(3, OLD), False, (3, None), says="waits for the end of 1 other"
    ),
    "one that was lost is replaced in its own room": Case(
        STABLE_3, None, (*pods(2, OLD), *leaving(1, OLD)), False, (3, None), says="waits for the end", again_in=90
    ),
    "a replica of the canary is not shown yet": Case(
        TrackState(OLD, 2), CANARY, pods(2, OLD), False, (3, 1), says="0 of 1 replicas are ready; waits"
    ),
    "somebody deleted the canary: it is made again": Case(
        STABLE_3, None, pods(3, OLD), False, (3, 1), says="is being created"
    ),
}  # fmt: skip


def decided(case: Case) -> Plan:
    """The plan."""
    given = careful(case.replicas, case.rollout, case.scaled_to)
    observed = seen(template_hash=NEW, desired=case.replicas, pods=case.there)
    return decide(given, case.stable, case.canary, observed)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_plan(case: Case) -> None:
    plan = decided(case)
    assert (plan.stable_replicas, plan.canary_replicas) == case.scale
    assert plan.renews_stable is case.renews
    assert plan.removes_canary is case.removes
    assert plan.serving_hash == (NEW if case.renews or case.stable is None else case.stable.template_hash)
    said = plan.rolled_back if case.rolled_back else plan.canary
    assert case.says in (said or "")
    assert bool(said) is bool(case.says)
    assert not (plan.canary and plan.rolled_back)
    assert dict(plan.notes) == case.notes
    assert plan.look_again == (None if case.again_in is None else NOW + timedelta(seconds=case.again_in))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_plan_needs_a_spare_gpu(case: Case) -> None:
    plan = decided(case)
    held = [pod for pod in case.there if not pod.ended and not (pod.ends_by and NOW - pod.ends_by > MINUTE)]
    for canary, asked, has, other in (
        (False, plan.stable_replicas, case.stable, case.canary),
        (True, plan.canary_replicas or 0, case.canary, case.stable),
    ):
        grows = asked > (has.replicas if has else 0)
        others = [pod for pod in held if pod.canary is not canary]
        shown = sum(not pod.deleting for pod in others)
        to_come = other.replicas - shown if other and not other.deleting else 0
        orphans = [pod for pod in held if pod.canary and canary and has is None]
        assert not grows or asked + len(others) + max(0, to_come) + len(orphans) <= case.replicas


def test_a_canary_has_what_it_is_told_and_where_it_writes_for_itself() -> None:
    given = careful()
    keeps = Plan(serving_hash=OLD, stable_replicas=3, renews_stable=False, canary_replicas=1)
    children = {(child["kind"], child["metadata"]["name"]): child for child in desired(given, "loader:1", keeps)}
    assert list(children) == [
        ("PersistentVolumeClaim", "intent-models"), ("ConfigMap", "intent-model-canary"), ("Service", "intent"),
        ("Deployment", "intent-canary"),
    ]  # fmt: skip
    (stable,) = (child for child in desired(given, "loader:1") if child["kind"] == "Deployment")
    canary = children["Deployment", "intent-canary"]
    assert canary["spec"]["replicas"] == 1
    assert stable["spec"]["replicas"] == 4
    ours, theirs = (item["spec"]["template"] for item in (canary, stable))
    service = children["Service", "intent"]["spec"]["selector"]
    for template, deployment in ((ours, canary), (theirs, stable)):
        assert service.items() <= template["metadata"]["labels"].items()
        assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert not canary["spec"]["selector"]["matchLabels"].items() <= theirs["metadata"]["labels"].items()
    assert ours["metadata"]["annotations"] == theirs["metadata"]["annotations"]
    texts = str(ours["spec"]), str(theirs["spec"])
    assert [text.count("/models/canary") for text in texts] == [2, 0]
    assert [text.count("/models/repository") for text in texts] == [0, 2]
    assert [text.count("intent-model-canary") for text in texts] == [1, 0]
    assert [container["name"] for container in ours["spec"]["initContainers"]] == [LOADER]


def test_a_canary_notes_how_large_it_is() -> None:
    given, three = careful(), pods(3, OLD)
    created = decide(given, STABLE_3, None, seen(template_hash=NEW, desired=4, pods=three))
    (made,) = (child for child in desired(given, "loader:1", created) if child["metadata"]["name"] == "intent-canary")
    assert made["metadata"]["annotations"].items() >= created.canary_notes.items()
    assert CANARIES not in made["spec"]["template"]["metadata"]["annotations"]
    assert created.canary_notes == {CANARIES: "1"}
    for there in (STARTING, pods(1, NEW, True, since=9), pods(1, NEW, True)):
        observed = seen(template_hash=NEW, desired=8, pods=(*three, *there))
        plan = decide(careful(8), STABLE_3, TrackState(NEW, 1, canaries=1), observed)
        assert plan.canary_notes == {CANARIES: "1"}


@pytest.mark.parametrize("ready_for", [0, 50])
def test_a_canary_that_is_ready_and_not_by_turns_comes_to_an_end(ready_for: int) -> None:
    """10 seconds of each minute it is not: that is never ready for 60."""
    decided_at = None
    for second in range(0, 1200, 10):
        ready = second % 60 < ready_for
        now = NOW + timedelta(seconds=second)
        since = now - timedelta(seconds=second % 60) if ready else None
        (flaps,) = pods(1, NEW, True, made=0, ready=ready)
        there = (*pods(3, OLD), replace(flaps, ready_since=since))
        plan = decide(careful(), STABLE_3, CANARY, seen(template_hash=NEW, desired=4, pods=there, now=now))
        assert not plan.renews_stable
        if plan.rolled_back:
            decided_at = second
            break
    assert decided_at == (650 if ready_for else 600)


STUCK = leaving(1, OTHER, True, ends_in=-60)


@pytest.mark.parametrize("ended", [False, True])
def test_a_canary_before_that_does_not_end_is_named(ended: bool) -> None:
    before = TrackState(OTHER, 1, deleting=True)
    there = tuple(replace(pod, ended=ended) for pod in STUCK)
    plan = decide(careful(), STABLE_3, before, seen(template_hash=NEW, desired=4, pods=(*pods(3, OLD), *there)))
    assert plan.canary_stuck
    assert plan.canary == (
        "canary of revision new: waits for the end of the canary before: canary-other-0 should have ended at"
        " 2026-11-10T11:59:00Z; if its node is lost, delete the Node (or kubectl delete pod canary-other-0 --force),"
        " else see condition Metered"
    )


def test_waiting_for_a_second_replica_is_somebodys_to_end() -> None:
    one = decide(careful(1), STABLE_3, CANARY, seen(template_hash=NEW, desired=1, pods=pods(3, OLD)))
    assert one.canary_stuck
    assert not decided(CASES["and holds its room"]).canary_stuck
    assert not decided(CASES["the canary starts"]).canary_stuck


def test_what_refuses_a_canarys_pods_is_said_of_it_alone() -> None:
    stable = replace(STABLE_3, pods_error="exceeded quota: others", refused_since=begun(600))
    observed = seen(template_hash=NEW, desired=4, pods=pods(3, OLD), pods_error="exceeded quota: others")
    assert decide(careful(), stable, CANARY, observed).rolled_back is None
    refused = replace(CANARY, pods_error="exceeded quota: gpus", refused_since=begun(600))
    plan = decide(careful(), stable, refused, observed)
    assert "PodsNotCreated: exceeded quota: gpus; raise" in (plan.rolled_back or "")
    assert "others" not in (plan.rolled_back or "")


def test_a_canary_that_has_to_go_where_the_others_are_says_so() -> None:
    said = "0/4 nodes are available: 4 node(s) didn't match pod affinity rules."
    waits = pods(1, NEW, True, ready=False, made=700, scheduled=False, scheduling_message=said)
    observed = seen(template_hash=NEW, desired=4, pods=(*pods(3, OLD), *waits), one_node=True)
    plan = decide(careful(), STABLE_3, CANARY, observed)
    assert "ClaimOnOneNode" in (plan.rolled_back or "")
    assert "ReadWriteMany" in (plan.rolled_back or "")


@pytest.mark.parametrize("there", [pods(4, OLD), pods(3, OLD)], ids=["no room yet", "room"])
def test_without_the_names_of_a_canary_the_revision_before_has_all_replicas(there: tuple[PodFacts, ...]) -> None:
    failed = TrackState(OLD, len(there), failed_hash=OTHER)
    found = decide(careful(4), failed, None, seen(template_hash=NEW, desired=4, pods=there))
    plan = found.unless_taken
    assert plan
    assert (plan.stable_replicas, plan.canary_replicas, plan.renews_stable) == (4, None, False)
    assert dict(plan.notes) == FORGOTTEN
    assert plan.canary == found.canary
    assert not {child["metadata"]["name"] for child in of_canary(careful(), "loader:1")} & {
        child["metadata"]["name"] for child in desired(careful(), "loader:1", plan)
    }


def test_asking_for_a_canary_restarts_nothing() -> None:
    with_one, without = (desired(careful(rollout=rollout), "loader:1") for rollout in (ROLLOUT, None))
    assert with_one == without


@pytest.mark.parametrize(
    ("rollout", "words"),
    [
        ({}, "give either canaryShare or canaryReplicas"),
        ({"canaryShare": "0.5", "canaryReplicas": 1}, "give either canaryShare or canaryReplicas"),
        ({"canaryShare": "0.0"}, "more than 0 and less than 1"),
        ({"canaryShare": "1"}, "more than 0 and less than 1"),
        ({"canaryShare": "25%"}, "more than 0 and less than 1"),
    ],
    ids=str,
)
def test_a_rollout_that_cannot_be(rollout: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=rf"spec\.serving\.rollout.*{re.escape(words)}"):
        careful(rollout=rollout)


@pytest.mark.parametrize(
    ("share", "replicas", "canaries"),
    [("0.25", 5, 2), ("0.25", 4, 1), ("0.01", 2, 1), ("0.99", 3, 2), ("0.5", 1, 0), ("0.5", 0, 0), ("0.1", 10, 1)],
)
def test_a_share_of_the_replicas(share: str, replicas: int, canaries: int) -> None:
    rollout = careful(rollout={"canaryShare": share}).spec.serving.rollout
    assert rollout is not None
    assert rollout.canaries(replicas) == canaries
