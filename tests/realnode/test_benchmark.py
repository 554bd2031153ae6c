"""spec.benchmark in real containers: the Job of the operator's own image asks the Service by its name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.realnode.tenant import Tenant

pytestmark = pytest.mark.realnode

ASKED = {"p95Milliseconds": 200, "textWords": [8], "secondsPerPoint": 2}


def test_a_replica_is_measured_and_its_pod_is_on_the_bill(installed: Cluster, tenants: dict[str, Tenant]) -> None:
    tenants["measured"] = tenant = Tenant(installed, "measured", benchmark=ASKED)

    def measured() -> dict[str, Any]:
        status = tenant.condition("measured", "Benchmarked").get("status")
        assert status != "False", tenant.condition("measured", "Benchmarked")
        return tenant.status("measured").get("performance") if status == "True" else {}

    performance = tenant.wait("a measurement", measured, seconds=180)
    assert float(performance["inferencesPerSecond"]) >= 1
    assert float(performance["p95Milliseconds"]) <= 200
    assert float(performance["batch"]) >= 1
    assert performance["gpuProduct"] == "NVIDIA-L4"
    assert tenant.status("measured")["ready"] == "1/1"
    (pod,) = tenant.list("pods", "modelmeter.dev/stage=evaluation")
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 0
    (scheduled,) = (entry for entry in pod["status"]["conditions"] if entry["type"] == "PodScheduled")
    seconds = second(ended["finishedAt"]) - second(scheduled["lastTransitionTime"])
    lines = [line for line in tenant.settle()[-1]["lines"] if line.get("stage") == "evaluation"]
    counted = sum(int(units) for line in lines if line["item"] == "cpu" for units in line["days"].values())
    assert counted == 500 * seconds > 0


def second(text: str) -> int:
    """A moment in seconds."""
    return round(datetime.fromisoformat(text).timestamp())
