"""What a pod says about itself, as the kubelet writes it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmeter.api.scalars import instant
from modelmeter.control.facts import claim_facts, pod_facts, track_state
from modelmeter.meter.objects import Claim, Deployment, Pod
from modelmeter.provision.plan import CANARIES

OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
CRASHED = {"terminated": {"exitCode": 3, "reason": "Error"}}
RUNNING = {"running": {"startedAt": "2026-11-10T12:00:00Z"}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}


def seen(**status: Any) -> Pod:
    """A pod with a node and Triton's container, changed by `status`."""
    container = {"name": "triton", "ready": False, "started": False, "restartCount": 1, "state": RUNNING, **status}
    body = {
        "metadata": {"name": "intent-1", "uid": "u"},
        "spec": {"nodeName": "l4-0"},
        "status": {"phase": "Running", "containerStatuses": [container]},
    }
    return msgspec.convert(body, type=Pod)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"state": OOM}, "OOMKilled"),
        ({"state": BACK_OFF, "lastState": CRASHED, "restartCount": 7}, "Error"),
        # Once more at its start: the last end is still what is known.
        ({"lastState": OOM}, "OOMKilled"),
        # It has passed its startup probe since: what it fails now is something else.
        ({"lastState": OOM, "started": True}, ""),
        ({"lastState": OOM, "started": True, "ready": True}, ""),
        ({}, ""),
    ],
    ids=["ended", "backs off", "starts again", "has started, and fails readiness", "is well", "first start"],
)
def test_an_old_end_is_told_until_the_container_has_started_again(status: dict[str, Any], told: str) -> None:
    facts = pod_facts(seen(**status))
    assert facts.ended_reason == told
    assert bool(facts.ended_container) is bool(told)


@pytest.mark.parametrize(
    ("state", "running"),
    [({"waiting": {"reason": "PodInitializing"}}, False), (RUNNING, True), (CRASHED, False)],
    ids=["waits for its volumes", "runs", "has ended"],
)
def test_the_loader_runs_only_once_the_kubelet_says_so(state: dict[str, Any], running: bool) -> None:
    body = {
        "metadata": {"name": "intent-1", "uid": "u"},
        "status": {"phase": "Pending", "initContainerStatuses": [{"name": "loader", "state": state}]},
    }
    assert pod_facts(msgspec.convert(body, type=Pod)).loader_running is running


@pytest.mark.parametrize(("metadata", "deleting"), [({}, False), ({"deletionTimestamp": "2026-11-10T12:00:00Z"}, True)])
def test_a_claim_says_that_it_is_being_deleted(metadata: dict[str, Any], deleting: bool) -> None:
    claim = msgspec.convert({"metadata": {"name": "intent-models", "uid": "u", **metadata}}, type=Claim)
    assert claim_facts(claim).deleting is deleting


def test_a_mesh_s_init_containers_are_not_the_loader() -> None:
    statuses = [{"name": "istio-init", "state": {"terminated": {"exitCode": 0}}}, {"name": "proxy", "state": RUNNING}]
    body = {"metadata": {"name": "intent-1", "uid": "u"}, "status": {"initContainerStatuses": statuses}}
    facts = pod_facts(msgspec.convert(body, type=Pod))
    assert (facts.loader_running, facts.loader_exit_code) == (False, None)


@pytest.mark.parametrize(("notes", "canaries"), [({CANARIES: "2"}, 2), ({}, 0), ({CANARIES: "some"}, 0)])
def test_what_is_noted_on_a_canary(notes: dict[str, str], canaries: int) -> None:
    body = {"metadata": {"name": "intent-canary", "uid": "u", "annotations": notes}, "spec": {"replicas": 1}}
    found = track_state(msgspec.convert(body, type=Deployment))
    assert found.canaries == canaries
    assert (found.pods_error, found.refused_since) == (None, None)


@pytest.mark.parametrize(
    ("said", "since"),
    [({"lastTransitionTime": "2026-11-10T12:30:00Z"}, "2026-11-10T12:30:00Z"), ({}, "2026-11-10T12:00:00Z")],
)
def test_a_deployment_says_since_when_its_pods_are_refused(said: dict[str, str], since: str) -> None:
    metadata = {"name": "intent-canary", "uid": "u", "creationTimestamp": "2026-11-10T12:00:00Z"}
    refused = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota", **said}
    found = track_state(msgspec.convert({"metadata": metadata, "status": {"conditions": [refused]}}, type=Deployment))
    assert (found.pods_error, found.refused_since) == ("exceeded quota", instant(since))


def test_a_pod_says_when_it_was_made() -> None:
    body = {"metadata": {"name": "intent-1", "uid": "u", "creationTimestamp": "2026-11-10T12:00:00Z"}}
    assert pod_facts(msgspec.convert(body, type=Pod)).created == instant("2026-11-10T12:00:00Z")
