"""What is done only after a while: all of it begins at once, for no operator is restarted meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.cluster.chart import SYSTEM
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.user import MODELS, User, model
from tests.e2e.test_shares import GPU_SLICE, adopted, idle, labelled, lines, uid_of

pytestmark = pytest.mark.e2e

METERING = "modelmeter.dev/metering"
UID = "modelmeter.dev/model-uid"
ON_ANY_GPU = {"resources": GPU_SLICE, "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}
DATASET = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "dataset", "labels": {"modelmeter.dev/model": "fleeting", "modelmeter.dev/stage": "data"}},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
}


@pytest.fixture(scope="module")
def user(cluster: Cluster, operator: Operator) -> Iterator[User]:
    """Somebody who did all that is to be mended or let go."""
    user = User(cluster, "patient")
    for begin in BEGINNINGS:
        begin(user)
    yield user
    user.kubectl("delete", MODELS, "--all", "--wait=false")


def held(user: User, kind: str, name: str) -> bool:
    """Whether our finalizer is on it."""
    return METERING in user.get(kind, name)["metadata"].get("finalizers", ())


def told(user: User, name: str) -> str:
    """The message of the only event about something that belongs to no model."""
    (event,) = user.wait(
        f"an event about {name}",
        lambda: [e for e in user.list("events") if (e["reason"], e["involvedObject"]["name"]) == ("NoModel", name)],
    )
    return str(event["message"])


def copy(user: User) -> None:
    """A pod with the UID of a model whose name it does not have."""
    copied = labelled("copied", "another", finalizers=[METERING])
    copied["metadata"]["labels"][UID] = idle(user, "original")
    user.apply(copied)


def test_a_copy_of_a_models_pod_is_let_go_and_told(user: User) -> None:
    user.wait("the copy to be let go", lambda: not held(user, "pod", "copied"))
    assert "leave that label out" in told(user, "copied")


def name_no_model(user: User) -> None:
    """A pod that is ready to be metered for nobody."""
    user.apply(labelled("orphan", "nobody", finalizers=[METERING]))


def test_what_names_no_model_is_let_go_and_told(user: User) -> None:
    user.wait("the orphan to be let go", lambda: not held(user, "pod", "orphan"))
    assert "names 'nobody', and there is no such ModelDeployment" in told(user, "orphan")


def end_before_a_pod(user: User) -> None:
    """A model that is deleted while a pod of it goes on."""
    idle(user, "short")
    user.apply(labelled("long", "short", "data", **ON_ANY_GPU))
    adopted(user, "long")
    user.kubectl("delete", MODELS, "short", "--wait=false")


def test_a_pod_that_ends_with_the_model_is_let_go_and_not_counted_on(user: User) -> None:
    user.wait("the model's end", lambda: not user.get(MODELS, "short"))
    user.wait("the pod to be let go", lambda: not held(user, "pod", "long"))
    # A later model of the name does not take over what was counted already.
    again = idle(user, "short")
    status = user.wait_as_of("short", datetime.now(UTC) + timedelta(seconds=2))
    assert status["usage"]["gpuSeconds"] == "0"
    assert lines(user, again) == []
    user.kubectl("delete", "pod", "long", "--wait=false")


def end_before_a_claim(user: User) -> None:
    """A model that is deleted while a claim that somebody labelled stays."""
    idle(user, "fleeting")
    user.apply(DATASET)
    user.wait("its finalizer", lambda: held(user, "pvc", "dataset"))
    user.wait("its model's UID", lambda: UID in user.get("pvc", "dataset")["metadata"]["labels"])
    user.kubectl("delete", MODELS, "fleeting", "--wait=false")


def test_a_claim_labelled_by_hand_outlives_its_model(user: User) -> None:
    user.wait("the model's end", lambda: not user.get(MODELS, "fleeting"))
    user.wait("the claim to be let go", lambda: not held(user, "pvc", "dataset"))
    assert "deletionTimestamp" not in user.get("pvc", "dataset")["metadata"]


def lose_a_statement(user: User) -> None:
    """The open statement of a model with usage is deleted, as only who insists can."""
    user.apply(model("guarded"))
    user.wait("usage", lambda: int(user.status("guarded").get("usage", {}).get("gpuSeconds", "0")) > 0)
    statement = of_guarded(user)
    user.cluster.kubectl("annotate", *statement, "modelmeter.dev/allow-deletion=true")
    user.cluster.kubectl("delete", *statement)


def of_guarded(user: User) -> tuple[str, ...]:
    """Arguments of kubectl that name the statement."""
    return "coststatements", f"--namespace={SYSTEM}", f"--selector={UID}={uid_of(user, 'guarded')}"


def test_a_statement_that_is_deleted_while_the_operator_runs_is_written_again(user: User) -> None:
    user.wait(
        "it to be back",
        lambda: json.loads(user.cluster.kubectl("get", *of_guarded(user), "-o", "json"))["items"],
    )
    assert user.condition("guarded", "Metered")["status"] == "True"


def end_with_the_namespace(user: User) -> None:
    """Another namespace is deleted in which a pod of a model runs."""
    leaving = User(user.cluster, "leaving")
    leaving.apply(model("short"))
    leaving.wait("a scheduled pod", lambda: [p for p in leaving.list("pods") if p["spec"].get("nodeName")])
    user.cluster.kubectl("delete", "namespace", "leaving", "--wait=false")


def test_deleting_the_namespace_ends_with_a_last_statement(user: User) -> None:
    user.wait("the namespace's end", lambda: not user.get("namespace", "leaving"))
    pages = [page["spec"] for page in user.cluster.objects.list("coststatements", SYSTEM)]
    assert [page["closed"] for page in pages if page["model"]["namespace"] == "leaving"] == [True]


BEGINNINGS = lose_a_statement, copy, name_no_model, end_before_a_pod, end_before_a_claim, end_with_the_namespace
