"""The CRDs, prices and `modelmeter run` with an administrator's kubeconfig are enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from modelmeter.cluster.lease import this_host
from tests.cluster.chart import CHECKOUT, SYSTEM
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.user import User, model

pytestmark = pytest.mark.e2e


def test_crds_prices_and_a_kubeconfig_are_enough(tmp_path: Path) -> None:
    with Cluster.up(tmp_path / "cluster") as cluster:
        cluster.kubectl("apply", "-f", CHECKOUT / "crds")
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        cluster.kubectl("apply", "-f", CHECKOUT / "manifests" / "pricebook.yaml")
        with Operator(cluster.kubeconfig, tmp_path / "operator.log") as operator:
            releasing = release(cluster)
            user = User(cluster, "search")
            user.apply(model("shop"))
            user.wait("a price", lambda: user.condition("shop", "Priced").get("status") == "True")
            user.wait("a cost", lambda: Decimal(user.status("shop").get("cost", {}).get("total", "0")) > 0)
            one_operator_at_a_time(cluster, operator, releasing, tmp_path)
        found = json.loads(cluster.kubectl("get", "coststatements", f"--namespace={SYSTEM}", "-o", "json"))["items"]
        assert [item["spec"]["model"]["name"] for item in found] == ["shop"]


def release(cluster: Cluster) -> subprocess.Popen[str]:
    """`modelmeter release`, which waits for a while where an operator works."""
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    command = [sys.executable, "-m", "modelmeter", "release"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def one_operator_at_a_time(cluster: Cluster, first: Operator, releasing: subprocess.Popen[str], folder: Path) -> None:
    """Nothing is released under a working operator; a second one of the same host takes over, and the first ends."""
    _, said = releasing.communicate()
    assert releasing.returncode == 1
    assert f"operator {this_host()} is at work in {SYSTEM}" in said
    with Operator(cluster.kubeconfig, folder / "second.log"):
        for _ in range(100):
            if "has taken over" in first.log.read_text():
                break
            time.sleep(0.1)
        assert "only one works at a time" in first.log.read_text()
