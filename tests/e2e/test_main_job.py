"""The main job: apply, answer, scale, change, crash, delete; and every GPU-second is on the bill, once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from tests.cluster.chart import CHECKOUT, SYSTEM
from tests.cluster.cluster import Cluster
from tests.cluster.models import generate
from tests.cluster.operator import Operator
from tests.cluster.user import MODELS, User, model
from tests.e2e.pod_watcher import PodWatcher

pytestmark = pytest.mark.e2e

NAME = "search-intent"


@pytest.fixture
def watcher(cluster: Cluster, user: User) -> Iterator[PodWatcher]:
    """An independent account of the user's pods."""
    watching = PodWatcher(cluster, user.namespace)
    yield watching
    watching.close()


def statements(user: User, uid: str) -> list[dict[str, Any]]:
    """The ledger pages of a ModelDeployment, oldest first."""
    text = user.cluster.kubectl(
        "get", "coststatements", f"--namespace={SYSTEM}", f"--selector=modelmeter.dev/model-uid={uid}", "-o", "json"
    )
    return sorted((item["spec"] for item in json.loads(text)["items"]), key=lambda spec: str(spec["month"]))


def gpu_seconds(pages: list[dict[str, Any]]) -> int:
    """GPU-seconds of a whole life: what the last page carries, its lines, and what has no price."""
    last = pages[-1]
    lines = sum(int(units) for line in last["lines"] if line["item"] == "gpu" for units in line["days"].values())
    spans = sum(
        int(span["amount"])
        * round((datetime.fromisoformat(span["to"]) - datetime.fromisoformat(span["from"])).total_seconds())
        for span in last["unpriced"]
        if span["item"] == "gpu"
    )
    return lines + spans + int(last["carried"].get("usage", {}).get("gpu", 0))


def check_status(user: User, watcher: PodWatcher, name: str = NAME) -> dict[str, Any]:
    """The status, once its figures are younger than the last change; equal to the watcher's sum to the second."""
    quiet = datetime.now(UTC) + timedelta(seconds=2)
    status = user.wait_as_of(name, quiet)
    as_of = datetime.fromisoformat(status["cost"]["asOf"])
    assert int(status["usage"]["gpuSeconds"]) == watcher.gpu_seconds(until=as_of)
    revisions = {part["revision"]: int(part["gpuSeconds"]) for part in status["usage"]["byRevision"]}
    assert revisions == watcher.by_revision(until=as_of)
    return status


def test_the_main_job(
    user: User, operator: Operator, watcher: PodWatcher, serving: Callable[[User, str], None]
) -> None:
    user.kubectl("apply", "-f", str(CHECKOUT / "manifests" / "examples" / "2-search-intent.yaml"))
    user.wait("the loader's ConfigMap", lambda: user.get("configmap", f"{NAME}-model"))
    uid = user.get(MODELS, NAME)["metadata"]["uid"]
    serving(user, NAME)
    status = user.wait_ready(NAME, "2/2")
    assert status["endpoints"]["predict"].endswith(f"/v2/models/{NAME}/generate")
    check_status(user, watcher)

    user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=3")
    user.wait_ready(NAME, "3/3")
    check_status(user, watcher)
    user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=1")
    user.wait_ready(NAME, "1/1")
    user.wait("the other pods' end", lambda: len(user.list("pods")) == 1)
    check_status(user, watcher)

    first = {pod["metadata"]["name"] for pod in user.list("pods")}
    patch = {"spec": {"serving": {"batching": {"maxBatchSize": 7}}}}
    user.kubectl("patch", MODELS, NAME, "--type=merge", "-p", json.dumps(patch))
    user.wait("a rollout", lambda: first.isdisjoint(pod["metadata"]["name"] for pod in user.list("pods")))
    user.wait_ready(NAME, "1/1")

    # Pods end while nobody meters them: their finalizers keep them until somebody does.
    operator.kill()
    user.kubectl("delete", "pods", "--all", "--wait=false")
    user.wait("ended pods", lambda: any(pod["status"]["phase"] == "Succeeded" for pod in user.list("pods")))
    time.sleep(3)
    operator.start()
    user.wait_ready(NAME, "1/1")
    user.wait("the ended pods' release", lambda: len(user.list("pods")) == 1)
    shown = check_status(user, watcher)
    assert len(shown["usage"]["byRevision"]) == 2
    assert "unpriced" not in shown["cost"], shown["cost"]

    user.kubectl("delete", MODELS, NAME, "--wait=false")
    operator.kill()
    operator.start()
    user.wait("its end", lambda: not user.get(MODELS, NAME))
    for kind in ("pods", "deployments", "services", "persistentvolumeclaims", "configmaps"):
        user.wait(
            f"the end of its {kind}",
            lambda kind=kind: not user.list(kind, f"modelmeter.dev/model={NAME}"),  # type: ignore[misc]
        )
    user.wait("the watcher to see it", lambda: all(seen.gone for seen in watcher.pods.values()))
    pages = statements(user, uid)
    assert pages[-1]["closed"]
    assert not pages[-1]["open"]
    assert len(watcher.pods) == 5
    assert gpu_seconds(pages) == watcher.gpu_seconds()
    assert gpu_seconds(pages) > 0
    gpu_price = Fraction(next(line["unitPrice"] for line in pages[-1]["lines"] if line["item"] == "gpu"))
    assert gpu_price == Fraction(expected_gpu_price(user))


