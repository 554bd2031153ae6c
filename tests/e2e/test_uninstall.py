"""Install, upgrade, uninstall by real Helm: the models go on, and nothing of ours hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.chart import SYSTEM, helm, install
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.pools import NodePool
from tests.cluster.user import MODELS, User, model

pytestmark = pytest.mark.e2e
OURS = "modelmeter.dev/"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A control plane of its own: it ends without modelmeter."""
    with Cluster.up(tmp_path / "cluster", [NodePool(), NodePool(name="cpu", nodes=1, gpus_per_node=0)]) as running:
        yield running


def with_our_finalizers(cluster: Cluster) -> list[str]:
    """Everything that one of our finalizers still holds."""
    kinds = f"pods,persistentvolumeclaims,deployments,services,configmaps,{MODELS}"
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", kinds, "--all-namespaces", "-o", "json"))["items"]
    return [f"{item['kind']} {item['metadata']['name']}" for item in items if held(item)]


def held(item: dict[str, Any]) -> bool:
    """Whether a finalizer of ours is on it."""
    return any(name.startswith(OURS) for name in item["metadata"].get("finalizers", ()))


def test_install_upgrade_uninstall(cluster: Cluster, tmp_path: Path) -> None:
    rights = install(cluster)
    user = User(cluster, "search")
    with Operator(rights, tmp_path / "operator.log"):
        user.apply(model("kept"))
        user.wait("a running pod", lambda: [p for p in user.list("pods") if p["status"]["phase"] == "Running"])
        pod = user.list("pods")[0]["metadata"]["name"]
        helm(cluster, "upgrade", "modelmeter", "charts/modelmeter", f"--namespace={SYSTEM}", "--set=image.tag=another")
        image = json.loads(cluster.kubectl("get", "deployment", "modelmeter", f"--namespace={SYSTEM}", "-o", "json"))
        assert image["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":another")
        assert [p["metadata"]["name"] for p in user.list("pods")] == [pod]
    assert with_our_finalizers(cluster)

    done = release(cluster.kubeconfig, "--namespace=default")
    assert done.returncode == 1
    assert "no operator ever worked in namespace default" in done.stderr
    assert with_our_finalizers(cluster)
    nobody_is_let_go_uncounted(cluster)
    # KWOK plays the chart's hook; this is what its container runs, with the hook's rights.
    done = release(rights, f"--namespace={SYSTEM}", "--stop=modelmeter")
    assert done.returncode == 0, done.stderr
    helm(cluster, "uninstall", "modelmeter", f"--namespace={SYSTEM}", "--timeout=60s")
    assert with_our_finalizers(cluster) == []

    user.wait("the model's pod", lambda: [p for p in user.list("pods") if p["status"]["phase"] == "Running"])
    assert user.get(MODELS, "kept")
    statements = json.loads(cluster.kubectl("get", "coststatements", f"--namespace={SYSTEM}", "-o", "json"))["items"]
    assert int(statements[0]["spec"]["totals"]["gpuSeconds"]) > 0
    user.kubectl("delete", MODELS, "kept")
    user.wait("its end", lambda: not user.list("pods,deployments,persistentvolumeclaims", "modelmeter.dev/model=kept"))
    cluster.kubectl("delete", "namespace", SYSTEM, user.namespace, "--timeout=60s")
    cluster.kubectl(
        "delete", "crd", MODELS, "pricebooks.modelmeter.dev", "coststatements.modelmeter.dev", "--timeout=60s"
    )
    done = release(cluster.kubeconfig)
    assert done.returncode == 0, done.stderr


def test_without_ledger_and_crds_everything_is_let_go(cluster: Cluster, tmp_path: Path) -> None:
    rights = install(cluster)
    user = User(cluster, "search")
    with Operator(rights, tmp_path / "operator.log"):
        user.apply(model("stuck"))
        user.wait("a running pod", lambda: [p for p in user.list("pods") if p["status"]["phase"] == "Running"])
    helm(cluster, "uninstall", "modelmeter", f"--namespace={SYSTEM}", "--no-hooks")
    cluster.kubectl("delete", "namespace", SYSTEM, "--timeout=60s")
    cluster.kubectl("delete", "crd", "coststatements.modelmeter.dev", "--timeout=60s")
    cluster.kubectl("delete", "crd", MODELS, "--wait=false")
    assert release(cluster.kubeconfig).returncode == 1
    assert with_our_finalizers(cluster)
    done = release(cluster.kubeconfig, "--discard")
    assert done.returncode == 0, done.stderr
    left = user.list("pods,deployments,persistentvolumeclaims")
    assert not [item for item in left if held(item)]


def nobody_is_let_go_uncounted(cluster: Cluster) -> None:
    """Where a page breaks an invariant, release lets go of nothing; then it is mended."""
    (page,) = json.loads(cluster.kubectl("get", "coststatements", f"--namespace={SYSTEM}", "-o", "json"))["items"]
    patch = ["patch", "coststatement", page["metadata"]["name"], f"--namespace={SYSTEM}", "--type=json", "-p"]
    days = page["spec"]["lines"][0]["days"]
    where = {"op": "replace", "path": "/spec/lines/0/days"}
    cluster.kubectl(*patch, json.dumps([{**where, "value": dict.fromkeys(days, "-9999999999999999")}]))
    done = release(cluster.kubeconfig, f"--namespace={SYSTEM}")
    assert done.returncode == 1
    assert "the usage of search/kept cannot be posted" in done.stderr
    assert with_our_finalizers(cluster)
    cluster.kubectl(*patch, json.dumps([{**where, "value": days}]))


def release(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`modelmeter release` with somebody's rights."""
    command = [sys.executable, "-m", "modelmeter", "release", *arguments]
    return subprocess.run(command, env={**os.environ, "KUBECONFIG": str(kubeconfig)}, capture_output=True, text=True)
