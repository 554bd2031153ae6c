"""The harness itself: do its pods, claims and nodes behave as the operator's tests rely on?"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Cluster, ClusterError, NodePool
from tests.cluster.ports import free_ports
from tests.cluster.triton import Ports, Triton, TritonError

pytestmark = pytest.mark.e2e

FINALIZER = "modelmeter.dev/metering"
PREFIX = "tests.modelmeter.dev"
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.up(tmp_path_factory.mktemp("harness"), [NodePool(nodes=2)]) as cluster:
        yield cluster


def until(what: Callable[[], Any]) -> Any:
    """Return the first result that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := what()):
        assert time.monotonic() < deadline, f"still {result!r}"
        time.sleep(0.1)
    return result


def get(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    """Return an object, or {} if it is gone."""
    return json.loads(cluster.kubectl("get", kind, name, "--output=json", "--ignore-not-found") or "{}")


def pod(name: str, *, finalizer: bool = False, **annotations: str) -> dict[str, Any]:
    """Build a pod with one GPU; `image_pull="fail"` becomes the annotation tests.modelmeter.dev/image-pull."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "annotations": {f"{PREFIX}/{key.replace('_', '-')}": value for key, value in annotations.items()},
            "finalizers": [FINALIZER] if finalizer else [],
        },
        "spec": {
            "containers": [{"name": "main", "image": "main:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        },
    }


def claim(name: str, storage_class: str | None = None) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}
    if storage_class:
        spec["storageClassName"] = storage_class
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def create(cluster: Cluster, manifest: dict[str, Any]) -> None:
    cluster.kubectl("create", "--filename=-", input=json.dumps(manifest))


def started(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any]:
    """Create a pod and return it once it is Running."""
    create(cluster, manifest)
    name = manifest["metadata"]["name"]
    until(lambda: get(cluster, "pod", name)["status"]["phase"] == "Running")
    return get(cluster, "pod", name)


def delete(cluster: Cluster, name: str) -> None:
    cluster.kubectl("delete", "pod", name, "--wait=false")


def release(cluster: Cluster, name: str) -> None:
    """Remove the pod's finalizer and wait until it is gone."""
    cluster.kubectl("patch", "pod", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
    until(lambda: not get(cluster, "pod", name))


def condition(item: dict[str, Any], kind: str) -> str:
    return next(entry["status"] for entry in item["status"]["conditions"] if entry["type"] == kind)


def test_pod_runs_at_an_address_of_this_machine(cluster: Cluster) -> None:
    running = started(cluster, pod("runs"))
    assert running["status"]["podIP"].startswith("127.1.")
    assert condition(running, "Ready") == "True"
    assert condition(running, "PodScheduled") == "True"
    assert running["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    delete(cluster, "runs")
    until(lambda: not get(cluster, "pod", "runs"))


def test_init_containers_run_one_after_another(cluster: Cluster) -> None:
    manifest = pod("init", init_seconds="1", image_pull_seconds="1")
    manifest["spec"]["initContainers"] = [{"name": name, "image": "init:1"} for name in ("first", "second")]
    first, second = started(cluster, manifest)["status"]["initContainerStatuses"]
    assert first["state"]["terminated"]["exitCode"] == second["state"]["terminated"]["exitCode"] == 0
    assert first["state"]["terminated"]["startedAt"] < first["state"]["terminated"]["finishedAt"]
    assert first["state"]["terminated"]["finishedAt"] <= second["state"]["terminated"]["startedAt"]


def test_sidecar_does_not_hold_up_the_containers(cluster: Cluster) -> None:
    manifest = pod("sidecar")
    manifest["spec"]["initContainers"] = [
        {"name": "beside", "image": "init:1", "restartPolicy": "Always"},
        {"name": "before", "image": "init:1"},
    ]
    beside, before = started(cluster, manifest)["status"]["initContainerStatuses"]
    assert beside["state"]["running"]["startedAt"]
    assert before["state"]["terminated"]["exitCode"] == 0


def test_deleted_pod_says_when_it_ended_and_waits_for_our_finalizer(cluster: Cluster) -> None:
    started(cluster, pod("held", finalizer=True))
    delete(cluster, "held")
    until(lambda: get(cluster, "pod", "held")["metadata"].get("deletionGracePeriodSeconds") == 0)
    held = get(cluster, "pod", "held")
    assert held["status"]["phase"] == "Succeeded"
    assert condition(held, "Ready") == "False"
    ended = held["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 0
    assert ended["reason"] == "Completed"
    assert ended["startedAt"] <= ended["finishedAt"]
    release(cluster, "held")


def test_pod_deleted_before_it_started_fails_without_an_end(cluster: Cluster) -> None:
    create(cluster, pod("early", finalizer=True, image_pull_seconds="3600"))
    until(lambda: get(cluster, "pod", "early")["status"].get("podIP"))
    delete(cluster, "early")
    until(lambda: get(cluster, "pod", "early")["metadata"].get("deletionGracePeriodSeconds") == 0)
    early = get(cluster, "pod", "early")["status"]
    assert early["phase"] == "Failed"
    assert "waiting" in early["containerStatuses"][0]["state"]
    release(cluster, "early")


def test_lost_pod_never_says_that_it_ended(cluster: Cluster) -> None:
    started(cluster, pod("lost", finalizer=True, end="lost"))
    delete(cluster, "lost")
    until(lambda: get(cluster, "pod", "lost")["metadata"].get("deletionGracePeriodSeconds") == 0)
    assert get(cluster, "pod", "lost")["status"]["phase"] == "Running"
    release(cluster, "lost")


def test_unscheduled_pod_goes_at_once(cluster: Cluster) -> None:
    manifest = pod("nowhere")
    manifest["spec"]["nodeSelector"] = {"no": "such"}
    create(cluster, manifest)
    until(lambda: "PodScheduled" in json.dumps(get(cluster, "pod", "nowhere")["status"]))
    delete(cluster, "nowhere")
    until(lambda: not get(cluster, "pod", "nowhere"))


def test_image_that_cannot_be_pulled(cluster: Cluster) -> None:
    create(cluster, pod("no-image", image_pull="fail"))

    def waiting() -> dict[str, str]:
        (status,) = get(cluster, "pod", "no-image")["status"].get("containerStatuses", [{}])
        found = status.get("state", {}).get("waiting", {})
        return found if found.get("reason") == "ImagePullBackOff" else {}

    assert "main:1" in until(waiting)["message"]
    assert get(cluster, "pod", "no-image")["status"]["phase"] == "Pending"


def test_init_container_that_fails_says_why(cluster: Cluster) -> None:
    manifest = pod("no-model", init="fail", init_message="no model at hf://x/y")
    manifest["spec"]["initContainers"] = [{"name": "load", "image": "load:1"}]
    create(cluster, manifest)

    def last() -> dict[str, Any]:
        (status,) = get(cluster, "pod", "no-model")["status"].get("initContainerStatuses", [{}])
        backs_off = status.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        return status["lastState"]["terminated"] if backs_off else {}

    ended = until(last)
    assert ended["exitCode"] == 1
    assert ended["message"] == "no model at hf://x/y"


def test_pod_that_ends_by_itself(cluster: Cluster) -> None:
    manifest = pod("job", run_seconds="1")
    manifest["spec"]["restartPolicy"] = "Never"
    create(cluster, manifest)
    until(lambda: get(cluster, "pod", "job")["status"]["phase"] == "Succeeded")
    ended = get(cluster, "pod", "job")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["startedAt"] < ended["finishedAt"]


def test_claim_is_bound_grows_and_goes(cluster: Cluster) -> None:
    create(cluster, claim("data"))
    until(lambda: get(cluster, "pvc", "data")["status"]["phase"] == "Bound")
    bound = get(cluster, "pvc", "data")
    assert bound["spec"]["storageClassName"] == "standard"
    assert bound["status"]["capacity"] == {"storage": "10Gi"}
    cluster.kubectl("patch", "pvc", "data", '--patch={"spec":{"resources":{"requests":{"storage":"20Gi"}}}}')
    until(lambda: get(cluster, "pvc", "data")["status"]["capacity"] == {"storage": "20Gi"})
    cluster.kubectl("delete", "pvc", "data", "--wait=false")
    until(lambda: not get(cluster, "pv", bound["spec"]["volumeName"]))


def test_claim_of_never_stays_pending(cluster: Cluster) -> None:
    create(cluster, claim("nothing", "never"))
    # A claim that came later is bound by then.
    create(cluster, claim("later"))
    until(lambda: get(cluster, "pvc", "later")["status"]["phase"] == "Bound")
    assert get(cluster, "pvc", "nothing")["status"]["phase"] == "Pending"


def test_node_added_by_kubectl_takes_a_pod(cluster: Cluster) -> None:
    create(
        cluster,
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "late", "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"late": "yes"}},
            "status": {"capacity": {"cpu": "8", "memory": "32Gi", "pods": "10", "nvidia.com/gpu": "1"}},
        },
    )
    manifest = pod("on-late")
    manifest["spec"]["nodeSelector"] = {"late": "yes"}
    assert started(cluster, manifest)["spec"]["nodeName"] == "late"
    assert condition(get(cluster, "node", "late"), "Ready") == "True"


def test_serviceaccount_may_what_its_roles_say(cluster: Cluster) -> None:
    cluster.kubectl("create", "serviceaccount", "reader")
    cluster.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    config = cluster.kubeconfig_for("reader", "default")
    assert cluster.kubectl(f"--kubeconfig={config}", "auth", "can-i", "list", "pods").strip() == "yes"
    with pytest.raises(ClusterError, match="forbidden"):
        cluster.kubectl(f"--kubeconfig={config}", "get", "nodes")


def test_api_server_comes_back_with_all_its_objects(cluster: Cluster) -> None:
    create(cluster, claim("before"))
    cluster.restart("kube-apiserver")
    assert get(cluster, "pvc", "before")
    started(cluster, pod("after-restart"))


def test_down_leaves_no_process_even_after_one_was_killed(tmp_path: Path) -> None:
    cluster = Cluster.up(tmp_path, [NodePool(nodes=1)])
    pids = cluster.pids()
    assert len(pids) == 6
    os.kill(pids["etcd"], signal.SIGKILL)
    until(lambda: "etcd" not in cluster.pids())
    # As another process does it that knows only the directory.
    Cluster.attach(tmp_path).down()
    assert cluster.pids() == {}
    assert not [pid for pid in pids.values() if alive(pid)]
    Cluster.attach(tmp_path).down()


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and is not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_up_refuses_a_directory_in_use(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="runs in"):
        Cluster.up(cluster.directory)


def test_no_cluster_here(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="start one with"):
        Cluster.attach(tmp_path)


def test_triton_does_not_start_where_another_would_answer_for_it(tmp_path: Path) -> None:
    http, grpc, metrics = itertools.islice(free_ports(), 3)
    with socket.socket() as other:
        other.bind(("127.0.0.1", grpc))
        other.listen()
        with pytest.raises(TritonError, match=rf"port {grpc} \(grpc\) .* end what listens there"):
            Triton(tmp_path, ports=Ports(http, grpc, metrics)).start()
