"""From objects as the API server gives them to what is held: since when, until when, of what, how sure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from modelmeter.meter.account import Facts, account
from modelmeter.meter.holding import CPU, GPU, MEMORY, REPLICA, STORAGE, Holding, Profile
from modelmeter.meter.ledger import Terms, advance
from modelmeter.meter.objects import Claim, ManagedFields, Node, Pod
from modelmeter.meter.observe import claim_holding, pod_holding, to_be_noted, was_released
from modelmeter.meter.page import first_page
from modelmeter.meter.profiles import Captured, encode, node_profile
from tests.meter.builders import MODEL, seconds_of, tariff

NODE = msgspec.convert(
    {
        "metadata": {
            "name": "gpu-1",
            "uid": "n",
            "labels": {
                "nvidia.com/gpu.product": "NVIDIA-L4",
                "node.kubernetes.io/instance-type": "g6.xlarge",
                "topology.kubernetes.io/region": "eu-west-1",
                "karpenter.sh/capacity-type": "spot",
            },
        }
    },
    Node,
)
SPOT_L4 = Profile("NVIDIA-L4", "g6.xlarge", "eu-west-1", "spot")
SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-10T10:00:00Z"}
SANDBOX_GONE = {
    "type": "PodReadyToStartContainers",
    "status": "False",
    "lastTransitionTime": "2026-11-10T11:29:51Z",
}
DELETED = {"deletionTimestamp": "2026-11-10T11:30:00Z", "deletionGracePeriodSeconds": 30}


def pod(metadata: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **status: Any) -> Pod:
    """A pod with one GPU on gpu-1, scheduled at 10:00."""
    container = {"resources": {"requests": {"cpu": "500m", "memory": "2Gi", "nvidia.com/gpu": "1"}}}
    return msgspec.convert(
        {
            "metadata": {
                "name": "p",
                "uid": "u",
                "namespace": "d",
                "creationTimestamp": "2026-11-10T09:59:00Z",
                **(metadata or {}),
            },
            "spec": {"nodeName": "gpu-1", "containers": [container], **(spec or {})},
            "status": {"conditions": [SCHEDULED], **status},
        },
        Pod,
    )


def terminated(*finished: str) -> list[dict[str, Any]]:
    """Container statuses that ended at these times of 2026-11-10."""
    return [{"state": {"terminated": {"finishedAt": f"2026-11-10T{time}Z"}}} for time in finished]


def failed(finished: str) -> list[dict[str, Any]]:
    """Statuses of a container that failed."""
    return [{"state": {"terminated": {"exitCode": 1, "finishedAt": f"2026-11-10T{finished}Z"}}}]


def clock(text: str) -> datetime:
    """A time of 2026-11-10."""
    return datetime.fromisoformat(f"2026-11-10T{text}").replace(tzinfo=UTC)


NO_SANDBOX = {"type": "PodReadyToStartContainers", "status": "False"}
PULLING = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}
RESTARTED = {"state": {"running": {}}, "lastState": terminated("10:05:00")[0]["state"]}
CRASHED = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": terminated("11:25:00")[0]["state"]}

ENDS = [
    pytest.param(pod(phase="Running"), None, "exact", id="it runs"),
    pytest.param(pod({**DELETED}, phase="Running"), None, "exact", id="it is being deleted, and holds its GPU"),
    pytest.param(
        pod(phase="Running", containerStatuses=[{"lastState": terminated("10:05:00")[0]["state"]}]),
        None,
        "exact",
        id="a restart gives nothing back",
    ),
    pytest.param(
        pod(phase="Succeeded", containerStatuses=terminated("11:00:00", "11:00:07")),
        clock("11:00:07"),
        "exact",
        id="the last container's end",
    ),
    pytest.param(
        pod(phase="Failed", initContainerStatuses=failed("10:02:00"), containerStatuses=[PULLING]),
        clock("10:02:00"),
        "exact",
        id="it failed while it was starting",
    ),
    pytest.param(
        pod(
            {**DELETED},
            phase="Failed",
            conditions=[SCHEDULED, SANDBOX_GONE],
            containerStatuses=terminated("11:29:50"),
        ),
        clock("11:29:50"),
        "exact",
        id="it ran until it was told to end: the container's end",
    ),
    pytest.param(
        pod(
            {**DELETED},
            phase="Failed",
            conditions=[SCHEDULED, SANDBOX_GONE],
            initContainerStatuses=terminated("10:02:00"),
            containerStatuses=[{"state": {"terminated": {"reason": "ContainerStatusUnknown", "finishedAt": None}}}],
        ),
        clock("11:29:51"),
        "exact",
        id="it waited for an image when it was deleted, and held its GPU: its sandbox's end",
    ),
    pytest.param(
        pod({**DELETED}, phase="Failed", initContainerStatuses=failed("11:29:40"), containerStatuses=[PULLING]),
        clock("11:29:40"),
        "exact",
        id="told to end while it was starting: the init container's end",
    ),
    pytest.param(
        pod(
            {**DELETED, "deletionGracePeriodSeconds": 0},
            phase="Failed",
            conditions=[SCHEDULED, SANDBOX_GONE],
            initContainerStatuses=failed("11:29:49"),
            containerStatuses=[PULLING],
        ),
        clock("11:29:49"),
        "exact",
        id="told to end while it was starting, though nobody can tell when: the init container's end",
    ),
    pytest.param(
        pod(
            {"deletionTimestamp": "2026-11-10T11:29:30Z", "deletionGracePeriodSeconds": 0},
            phase="Failed",
            initContainerStatuses=terminated("11:29:29"),
        ),
        clock("11:29:30"),
        "estimated",
        id="nothing ran when it was deleted, and nobody says when its sandbox ended: the request",
    ),
    pytest.param(
        pod(
            {"deletionTimestamp": "2026-11-10T23:00:00Z", "deletionGracePeriodSeconds": 0},
            phase="Failed",
            conditions=[SCHEDULED, {**SANDBOX_GONE, "type": "DisruptionTarget", "status": "True"}],
            containerStatuses=terminated("11:29:58"),
        ),
        clock("11:29:58"),
        "exact",
        id="evicted, and deleted long after: the container's end",
    ),
    pytest.param(
        pod({**DELETED}, {"restartPolicy": "Never"}, phase="Failed", containerStatuses=failed("10:30:00")),
        clock("10:30:00"),
        "exact",
        id="a Job's pod, deleted long after it failed: the container's end",
    ),
    pytest.param(
        pod({**DELETED}, {"restartPolicy": "OnFailure"}, phase="Succeeded", containerStatuses=terminated("10:30:00")),
        clock("10:30:00"),
        "exact",
        id="a Job's pod, deleted long after it succeeded: the container's end",
    ),
    pytest.param(
        pod({**DELETED}, {"restartPolicy": "OnFailure"}, phase="Failed", containerStatuses=failed("11:25:00")),
        clock("11:29:30"),
        "estimated",
        id="a Job's pod, deleted while it waited to start once more: the request",
    ),
    pytest.param(
        pod(
            {**DELETED},
            {"restartPolicy": "Never"},
            phase="Failed",
            initContainerStatuses=failed("10:02:00"),
            containerStatuses=[PULLING],
        ),
        clock("10:02:00"),
        "exact",
        id="a Job's pod, deleted long after its start-up failed for good: start-up's end",
    ),
    pytest.param(
        pod(
            phase="Failed",
            conditions=[SCHEDULED, {"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-10T11:10:00Z"}],
        ),
        clock("11:10:00"),
        "estimated",
        id="terminal without a container's word: its conditions",
    ),
    pytest.param(
        pod(
            {**DELETED, "deletionGracePeriodSeconds": 0},
            phase="Failed",
            conditions=[SCHEDULED, {**NO_SANDBOX, "lastTransitionTime": "2026-11-10T11:29:59Z"}],
            containerStatuses=terminated("11:29:58"),
        ),
        clock("11:29:58"),
        "exact",
        id="deleted for good by the kubelet, which hides when it was told to: the container's end",
    ),
    pytest.param(
        pod(
            {**DELETED, "deletionGracePeriodSeconds": 0},
            phase="Failed",
            conditions=[SCHEDULED, {**NO_SANDBOX, "lastTransitionTime": "2026-11-10T11:29:59Z"}],
            containerStatuses=terminated("11:27:00"),
        ),
        clock("11:29:59"),
        "exact",
        id="deleted for good while it waited to start once more: its sandbox's end",
    ),
    pytest.param(
        pod({**DELETED, "deletionGracePeriodSeconds": 0}, phase="Running"),
        clock("11:30:00"),
        "estimated",
        id="deleted by force",
    ),
    pytest.param(
        pod({**DELETED}, {"nodeName": "lost"}, phase="Running"), clock("11:29:30"), "estimated", id="its node is lost"
    ),
    pytest.param(
        pod(
            {**DELETED, "deletionGracePeriodSeconds": 0},
            {"nodeName": "lost"},
            phase="Failed",
            conditions=[
                SCHEDULED,
                {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-11-10T11:31:00Z"},
            ],
            containerStatuses=[RESTARTED],
        ),
        clock("11:30:00"),
        "estimated",
        id="collected after its node: the end of an earlier run is not its end",
    ),
    pytest.param(
        pod({**DELETED}, phase="Failed", initContainerStatuses=terminated("10:00:30"), containerStatuses=[PULLING]),
        clock("11:29:30"),
        "estimated",
        id="deleted while its image could not be pulled: start-up's end is not its end",
    ),
    pytest.param(
        pod({**DELETED}, phase="Failed", containerStatuses=[CRASHED]),
        clock("11:29:30"),
        "estimated",
        id="deleted while it was backing off",
    ),
]


@pytest.mark.parametrize(("given", "end", "certainty"), ENDS)
def test_the_ladder_of_ends(given: Pod, end: datetime | None, certainty: str) -> None:
    held = pod_holding(given, {"gpu-1": NODE}, {"lost"})
    assert held is not None
    assert (held.start, held.end, held.certainty) == (clock("10:00:00"), end, certainty)


def test_what_a_pod_holds() -> None:
    held = pod_holding(pod(), {"gpu-1": NODE}, ())
    assert held is not None
    assert held.amounts == {GPU: 1, CPU: 500, MEMORY: 2 * 2**30, REPLICA: 1}
    assert held.profile == SPOT_L4


def test_the_captured_profile_outlives_the_node() -> None:
    held = pod_holding(
        pod({"annotations": {"modelmeter.dev/price-profile": encode(Captured(SPOT_L4), pod())}}), {}, {"gpu-1"}
    )
    assert held is not None
    assert (held.profile, held.certainty) == (SPOT_L4, "exact")


def test_without_node_and_profile_the_price_is_a_guess_and_says_so() -> None:
    held = pod_holding(pod(), {}, {"gpu-1"})
    assert held is not None
    assert (held.profile, held.certainty) == (Profile(), "estimated")


def test_a_pod_that_waits_for_a_node_holds_nothing() -> None:
    assert pod_holding(pod(spec={"nodeName": ""}, conditions=[]), {}, {"gpu-1"}) is None


def test_a_pod_that_was_deleted_while_it_waited_ends_with_nothing() -> None:
    held = pod_holding(pod({**DELETED}, {"nodeName": ""}, conditions=[]), {}, {"gpu-1"})
    assert held is not None
    assert (held.start == held.end, held.amounts) == (True, {})


def test_the_hungriest_start_up_step_counts_where_it_is_larger() -> None:
    init = {"resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}
    sidecar = {"restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}}
    held = pod_holding(pod(spec={"initContainers": [sidecar, init]}), {"gpu-1": NODE}, ())
    assert held is not None
    assert (held.amounts[CPU], held.amounts[MEMORY]) == (2100, 2 * 2**30)


@pytest.mark.parametrize(
    ("whole", "cpu", "memory"),
    [
        pytest.param({"cpu": "8", "memory": "64Gi"}, 8000, 64, id="both"),
        pytest.param({"cpu": "8"}, 8000, 2, id="one, and the containers say the other"),
        pytest.param({"nvidia.com/gpu": "9"}, 500, 2, id="GPUs are containers' alone"),
    ],
)
def test_what_the_pod_requests_as_a_whole_counts_instead(whole: dict[str, str], cpu: int, memory: int) -> None:
    init = {"resources": {"requests": {"memory": "1Gi"}}}
    asking = pod(spec={"resources": {"requests": whole}, "initContainers": [init], "overhead": {"cpu": "100m"}})
    held = pod_holding(asking, {"gpu-1": NODE}, ())
    assert held is not None
    assert held.amounts == {GPU: 1, CPU: cpu + 100, MEMORY: memory * 2**30, REPLICA: 1}


@pytest.mark.parametrize(
    ("labels", "capacity"),
    [
        ({}, "on-demand"),
        ({"karpenter.sh/capacity-type": "spot"}, "spot"),
        ({"cloud.google.com/gke-spot": "true"}, "spot"),
        ({"cloud.google.com/gke-provisioning": "standard"}, "on-demand"),
        ({"eks.amazonaws.com/capacityType": "CAPACITY_BLOCK"}, "reserved"),
        ({"kubernetes.azure.com/scalesetpriority": "spot"}, "spot"),
    ],
)
def test_every_clouds_word_for_capacity(labels: dict[str, str], capacity: str) -> None:
    node = msgspec.convert({"metadata": {"name": "n", "uid": "n", "labels": labels}}, Node)
    assert node_profile(node).capacity_type == capacity


NOW = datetime(2026, 11, 10, 14, tzinfo=UTC)
BOUND = {"time": "2026-11-10T10:00:05Z", "subresource": "status", "fieldsV1": {"f:status": {"f:phase": {}}}}


def claim(metadata: dict[str, Any] | None = None, **status: Any) -> Claim:
    """A claim of 10 GiB that was made at 10:00 and bound 5 s later."""
    created = {"creationTimestamp": "2026-11-10T10:00:00Z", "managedFields": [BOUND]}
    return msgspec.convert(
        {
            "metadata": {"name": "c", "uid": "c", **created, **(metadata or {})},
            "spec": {"storageClassName": "standard", "resources": {"requests": {"storage": "10Gi"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}, **status},
        },
        Claim,
    )


def test_a_bound_claim_holds_its_capacity_until_it_is_deleted() -> None:
    held = claim_holding(claim({"deletionTimestamp": "2026-11-10T12:00:00Z"}), NOW)
    assert held is not None
    assert (held.start, held.end, held.certainty) == (clock("10:00:05"), clock("12:00:00"), "exact")
    assert (held.amounts, held.profile) == ({STORAGE: 10 * 2**30}, Profile(storage_class="standard"))


def test_a_deleted_claim_is_held_until_the_last_pod_that_uses_it_has_ended() -> None:
    deleted = claim({"deletionTimestamp": "2026-11-10T12:00:00Z"})
    ended = Holding("a", clock("11:00:00"), clock("12:30:00"), {}, Profile())
    running = Holding("b", clock("11:00:00"), None, {}, Profile())
    kept, gone = claim_holding(deleted, NOW, [ended, running]), claim_holding(deleted, NOW, [ended])
    assert kept is not None
    assert gone is not None
    assert (kept.end, gone.end) == (None, clock("12:30:00"))


def test_a_claim_says_when_it_was_resized() -> None:
    asked = {"time": "2026-11-10T11:00:00Z", "fieldsV1": {"f:spec": {"f:resources": {"f:requests": {}}}}}
    got = {"time": "2026-11-10T11:00:09Z", "subresource": "status", "fieldsV1": {"f:status": {"f:capacity": {}}}}
    held = claim_holding(claim({"managedFields": [BOUND, asked, got]}), NOW)
    assert held is not None
    assert (held.start, held.resized) == (clock("10:00:05"), clock("11:00:09"))


def test_a_claim_that_nobody_says_when_it_was_bound_counts_from_its_creation() -> None:
    held = claim_holding(claim({"managedFields": []}), NOW)
    assert held is not None
    assert (held.start, held.certainty) == (clock("10:00:00"), "estimated")


def test_a_pending_claim_holds_nothing() -> None:
    assert claim_holding(claim(phase="Pending", capacity={}), NOW) is None


def test_a_pod_whose_node_the_watch_has_yet_to_show_waits_for_its_price() -> None:
    assert pod_holding(pod(), {}, ()) is None


def test_what_was_never_posted_does_not_look_as_if_it_had_been() -> None:
    """A pod that ran and ended while the operator was away never had our finalizer: noted, it would never count."""
    note = {"annotations": {"modelmeter.dev/price-profile": encode(Captured(SPOT_L4), pod())}}
    held = {"finalizers": ["modelmeter.dev/metering"]}
    ended = {"phase": "Succeeded", "containerStatuses": terminated("11:00:00")}
    assert not to_be_noted(pod(**ended))
    assert not was_released(pod(**ended))
    # It is noted while it carries our finalizer, whether it has ended or not; without it, it was posted.
    assert to_be_noted(pod(held, **ended))
    assert not was_released(pod({**held, **note}, **ended))
    assert was_released(pod(note, **ended))
    assert not was_released(pod(note))


def test_a_claim_that_is_said_to_be_bound_in_a_far_future_counts_from_its_creation() -> None:
    forged = {**BOUND, "time": "2126-11-10T10:00:05Z"}
    held = claim_holding(claim({"managedFields": [forged]}), NOW)
    assert held is not None
    assert (held.start, held.reason) == (clock("10:00:00"), "BoundUnknown")


def test_a_claim_whose_volume_is_lost_has_ended_and_counts_until_then() -> None:
    """The controller takes its capacity away with its phase."""
    prices = tariff()
    sheet = account(first_page(MODEL, clock("09:00:00")), _facts("10:00:06", claim_holding(claim(), NOW))).page
    lost = {**BOUND, "time": "2026-11-10T13:00:05Z"}
    found = claim({"managedFields": [lost]}, phase="Lost", capacity={})
    # Its volume was not written by the controller that lost it, so its binding is still known.
    found.metadata.managed_fields.append(
        msgspec.convert({"time": "2026-11-10T10:00:05Z", "fieldsV1": {"f:spec": {"f:volumeName": {}}}}, ManagedFields)
    )
    held = claim_holding(found, NOW)
    assert held is not None
    assert (held.start, held.end, held.reason) == (clock("10:00:05"), clock("13:00:05"), "VolumeLost")
    for posted in (sheet, advance(sheet, [claim_holding(claim(), NOW)], clock("13:30:00"), prices)):
        outcome = account(posted, _facts("14:00:00", held))
        assert outcome.vanished == ()
        assert seconds_of(outcome.page, STORAGE) == 10 * 2**30 * 3 * 3600
        assert "c" in outcome.page.settled
    unseen = account(first_page(MODEL, clock("09:00:00")), _facts("14:00:00", held)).page
    assert seconds_of(unseen, STORAGE) == 10 * 2**30 * 3 * 3600
    assert {key.reason for key in unseen.unpriced} == {"VolumeLost"}


def test_a_claim_that_does_not_say_when_its_volume_was_lost_ends_when_that_is_seen() -> None:
    held = claim_holding(claim({"managedFields": []}, phase="Lost", capacity={}), NOW)
    assert held is not None
    assert (held.end, held.certainty) == (NOW, "estimated")


def _facts(now: str, *holdings: Holding | None) -> Facts:
    known = tuple(held for held in holdings if held is not None)
    return Facts(clock(now), known, tariff(), "", Terms())


def test_a_pod_whose_scheduling_has_no_time_is_not_free() -> None:
    untimed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": None}
    held = pod_holding(pod(conditions=[untimed], startTime="2026-11-10T10:00:01Z"), {"gpu-1": NODE}, ())
    assert held is not None
    assert (held.start, held.reason) == (clock("10:00:01"), "NotScheduled")
