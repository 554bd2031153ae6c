"""The CRDs, prices and `modelmeter run` with an administrator's kubeconfig are enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.chart import CHECKOUT, SYSTEM
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.user import User, model

pytestmark = pytest.mark.e2e


def test_crds_prices_and_a_kubeconfig_are_enough(tmp_path: Path) -> None:
    with Cluster.up(tmp_path / "cluster") as cluster:
        cluster.kubectl("apply", "-f", CHECKOUT / "crds")
        cluster.kubectl("apply", "-f", CHECKOUT / "manifests" / "pricebook.yaml")
        with Operator(cluster.kubeconfig, tmp_path / "operator.log"):
            user = User(cluster, "search")
            user.apply(model("shop"))
            user.wait("a price", lambda: user.condition("shop", "Priced").get("status") == "True")
            user.wait("a cost", lambda: user.status("shop")["cost"]["total"] > "0")
        found = json.loads(cluster.kubectl("get", "coststatements", f"--namespace={SYSTEM}", "-o", "json"))["items"]
        assert [item["spec"]["model"]["name"] for item in found] == ["shop"]