def expected_gpu_price(user: User) -> str:
    """The PriceBook's rate for an L4 on demand."""
    rates = user.get("pricebook", "default")["spec"]["rates"]
    return next(
        str(rate["price"])
        for rate in rates
        if rate["item"] == "gpu"
        and rate["match"].get("gpuProduct") == "NVIDIA-L4"
        and rate["match"].get("capacityType", "") in ("", "on-demand")
    )


def test_a_pods_address_answers_with_the_score_of_the_real_bert(
    user: User, serving: Callable[[User, str], None]
) -> None:
    user.apply(model("classifier"))
    user.wait("the loader's ConfigMap", lambda: user.get("configmap", "classifier-model"))
    serving(user, "classifier")
    user.wait_ready("classifier", "1/1")
    address = user.list("pods")[0]["status"]["podIP"]

    answers = {
        label: generate(address, "classifier", "a novel by a famous author", label)
        for label in ("shoes", "phones", "books")
    }
    assert answers["books"]["score"] > answers["phones"]["score"] + 0.1
    probability = {label: answer["probability"] for label, answer in answers.items()}
    assert sum(probability.values()) == pytest.approx(1, abs=1e-5)
    assert max(probability, key=lambda label: probability[label]) == "books"
    event = user.list("events")
    assert any(entry["reason"] == "Ready" for entry in event), event


def test_a_price_change_splits_a_running_pods_cost_at_the_moment(user: User, cluster: Cluster) -> None:
    book = {
        "apiVersion": "modelmeter.dev/v1alpha1",
        "kind": "PriceBook",
        "metadata": {"name": "changing"},
        "spec": {
            "currency": "EUR",
            "rates": [
                {"item": item, "price": price, "per": per, "from": "2026-01-01T00:00:00Z"}
                for item, price, per in (
                    ("gpu", "36", "hour"), ("cpu", "0", "hour"), ("memory", "0", "GiB-hour"),
                    ("storage", "0", "GiB-hour"),
                )
            ],
        },
    }  # fmt: skip
    user.apply(book)
    user.apply(model("priced", pricing={"priceBook": "changing"}))
    pod = user.wait("a scheduled pod", lambda: [p for p in user.list("pods") if p["spec"].get("nodeName")])[0]
    start = scheduled_at(pod)
    change = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    dearer = {"item": "gpu", "price": "108", "per": "hour", "from": change.strftime("%Y-%m-%dT%H:%M:%SZ")}
    book["spec"]["rates"].append(dearer)  # type: ignore[index]
    user.apply(book)
    status = user.wait_as_of("priced", change + timedelta(seconds=3))
    as_of = datetime.fromisoformat(status["cost"]["asOf"])
    # 36 an hour is 0.01 a second, 108 is 0.03.
    before, after = (change - start).total_seconds(), (as_of - change).total_seconds()
    assert status["cost"]["compute"] == f"{(round(before) + 3 * round(after)) / 100:.4f}"
    assert status["cost"]["currency"] == "EUR"
    assert status["cost"]["perHour"] == "108.0000"


def scheduled_at(pod: dict[str, Any]) -> datetime:
    """When a pod got its node."""
    return next(
        datetime.fromisoformat(entry["lastTransitionTime"])
        for entry in pod["status"]["conditions"]
        if entry["type"] == "PodScheduled"
    )


def test_drift_is_repaired(user: User) -> None:
    user.apply(model("steady"))
    before = user.wait("its Service", lambda: user.get("service", "steady"))
    user.wait("its Deployment", lambda: user.get("deployment", "steady"))
    user.kubectl("delete", "service", "steady")
    again = user.wait("its Service again", lambda: user.get("service", "steady"))
    assert again["metadata"]["uid"] != before["metadata"]["uid"]
    user.kubectl("scale", "deployment/steady", "--replicas=4")
    user.wait("one replica again", lambda: user.get("deployment", "steady")["spec"]["replicas"] == 1)


def test_what_somebody_lets_go_of_before_it_is_counted_is_told(user: User, operator: Operator) -> None:
    user.apply(model("stripped"))
    pod = user.wait("its pod to run", lambda: _running(user))
    uid = user.get(MODELS, "stripped")["metadata"]["uid"]
    # Labour is news to the ledger: all is posted up to now.
    labour = {"spec": {"pricing": {"labour": [{"name": "mlops", "price": "730", "per": "month"}]}}}
    user.kubectl("patch", MODELS, "stripped", "--type=merge", "-p", json.dumps(labour))
    user.wait("it on the ledger", lambda: any(pod in group["uids"] for group in statements(user, uid)[-1]["open"]))
    operator.kill()
    (name,) = (item["metadata"]["name"] for item in user.list("pods"))
    user.kubectl("delete", "pod", name, "--wait=false")
    user.kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    user.wait("its end", lambda: not user.get("pod", name))
    operator.start()
    told = user.wait("an event", lambda: [e for e in user.list("events") if e["reason"] == "UsageVanished"])
    assert len(told) == 1
    assert f"{pod} vanished uncounted" in told[0]["message"]
    assert all(pod not in group["uids"] for group in statements(user, uid)[-1]["open"])


def _running(user: User) -> str | None:
    pods = [pod for pod in user.list("pods") if pod["status"]["phase"] == "Running"]
    return pods[0]["metadata"]["uid"] if pods else None
