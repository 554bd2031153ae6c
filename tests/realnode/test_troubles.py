"""What goes wrong on a node: what the user sees of it, and what the ledger says. All at once, each on its own model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.node import inner
from tests.realnode.container_watcher import STOPPING
from tests.realnode.slow_hub import COMMIT, ENDPOINT, SOURCE, slow_hub
from tests.realnode.tenant import SMALL, Tenant

pytestmark = pytest.mark.realnode

MISSING_IMAGE = "registry.example/none:1"
TROUBLES: dict[str, dict[str, Any]] = {
    "lost": {"serving": {"gpu": {"product": "Tesla-T4"}}},
    "hanging": {},
    "greedy": {"serving": {"resources": {**SMALL, "limits": {"memory": "512Mi"}}}},
    "no-image": {"serving": {"image": MISSING_IMAGE}},
    "bad-source": {"model": {"source": "pvc://models/nothing", "labels": ["phones", "books"]}},
    "disk-full": {"storage": {"size": "64Mi"}},
    "tiny": {"serving": {"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "40Mi"}}}},
    "crashing": {"serving": {"env": [{"name": "PATH", "value": "/usr/local/bin"}]}},
    "slow": {"serving": {"resources": {**SMALL, "limits": {"memory": "1Gi", "cpu": "250m"}}}},
}

FLOOD = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], 8000, timeout=60)
connection.putrequest("POST", sys.argv[2])
connection.putheader("Content-Length", str(1 << 31))
connection.endheaders()
try:
    for _ in range(1 << 11):
        connection.send(bytes(1 << 20))
except OSError as error:
    print(error)
"""
"""A request of 2 GiB."""
FLOODS = 3
"""containerd may tell an end before it hears that it was for memory; then the kubelet says "Error"."""


@pytest.fixture(scope="module")
def troubled(installed: Cluster, tenants: dict[str, Tenant]) -> dict[str, Tenant]:
    """One model for each trouble."""
    for name, spec in TROUBLES.items():
        tenants[name] = Tenant(installed, name, **spec)
    return tenants


@pytest.fixture(scope="module", autouse=True)
def long_ones(troubled: dict[str, Tenant]) -> Iterator[dict[str, Future[None]]]:
    """What takes long goes on beside the other tests: a Triton hangs, a node is gone; a disk is full."""
    with ThreadPoolExecutor(2) as executor:
        begun = executor.submit(begin, troubled["hanging"], troubled["lost"])
        yield {"hanging": begun, "lost": begun, "disk-full": executor.submit(fill, troubled["disk-full"])}


def begin(hanging: Tenant, lost: Tenant) -> None:
    """Once both models answer, stop one's processes and end the other's node, which nobody will bring back."""
    hanging.wait_answer(150)
    container = hanging.container()["containerID"].removeprefix("containerd://")
    inner.ctr(hanging.cluster, "real-gpu", "tasks", "kill", "--signal=SIGSTOP", container)
    lost.wait_answer()
    lost.cluster.stop("real-spot", kill=True)
    lost.cluster.kubectl("delete", "node", "real-spot", "--wait=false")


def test_a_source_that_does_not_exist_and_is_corrected(troubled: dict[str, Tenant]) -> None:
    tenant = troubled["bad-source"]
    message = tenant.wait_reason("ModelLoadFailed")
    assert "/source/nothing does not exist; give the folder that holds config.json" in message
    assert tenant.warnings() == ["ModelLoadFailed"]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hub"},
        "stringData": {"HF_ENDPOINT": ENDPOINT},
    }
    tenant.apply(secret)
    with slow_hub(tenant.cluster) as rest:
        tenant.change({"model": {"source": SOURCE, "credentialsSecret": "hub"}})
        wait_figures(tenant)
        rest.close()
        tenant.wait_answer()
    assert tenant.condition("bad-source", "ModelAvailable")["reason"] == "Loaded"
    assert tenant.status("bad-source")["model"]["revision"] == COMMIT
    assert tenant.warnings() == ["ModelLoadFailed"]
    (done,) = (event for event in tenant.list("events") if event["reason"] == "Loaded")
    assert re.search(r": loaded 87\.1 MiB in \d+ s, sha256 [0-9a-f]{64}$", done["message"])
    tenant.leave()


def wait_figures(tenant: Tenant) -> None:
    """Wait until the condition says that half of the weights is there, as the loader in the pod counts it."""
    half = re.compile(r"-\w+: fetching, 4\d\.\d MiB of 87\.1 MiB \(4\d %\)$")
    tenant.wait("figures", lambda: half.search(tenant.condition(tenant.name, "ModelAvailable")["message"]))
    assert {"ModelLoading"} <= {event["reason"] for event in tenant.list("events") if event["type"] == "Normal"}


