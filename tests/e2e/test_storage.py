"""A claim of its own for each replica: on several nodes at once, metered each, gone with its pod."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cluster.user import MODELS, User, model
from tests.e2e.test_shares import idle, lines, seconds, uid_of

pytestmark = pytest.mark.e2e
GIB = 1 << 30
OF_MODEL = "modelmeter.dev/model=apart"
APART = {"size": "2Gi", "perReplica": True}


def bound_at(claim: dict[str, Any]) -> datetime:
    """When somebody gave it its volume."""
    return min(
        datetime.fromisoformat(entry["time"])
        for entry in claim["metadata"]["managedFields"]
        if "f:volumeName" in entry["fieldsV1"].get("f:spec", {})
    )


def held_claims(user: User, number: int) -> list[dict[str, Any]]:
    """Its claims, once there are so many, each bound and with our finalizer."""

    def found() -> list[dict[str, Any]]:
        text = user.kubectl("get", "pvc", f"--selector={OF_MODEL}", "--show-managed-fields", "-o", "json")
        claims: list[dict[str, Any]] = json.loads(text)["items"]
        held = ["modelmeter.dev/metering" in claim["metadata"]["finalizers"] for claim in claims]
        bound = [claim["status"]["phase"] == "Bound" for claim in claims]
        return claims if len(claims) == number and all((*held, *bound)) else []

    return list(user.wait(f"{number} claims", found))


def test_each_replica_has_a_claim_of_its_own(user: User) -> None:
    spread = [{"topologyKey": "kubernetes.io/hostname"}]
    user.apply(model("apart", serving={"replicas": 2, "topologySpreadConstraints": spread}, storage=APART))
    claims = held_claims(user, 2)
    pods = user.list("pods")
    assert {claim["metadata"]["name"] for claim in claims} == {f"{pod['metadata']['name']}-models" for pod in pods}
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2

    status = user.wait_as_of("apart", datetime.now(UTC) + timedelta(seconds=2))
    as_of = datetime.fromisoformat(status["cost"]["asOf"])
    used = sum(round((as_of - bound_at(claim)).total_seconds()) for claim in claims)
    assert status["usage"]["storageByteSeconds"] == str(2 * GIB * used)
    assert "perReplica cannot change" in user.refused(model("apart", storage={"size": "2Gi"}))

    user.kubectl("scale", MODELS, "apart", "--replicas=1")
    (left,) = held_claims(user, 1)
    assert left["metadata"]["name"] in {claim["metadata"]["name"] for claim in claims}

    uid = uid_of(user, "apart")
    user.kubectl("delete", MODELS, "apart", "--wait=false")
    user.wait("its end", lambda: not user.get(MODELS, "apart"))
    assert user.list("pvc", OF_MODEL) == []
    (line,) = lines(user, uid, "storage")
    assert line["certainty"] == "exact"
    assert seconds(line) % (2 * GIB) == 0
    assert seconds(line) > 2 * GIB * used


def test_a_claim_that_lost_its_volume_has_ended_and_stays(user: User) -> None:
    uid = idle(user, "bereft")
    user.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "dataset",
                "labels": {"modelmeter.dev/model": "bereft", "modelmeter.dev/stage": "data"},
            },
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    user.wait("its line", lambda: [line for line in lines(user, uid, "storage") if line.get("stage") == "data"])
    user.wait_as_of("bereft", datetime.now(UTC) + timedelta(seconds=2))
    volume = user.get("pvc", "dataset")["spec"]["volumeName"]
    user.cluster.kubectl("delete", "pv", volume, "--wait=false")
    user.cluster.kubectl("patch", "pv", volume, "-p", '{"metadata":{"finalizers":null}}')
    user.wait("it to be Lost", lambda: user.get("pvc", "dataset")["status"]["phase"] == "Lost")
    user.wait("its end", lambda: any(line.get("reason") == "VolumeLost" for line in lines(user, uid, "storage")))
    version = user.get("pvc", "dataset")["metadata"]["resourceVersion"]
    user.wait_as_of("bereft", datetime.now(UTC) + timedelta(seconds=3))
    assert user.get("pvc", "dataset")["metadata"]["resourceVersion"] == version
    user.kubectl("delete", "pvc", "dataset")
