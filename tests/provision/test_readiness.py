"""Every reason a case: what is seen, the condition that says so, and who is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelmeter.api.model_deployment_status import Condition
from modelmeter.provision.checks import BENCHMARK, CHAIN, COST, PROBLEMS
from modelmeter.provision.loading import LoadProgress
from modelmeter.provision.observed import ClaimFacts, Observed, PodFacts
from modelmeter.provision.readiness import conditions, model_status, reason
from tests.provision.builders import NOW, loaded, pending, pod, seen


def by_type(observed: Observed) -> dict[str, Condition]:
    """The conditions of a ModelDeployment seen for the first time."""
    return {entry.type: entry for entry in conditions(observed, (), NOW)}


PENDING_CLAIM = ClaimFacts("intent-models", "Pending", "never")
STARTING = pod(ready=False, loader_exit_code=None, loader_message="", loader_running=True)
LEAVING = pod(deleting=True, ends_by=NOW + timedelta(seconds=40))
ENDED = {"ended_container": "triton", "ended_exit_code": 3}


def load(**facts: Any) -> LoadProgress:
    """What the loader of STARTING says while it fetches."""
    return LoadProgress("intent-1", "fetching", **facts)


def not_started(container: str, message: str) -> PodFacts:
    """A pod of which the kubelet cannot start a container."""
    waiting = {"waiting_reason": "CreateContainerConfigError", "waiting_message": message}
    return pod(ready=False, waiting_container=container, **waiting)


CASES: list[tuple[str, Observed, str, str, str]] = [
    ("SpecInvalid", seen(spec_error="spec.model.source: no scheme"), "Ready", "False", "spec.model.source"),
    (
        "ApplyRefused", seen(apply_error='Invalid: Deployment.apps "intent" is invalid: x'),
        "Ready", "False", "is invalid: x; change what it names, by its name in spec",
    ),
    (
        "ApplyRefused", seen(apply_error="NameTaken: Service a exists and belongs to somebody else, so; or, delete it"),
        "Ready", "False", "or, delete it",
    ),
    (
        "ApplyRefused",
        seen(apply_error='Forbidden: persistentvolumeclaims "a" is forbidden: only dynamically provisioned pvc can be'),
        "Ready", "False", "set spec.storage.size back",
    ),
    (
        "ApplyRefused", seen(apply_error='Forbidden: services "a" is forbidden: exceeded quota: small'),
        "Ready", "False", "raise the namespace's ResourceQuota",
    ),
    (
        "ApplyRefused", seen(apply_error='Forbidden: services "a" is forbidden: User "system:x" cannot patch'),
        "Ready", "False", "give the operator its ClusterRole again",
    ),
    (
        "ApplyRefused", seen(apply_error="Not Found: 404 page not found"),
        "Ready", "False", "serve resource.k8s.io/v1, or leave spec.serving.gpu.deviceClassName out",
    ),
    (
        "ApplyRefused",
        seen(apply_error='Invalid: Deployment.apps "a" is invalid: volumes[4]: Required: must specify a volume type'),
        "Ready", "False", "feature gate ImageVolume",
    ),
    (
        "Terminating", seen(deleting=True, pods=(pod(deleting=True), pod("intent-2", ended=True))),
        "Ready", "False", "waits for the end of pod intent-1, pod intent-2 (ended, to be settled), claim intent-models",
    ),
    (
        "Terminating", seen(deleting=True, pods=tuple(pod(f"p{n}") for n in range(9)), claim=None),
        "Ready", "False", "pod p0, pod p1, pod p2, pod p3, pod p4 and 4 more",
    ),
    (
        "Terminating", seen(deleting=True, apply_error="Forbidden: it is forbidden: User x cannot delete services"),
        "Ready", "False", "its children are not: Forbidden",
    ),
    ("Terminating", seen(deleting=True, pods=(), claim=None), "Ready", "False", "waits for its last CostStatement"),
    ("ScaledToZero", seen(desired=0, pods=()), "Available", "False", "spec.serving.replicas"),
    ("ScaledToZero", seen(desired=0, pods=(), wakes=True), "Available", "False", "KEDA brings one back once"),
    (
        "ApplyRefused", seen(apply_error="NoSuchKind: this cluster has no ScaledObject of keda.sh/v1alpha1"),
        "Ready", "False", "install KEDA, or take spec.serving.autoscaling.keda out",
    ),
    (
        "SourceClaimNotFound",
        seen(pods=(pending('persistentvolumeclaim "models" not found'),)),
        "ModelAvailable", "False", "does not exist in this namespace; create it",
    ),
    (
        "SourceClaimNotFound",
        seen(pods=(pending('0/1 nodes are available: persistentvolumeclaim "models" is being deleted. not found'),)),
        "ModelAvailable", "False", "claim models of spec.model.source, which is being deleted; create it again once",
    ),
    (
        "ClaimTerminating",
        seen(
            claim=ClaimFacts("intent-models", "Bound", "standard", deleting=True),
            pods=(pod("intent-1"), pending('0/1: persistentvolumeclaim "intent-models" is being deleted.')),
        ),
        "Scheduled", "False", "claim intent-models is being deleted, so intent-2 gets no node; once intent-1 has ended",
    ),
    (
        "ClaimPending",
        seen(claim=PENDING_CLAIM, pods=(pending("pod has unbound immediate PersistentVolumeClaims"),)),
        "ModelAvailable", "False", "StorageClass never does not exist or provides no volume",
    ),
    (
        "SourceClaimPending",
        seen(pods=(pending("pod has unbound immediate PersistentVolumeClaims. not found"),)),
        "ModelAvailable", "False", "waits for claim models of spec.model.source, which has no volume",
    ),
    (
        "PodsNotCreated",
        seen(pods=(), pods_error='pods "intent-1-" is forbidden: no PriorityClass with name gold was found'),
        "Scheduled", "False", "gold was found; create it, or name another in spec.serving.priorityClassName",
    ),
    (
        "PodsNotCreated",
        seen(pods=(), pods_error='pods "intent-1-x" is forbidden: something new'),
        "Scheduled", "False", "something new; change spec.serving",
    ),
    ("Provisioning", seen(pods=()), "Scheduled", "Unknown", "being created"),
    (
        "RoomNotFreed",
        seen(pods=(LEAVING, pending())),
        "Scheduled", "False", "intent-2 waits for what intent-1 holds on its node until it has ended",
    ),
    (
        "RoomNotFreed",
        seen(desired=2, pods=(pod("intent-0"), LEAVING, pending("4 node(s) didn't match pod affinity rules"))),
        "Scheduled", "False", "intent-2 waits for what intent-1 holds",
    ),
    (
        "ClaimOnOneNode",
        seen(desired=2, pods=(pod(), pending("4 node(s) didn't match pod affinity rules"))),
        "Scheduled", "False", "ReadWriteMany",
    ),
    (
        "NoNodeFits",
        seen(desired=2, pods=(pod(), pending("1 node(s) didn't match Pod's node affinity/selector."))),
        "Scheduled", "False", "affinity/selector. Add a node that fits",
    ),
    ("NoNodeFits", seen(pods=(pending(),)), "Scheduled", "False", "Insufficient nvidia.com/gpu"),
    (
        "NoNodeFits",
        seen(pods=(pending("0/4 nodes are available: 1 cannot allocate all claims, 3 had untolerated taint(s)."),)),
        "Scheduled", "False", "Add a node that has so many free devices of spec.serving.gpu.deviceClassName",
    ),
    (
        "DeviceClassNotFound",
        seen(pods=(pending("0/4 nodes are available: request gpu: device class gpu.acme does not exist."),)),
        "Scheduled", "False", "there is no DeviceClass gpu.acme; install the DRA driver",
    ),
    (
        "Scheduling",
        seen(pods=(pending('0/4 nodes are available: pod "search/intent-2": ResourceClaim not created yet.'),)),
        "Scheduled", "Unknown", "waits for the scheduler",
    ),
    ("Scheduling", seen(pods=(pending(message=""),)), "Scheduled", "Unknown", "waits for the scheduler"),
    (
        "Scheduling",
        seen(pods=(pending('waiting for ephemeral volume controller to create the persistentvolumeclaim "a".'),)),
        "Scheduled", "Unknown", "waits for the scheduler",
    ),
    (
        "SourceImageNotPulled",
        seen(
            source_image="registry.example/m:1",
            pods=(
                pod(
                    ready=False,
                    loader_exit_code=None,
                    waiting_container="loader",
                    waiting_reason="ImagePullBackOff",
                    waiting_message='Back-off pulling image "registry.example/m:1": not found',
                ),
            ),
        ),
        "ModelAvailable", "False", "not found; check spec.model.source and spec.serving.imagePullSecrets",
    ),
    (
        "ImageNotPulled",
        seen(pods=(replace(STARTING, waiting_container="triton", waiting_reason="ImagePullBackOff"),)),
        "Available", "False", "container triton",
    ),
    (
        "ModelLoadFailed",
        seen(
            pods=(
                replace(STARTING, loader_exit_code=1, loader_message=loaded(error="HTTP 404", remedy="check the URL")),
            )
        ),
        "ModelAvailable", "False", "HTTP 404; check the URL",
    ),
    ("ModelLoadFailed", seen(pods=(replace(STARTING, loader_exit_code=137),)), "ModelAvailable", "False", "memory"),
    ("ModelLoadFailed", seen(pods=(replace(STARTING, loader_exit_code=2),)), "ModelAvailable", "False", "code 2"),
    (
        "CrashLooping",
        seen(pods=(pod(ready=False, waiting_reason="CrashLoopBackOff", **ENDED),)),
        "Available", "False", "exit code 3; see kubectl logs intent-1 -c triton --previous",
    ),
    ("CrashLooping", seen(pods=(pod(ready=False, restarts=2, **ENDED),)), "Available", "False", "--previous"),
    ("PodsNotReady", seen(pods=(pod(ready=False, restarts=1, **ENDED),)), "Available", "False", "0 of 1"),
    (
        "OutOfMemory",
        seen(pods=(pod(ready=False, restarts=5, **{**ENDED, "ended_reason": "OOMKilled"}),)),
        "Available", "False", "limits.memory",
    ),
    (
        "ContainerNotStarted", seen(pods=(not_started("loader", 'secret "hub" not found'),)),
        "Available", "False", 'secret "hub" not found; create it, or change spec.model.credentialsSecret',
    ),
    (
        "ContainerNotStarted", seen(pods=(not_started("triton", "couldn't find key A in ConfigMap search/x"),)),
        "Available", "False", "ConfigMap search/x; create it, or change spec.serving.env",
    ),
    (
        "ContainerNotStarted", seen(pods=(not_started("triton", 'exec: executable file not found in $PATH'),)),
        "Available", "False", "not found in $PATH; name an image of Triton in spec.serving.image",
    ),
    (
        "ContainerNotStarted", seen(pods=(not_started("triton", "no room"),)),
        "Available", "False", "no room; see kubectl describe pod intent-1",
    ),
    (
        "PodStarting", seen(pods=(replace(STARTING, loader_running=False),)),
        "Available", "False", "kubectl describe pod intent-1",
    ),
    ("ModelLoading", seen(pods=(STARTING,)), "ModelAvailable", "False", "intent-1 is fetching the model"),
    (
        "ModelLoading", seen(pods=(STARTING,), load=load(arrived_bytes=3 << 29, total_bytes=5 << 29)),
        "ModelAvailable", "False", "intent-1: fetching, 1.5 GiB of 2.5 GiB (60 %)",
    ),
    (
        "ModelLoading", seen(pods=(STARTING,), load=load(file="model.onnx", arrived_bytes=3 << 29)),
        "ModelAvailable", "False",
        "intent-1: fetching model.onnx, 1.5 GiB so far (the source does not say of how much)",
    ),
    (
        "ModelLoading", seen(pods=(STARTING,), load=load(arrived_bytes=0, total_bytes=9, trouble="HTTP 503")),
        "ModelAvailable", "False", "intent-1: fetching, 0 B of 9 B (0 %); HTTP 503, it tries again",
    ),
    (
        "ModelLoading",
        seen(pods=(replace(STARTING, name="intent-0"), STARTING), load=LoadProgress("intent-1", "converting")),
        "ModelAvailable", "False", "intent-1: converting",
    ),
    # What a pod said that is gone, or has ended, is not how far another is.
    (
        "ModelLoading", seen(pods=(replace(STARTING, name="intent-0"),), load=load(arrived_bytes=1)),
        "ModelAvailable", "False", "intent-0 is fetching the model",
    ),
    (
        "ModelLoadFailed",
        seen(pods=(replace(STARTING, loader_exit_code=137),), load=load(arrived_bytes=3 << 29, total_bytes=5 << 29)),
        "ModelAvailable", "False",
        "most likely for memory; raise spec.serving.resources.limits (once more: fetching, 1.5 GiB of 2.5 GiB (60 %))",
    ),
    ("PodsNotReady", seen(pods=(pod(ready=False),)), "Available", "False", "0 of 1"),
    (
        "TritonNotAnswering", seen(triton=(False, "no answer within 3 s at 10.0.0.1:8000")),
        "Available", "False", "at 10.0.0.1:8000; see the pod's log, or let the operator's namespace reach port 8000",
    ),
    ("TritonNotAsked", seen(triton=None), "Available", "Unknown", "not been asked"),
    ("RolledBack", seen(rolled_back="revision b was rolled back"), "Progressing", "False", "revision b was"),
    ("Canary", seen(canary="0 of 1 replicas are ready"), "Progressing", "True", "0 of 1"),
    ("CanaryStuck", seen(canary="waits until", canary_stuck=True), "Progressing", "False", "waits until"),
    ("RollingOut", seen(pods=(pod(template_hash="older"),)), "Ready", "False", "0 of 1"),
    ("RollingOut", seen(desired=2), "Ready", "False", "1 of 2"),
    ("LedgerNotWritten", seen(ledger_error="HTTP 403"), "Metered", "False", "HTTP 403"),
    ("LedgerLost", seen(ledger_lost="278 GPU-seconds were shown"), "Metered", "False", "278 GPU-seconds"),
    ("LedgerBroken", seen(metering_error="totals went down"), "Metered", "False", "totals went down"),
    ("NotYetMetered", seen(metered=False), "Metered", "Unknown", "statement"),
    ("PriceBookNotFound", seen(price_book_found=False), "Priced", "False", "default"),
    ("PriceBookInvalid", seen(price_book_error="spec.rates[0].from: no date"), "Priced", "False", "spec.rates[0].from"),
    ("CurrencyDiffers", seen(currency="USD", price_book_currency="EUR"), "Priced", "False", "ledger is in USD"),
    ("NoRate", seen(unpriced=("gpu on NVIDIA-L4 (spot)",)), "Priced", "False", "gpu on NVIDIA-L4 (spot)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "observed", "kind", "status", "words"), CASES, ids=[case[0] for case in CASES])
def test_reason(name: str, observed: Observed, kind: str, status: str, words: str) -> None:
    found = by_type(observed)
    assert (found[kind].status, found[kind].reason) == (status, name)
    assert words in found[kind].message
    assert reason(found.values()) == name
    serving_fails = kind not in ("Metered", "Priced")
    assert (found["Ready"].status == "True") is not serving_fails
    assert {entry.observed_generation for entry in found.values()} == {3}


def test_every_reason_has_a_case() -> None:
    assert {check.reason for check in (*CHAIN, *COST)} == {case[0] for case in CASES}


def test_all_is_well() -> None:
    found = by_type(seen())
    assert list(found) == [
        "Ready", "ModelAvailable", "Scheduled", "Available", "Progressing", "Metered", "Priced",
    ]  # fmt: skip
    assert {kind for kind, entry in found.items() if entry.status != "True"} == {"Progressing"}
    assert reason(found.values()) == "Ready"
    assert "1 of 1" in found["Ready"].message


def test_one_pod_in_trouble_does_not_hide_that_others_answer() -> None:
    found = by_type(seen(desired=2, pods=(pod(), pending())))
    assert found["Available"].status == "True"
    assert (found["Ready"].status, found["Ready"].reason) == ("False", "NoNodeFits")


def test_a_roll_back_and_a_canary_that_is_stuck_are_told_whatever_else_is_wrong() -> None:
    waits = seen(pods=(pod(ready=False),), canary="waits until there are 2 replicas", canary_stuck=True)
    assert by_type(waits)["Ready"].reason == "PodsNotReady"
    assert by_type(waits)["Progressing"].message == "waits until there are 2 replicas"
    found = by_type(seen(desired=2, pods=(pod(), pending()), rolled_back="revision b was rolled back"))
    assert (found["Ready"].reason, found["Progressing"].reason) == ("NoNodeFits", "RolledBack")
    assert "RolledBack" in PROBLEMS


SERVING = ("ModelAvailable", "Scheduled", "Available")
WAITING_FOR_CLAIM = pending("0/4 nodes are available: pod has unbound immediate PersistentVolumeClaims.")
UNKNOWN: list[tuple[Observed, str]] = [
    (seen(pods=(pending(),), triton=None), "NoNodeFits"),
    (seen(pods=(pending('persistentvolumeclaim "models" not found'),), triton=None), "SourceClaimNotFound"),
    (seen(claim=PENDING_CLAIM, pods=(WAITING_FOR_CLAIM,), triton=None), "ClaimPending"),
    (seen(pods=(WAITING_FOR_CLAIM,), triton=None), "SourceClaimPending"),
    (seen(pods=(), pods_error="forbidden", triton=None), "PodsNotCreated"),
    (seen(pods=(), triton=None), "Provisioning"),
    (seen(pods=(pending(message=""),), triton=None), "Scheduling"),
    (seen(pods=(STARTING,), triton=None), "ModelLoading"),
    (seen(pods=(), triton=None, apply_error="NameTaken"), "ApplyRefused"),
    (seen(pods=(), triton=None, deleting=True), "Terminating"),
    (seen(desired=0, pods=(), triton=None), "ScaledToZero"),
    (seen(desired=0, pods=(), triton=None, spec_error="no source"), "SpecInvalid"),
]


@pytest.mark.parametrize(("observed", "name"), UNKNOWN, ids=[case[1] for case in UNKNOWN])
def test_what_has_no_reason_of_its_own_is_unknown_with_the_lowest(observed: Observed, name: str) -> None:
    entries = [found for kind, found in by_type(observed).items() if kind in SERVING and found.status != "True"]
    assert len(entries) >= 2
    assert {entry.reason for entry in entries} == {name}
    own = {check.condition for check in CHAIN if check.reason == name and check.known}
    assert {entry.type for entry in entries if entry.status == "False"} == own & set(SERVING)


def test_nothing_is_under_way_at_no_replicas() -> None:
    found = by_type(seen(desired=0, pods=(), triton=None))
    assert (found["Progressing"].status, found["Progressing"].reason) == ("False", "ScaledToZero")
    assert found["Ready"].reason == "ScaledToZero"
    assert by_type(seen(pods=()))["Progressing"].status == "True"


def test_pods_that_are_refused_are_news_only_while_pods_are_missing() -> None:
    assert reason(conditions(seen(pods_error="exceeded quota"), (), NOW)) == "Ready"
    assert reason(conditions(seen(desired=2, pods_error="exceeded quota"), (), NOW)) == "PodsNotCreated"


def test_a_claim_that_waits_for_its_first_pod_is_not_to_blame() -> None:
    assert reason(conditions(seen(claim=PENDING_CLAIM, pods=(pending(),)), (), NOW)) == "NoNodeFits"


def test_a_claim_on_its_way_out_is_news_only_where_a_pod_waits_for_it() -> None:
    leaving = ClaimFacts("intent-models", "Bound", "standard", deleting=True)
    assert reason(conditions(seen(claim=leaving), (), NOW)) == "Ready"
    assert reason(conditions(seen(claim=leaving, pods=(pending(),)), (), NOW)) == "NoNodeFits"


def test_what_a_loader_said_before_it_failed_is_no_progress() -> None:
    ended = replace(STARTING, loader_running=False, loader_exit_code=1, loader_message=loaded(error="e", remedy="r"))
    assert by_type(seen(pods=(ended,), load=load(arrived_bytes=1)))["ModelAvailable"].message == "intent-1: e; r"


def test_progress_is_told_to_nobody_and_problems_are() -> None:
    assert not PROBLEMS & {
        "Terminating",
        "ScaledToZero",
        "PodStarting",
        "ModelLoading",
        "PodsNotReady",
        "RollingOut",
        "Scheduling",
    }
    assert {"NoNodeFits", "NoRate", "ApplyRefused", "LedgerBroken"} <= PROBLEMS


def test_the_time_of_a_condition_is_when_its_status_changed() -> None:
    first = conditions(seen(pods=(pending(),)), (), NOW)
    second = conditions(seen(pods=(pending("another reason"),)), first, NOW + timedelta(minutes=5))
    third = conditions(seen(), second, NOW + timedelta(minutes=9))
    times = [{entry.type: entry.last_transition_time for entry in found}["Ready"] for found in (first, second, third)]
    assert times == ["2026-11-10T12:00:00Z", "2026-11-10T12:00:00Z", "2026-11-10T12:09:00Z"]


def test_a_rollout_on_a_full_pool_is_progress_and_no_warning() -> None:
    found = by_type(seen(pods=(LEAVING, pending())))
    assert (found["Progressing"].status, found["Progressing"].reason) == ("True", "RoomNotFreed")
    assert not {entry.reason for entry in found.values()} & PROBLEMS


@pytest.mark.parametrize(
    "leaving",
    [
        pod(deleting=True, ended=True, ends_by=NOW),
        pod(deleting=True, scheduled=False, ends_by=NOW),
        # Its node does not answer: nobody knows when it ends.
        pod(deleting=True, ends_by=NOW - timedelta(minutes=2)),
    ],
    ids=["ended", "never had a node", "overdue"],
)
def test_what_holds_no_room_or_does_not_end_is_not_waited_for(leaving: PodFacts) -> None:
    assert reason(conditions(seen(pods=(leaving, pending())), (), NOW)) == "NoNodeFits"


def test_pods_that_end_count_for_nothing() -> None:
    assert reason(conditions(seen(pods=(pod(ended=True), pod(deleting=True))), (), NOW)) == "Provisioning"


def test_model_status_is_what_the_loader_of_the_current_spec_reported() -> None:
    report = model_status(seen(pods=(pod(template_hash="older", loader_message=loaded(sha256="old")), pod())))
    assert report is not None
    assert (report.sha256, report.bytes, report.revision) == ("ab", 90_000_000, "")
    resolved = model_status(seen(pods=(pod(loader_message=loaded(sha256="ab", bytes=1, revision="1f2e")),)))
    assert resolved is not None
    assert resolved.revision == "1f2e"
    for useless in ("not json", loaded(sha256="ab", bytes="many"), loaded(sha256="ab")):
        assert model_status(seen(pods=(pod(loader_message=useless),))) is None


def test_every_reason_is_documented() -> None:
    table = (Path(__file__).parents[2] / "docs" / "conditions.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    documented = [(row[0], row[1], row[2] == "event") for row in rows if len(row) == 4][2:]
    assert documented == [(check.reason, check.condition, check.problem) for check in (*CHAIN, *COST, *BENCHMARK)]