def fill(tenant: Tenant) -> None:
    """The model does not fit on its disk until that is larger."""
    message = tenant.wait_reason("ModelLoadFailed")
    assert "No space left on device" in message
    assert tenant.warnings() == ["ModelLoadFailed"]
    tenant.change({"storage": {"size": "1Gi"}})
    tenant.wait_answer(150)
    tenant.leave()


def test_a_full_disk_and_then_a_larger_one(long_ones: dict[str, Future[None]]) -> None:
    long_ones["disk-full"].result()


def test_an_image_that_does_not_exist(troubled: dict[str, Tenant]) -> None:
    tenant = troubled["no-image"]
    message = tenant.wait_reason("ImageNotPulled")
    assert MISSING_IMAGE in message
    assert "spec.serving.imagePullSecrets" in message
    assert tenant.condition("no-image", "ModelAvailable")["status"] == "True"
    assert tenant.warnings() == ["ImageNotPulled"]
    tenant.leave()


def test_a_loader_that_is_killed_for_memory(troubled: dict[str, Tenant]) -> None:
    tenant = troubled["tiny"]
    message = tenant.wait_reason("ModelLoadFailed")
    assert "memory" in message
    assert "spec.serving.resources.limits" in message
    assert tenant.warnings() == ["ModelLoadFailed"]
    wait_pause(tenant, "initContainerStatuses")
    tenant.leave()


def test_a_triton_that_is_killed_for_memory(troubled: dict[str, Tenant]) -> None:
    tenant = troubled["greedy"]
    assert any(flood(tenant, times) == "OOMKilled" for times in range(1, FLOODS + 1))
    message = tenant.wait_reason("OutOfMemory")
    assert "container triton was killed for memory; raise spec.serving.resources.limits.memory" in message
    assert tenant.warnings() == ["OutOfMemory"]
    tenant.wait_answer()
    tenant.leave()


def flood(tenant: Tenant, times: int) -> str:
    """Ask for more than its Triton has memory for, for the first, second, ... time; as what it ended."""
    tenant.wait_answer()
    inner.python(tenant.cluster, FLOOD, tenant.pod()["status"]["podIP"], f"/v2/models/{tenant.name}/generate")
    tenant.wait("its end", lambda: tenant.container()["restartCount"] == times)
    return str(tenant.container()["lastState"]["terminated"]["reason"])


def test_a_crash_loop(troubled: dict[str, Tenant]) -> None:
    tenant = troubled["crashing"]
    message = tenant.wait_reason("CrashLooping")
    assert "container triton ends again and again, last with exit code 127" in message
    tenant.wait("three attempts", lambda: tenant.container()["restartCount"] >= 3)
    assert tenant.warnings() == ["CrashLooping"]
    wait_pause(tenant, "containerStatuses")
    tenant.leave()


def wait_pause(tenant: Tenant, kind: str) -> None:
    """Wait until what crashes again and again has not run for a while.

    Else nobody could tell later whether it was told to end while it ran or while it waited.
    """

    def paused() -> bool:
        (status,) = tenant.pod()["status"][kind]
        ended = status["lastState"].get("terminated")
        waits = "waiting" in status["state"] and ended is not None
        return waits and datetime.now(UTC) - datetime.fromisoformat(ended["finishedAt"]) > 2 * STOPPING

    tenant.wait("a pause", paused)


def test_a_slow_start_is_no_failure(troubled: dict[str, Tenant]) -> None:
    tenant = troubled["slow"]
    tenant.wait_answer(150)
    assert tenant.container()["restartCount"] == 0
    assert tenant.warnings() == []
    tenant.leave()


def test_a_triton_that_hangs_is_started_again(troubled: dict[str, Tenant], long_ones: dict[str, Future[None]]) -> None:
    long_ones["hanging"].result()
    tenant = troubled["hanging"]
    tenant.wait("a restart", lambda: tenant.container()["restartCount"] == 1, 150)
    tenant.wait_answer()
    tenant.leave()


def test_a_node_that_is_gone_for_good(troubled: dict[str, Tenant], long_ones: dict[str, Future[None]]) -> None:
    long_ones["lost"].result()
    tenant = troubled["lost"]
    message = tenant.wait_reason("NoNodeFits", 150)
    assert "Add a node that fits" in message
    tenant.wait("an estimate", lambda: tenant.status("lost")["cost"].get("estimated"))
    pages = tenant.settle()
    # What T had passed before the node was lost is exact.
    assert "estimated" in {line["certainty"] for line in pages[-1]["lines"] if line["item"] == "gpu"}


@pytest.mark.parametrize("name", [name for name in TROUBLES if name != "lost"])
def test_every_second_of_it_is_on_the_bill(troubled: dict[str, Tenant], name: str) -> None:
    troubled[name].settle()
