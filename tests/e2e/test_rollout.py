"""A new revision on a canary first: rolled back where it does not become ready, else all follow; no GPU is spare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.user import MODELS, User, model
from tests.e2e.pod_watcher import PodWatcher
from tests.e2e.test_main_job import check_status

pytestmark = pytest.mark.e2e

NAME = "careful"
CANARY = f"{NAME}-canary"
HASH = "modelmeter.dev/template-hash"
FAILS = {"tests.modelmeter.dev/image-pull": "fail"}


@pytest.fixture
def watcher(cluster: Cluster, user: User) -> Iterator[PodWatcher]:
    """An independent account of the user's pods."""
    watching = PodWatcher(cluster, user.namespace)
    yield watching
    watching.close()


def revisions(user: User) -> list[str]:
    """The template's hash of each pod that is here to stay."""
    pods = (pod["metadata"] for pod in user.list("pods"))
    return [pod["annotations"][HASH] for pod in pods if "deletionTimestamp" not in pod]


def batches_of(user: User, size: int) -> None:
    """Change the spec so that pods are replaced."""
    patch = {"spec": {"serving": {"batching": {"maxBatchSize": size}}}}
    user.kubectl("patch", MODELS, NAME, "--type=merge", "-p", json.dumps(patch))


def canary(user: User) -> dict[str, Any]:
    """The canary's Deployment with all of its pods ready."""
    found = user.get("deployment", CANARY)
    return found if found.get("status", {}).get("readyReplicas") == found.get("spec", {}).get("replicas") else {}


def test_a_canary_is_rolled_back_or_followed(
    user: User, operator: Operator, watcher: PodWatcher, serving: Callable[[User, str], None]
) -> None:
    rollout = {"canaryShare": "0.25", "readySeconds": 20, "deadlineSeconds": 10}
    user.apply(model(NAME, serving={"replicas": 3, "rollout": rollout}))
    user.wait("the loader's ConfigMap", lambda: user.get("configmap", f"{NAME}-model"))
    serving(user, NAME)
    user.wait_ready(NAME, "3/3")
    first = user.get("deployment", NAME)
    told = user.get("configmap", f"{NAME}-model")["data"]

    batches_of(user, 7)
    new = user.wait("a canary that is ready", lambda: canary(user))
    old_hash, new_hash = (item["metadata"]["annotations"][HASH] for item in (first, new))
    assert sorted(revisions(user)) == sorted([old_hash] * 2 + [new_hash])
    assert user.get("configmap", f"{NAME}-model")["data"] == told
    user.wait("that to be said", lambda: user.condition(NAME, "Ready")["reason"] == "Canary")
    assert new["metadata"]["annotations"]["modelmeter.dev/canary-replicas"] == "1"
    assert watcher.most == 3
    # It fails before it has been ready for long enough.
    patch = {"spec": {"template": {"metadata": {"annotations": FAILS}}}}
    user.kubectl("patch", "deployment", CANARY, "--type=merge", "-p", json.dumps(patch))
    user.wait("a roll-back", lambda: user.condition(NAME, "Progressing").get("reason") == "RolledBack")
    watcher.most = 0
    condition = user.condition(NAME, "Progressing")
    assert condition["status"] == "False"
    assert "ImageNotPulled" in condition["message"]
    assert "change spec.model or spec.serving" in condition["message"]
    user.wait("the old revision on all replicas", lambda: user.status(NAME).get("ready") == "3/3")
    user.wait("an event", lambda: any(event["reason"] == "RolledBack" for event in user.list("events")))
    user.wait("the canary's end", lambda: not user.get("configmap", f"{NAME}-model-canary"))
    assert set(revisions(user)) == {old_hash}
    assert user.get("deployment", NAME)["spec"]["template"] == first["spec"]["template"]
    assert watcher.most == 3

    operator.kill()
    operator.start()
    check_status(user, watcher, NAME)
    assert not user.get("deployment", CANARY)
    assert user.condition(NAME, "Progressing")["reason"] == "RolledBack"

    user.kubectl("patch", MODELS, NAME, "--type=merge", "-p", '{"spec": {"serving": {"rollout": {"readySeconds": 2}}}}')
    batches_of(user, 9)
    user.wait("another canary", lambda: user.get("deployment", CANARY))
    user.wait_ready(NAME, "3/3")
    user.wait("the canary's end", lambda: not user.get("configmap", f"{NAME}-model-canary"))
    assert not user.get("deployment", CANARY)
    assert len(set(revisions(user))) == 1
    assert not {old_hash, new_hash} & set(revisions(user))
    assert json.loads(user.get("configmap", f"{NAME}-model")["data"]["model.json"])["maxBatchSize"] == 9
    assert "modelmeter.dev/failed-template-hash" not in user.get("deployment", NAME)["metadata"]["annotations"]
    assert watcher.most_to_stay == 3
    check_status(user, watcher, NAME)
