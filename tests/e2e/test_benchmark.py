"""spec.benchmark on a real control plane: the Job's real command asks a real Triton; what it costs is on the ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.user import MODELS, User, model
from tests.e2e import kubelet
from tests.e2e.test_main_job import statements

pytestmark = pytest.mark.e2e

NAME = "measured"
JOB_PODS = "modelmeter.dev/stage=evaluation"


def price(user: User, item: str) -> Fraction:
    """What the PriceBook says of a core, a GiB or an L4 on demand."""
    rates = [rate for rate in user.get("pricebook", "default")["spec"]["rates"] if rate["item"] == item]
    product = "NVIDIA-L4" if item == "gpu" else ""
    (found,) = (
        rate["price"]
        for rate in rates
        if rate["match"].get("gpuProduct", "") == product and rate["match"].get("capacityType", "") in ("", "on-demand")
    )
    return Fraction(found)


def job(user: User) -> dict[str, Any]:
    """The model's only benchmark Job, if there is one."""
    jobs = user.list("jobs", f"modelmeter.dev/model={NAME}")
    assert len(jobs) < 2
    return jobs[0] if jobs else {}


def test_a_replica_is_measured_once_for_each_configuration(
    user: User, operator: Operator, serving: Callable[[User, str], None], tmp_path: Path
) -> None:
    asked = {"p95Milliseconds": 2000, "textWords": [2, 4], "secondsPerPoint": 2}
    user.apply(model(NAME, serving={"gpu": {"product": "NVIDIA-L4"}}, benchmark=asked))
    user.wait("the loader's ConfigMap", lambda: user.get("configmap", f"{NAME}-model"))
    assert not job(user), "before it is Ready there is nothing to measure"
    serving(user, NAME)
    first = user.wait("the Job", lambda: job(user))
    pod = str(user.wait("its pod", lambda: user.list("pods", JOB_PODS))[0]["metadata"]["name"])
    kubelet.holds(user, pod)
    assert user.condition(NAME, "Benchmarked")["reason"] == "BenchmarkRunning"
    assert "performance" not in user.status(NAME)

    found = kubelet.runs(user, pod, tmp_path / "termination-log", most_seconds="5")
    performance = user.wait("status.performance", lambda: user.status(NAME).get("performance"))
    assert performance["inferencesPerSecond"] == found["inferencesPerSecond"]
    assert float(performance["inferencesPerSecond"]) >= 1
    assert (performance["gpuProduct"], performance["batch"]) == ("NVIDIA-L4", found["batch"])
    hour = price(user, "gpu") + price(user, "cpu") + 2 * price(user, "memory")
    exact = hour / (Fraction(found["inferencesPerSecond"]) * 3600) * 1000
    assert abs(Fraction(performance["costPer1000AtSlo"]) - exact) <= Fraction(1, 2 * 10**8)
    assert user.condition(NAME, "Benchmarked")["status"] == "True"
    assert user.wait_ready(NAME, "1/1")["replicas"] == 1, "its pod is no replica"

    # Whoever comes later takes it from the Job, and runs nothing again; nor does what is no other configuration.
    operator.kill()
    user.kubectl("delete", "pod", pod, "--wait=false")
    operator.start()
    user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=2")
    user.wait_ready(NAME, "2/2")
    status = user.wait_as_of(NAME, datetime.now(UTC) + timedelta(seconds=2))
    assert status["performance"] == performance
    assert job(user)["metadata"]["uid"] == first["metadata"]["uid"]
    user.wait("the pod's release", lambda: not user.list("pods", JOB_PODS))

    # Who wants it measured again deletes the Job; what the one before found is not taken for what this one finds.
    user.kubectl("delete", "job", first["metadata"]["name"])
    user.wait("another Job", lambda: (job(user) or first)["metadata"]["uid"] != first["metadata"]["uid"])
    user.wait("its end", lambda: user.condition(NAME, "Benchmarked").get("reason") == "BenchmarkFailed")
    assert "performance" not in user.status(NAME)
    status = user.wait_as_of(NAME, datetime.now(UTC) + timedelta(seconds=2))

    # Half a core and 256 MiB for as long as it ran, as stage evaluation.
    uid = user.get(MODELS, NAME)["metadata"]["uid"]
    (stage,) = (entry for entry in status["usage"]["byStage"] if entry["stage"] == "evaluation")
    seconds = Fraction(stage["memoryByteSeconds"]) / (256 * 2**20)
    assert seconds == Fraction(stage["cpuCoreMilliSeconds"]) / 500 > 5
    assert Fraction(stage["gpuSeconds"]) == 0

    user.kubectl("patch", MODELS, NAME, "--type=merge", "-p", json.dumps({"spec": {"benchmark": None}}))
    user.wait("the end of the Job", lambda: not job(user))
    user.wait("no condition", lambda: not user.condition(NAME, "Benchmarked"))
    user.kubectl("delete", MODELS, NAME, "--wait=false")
    user.wait("its end", lambda: not user.get(MODELS, NAME))
    lines = [line for line in statements(user, uid)[-1]["lines"] if line.get("stage") == "evaluation"]
    counted = sum(int(units) for line in lines if line["item"] == "cpu" for units in line["days"].values())
    assert counted == 500 * seconds


def tune(cluster: Cluster, user: User, *options: str) -> subprocess.Popen[str]:
    """`modelmeter tune` as a process of a user with kubectl."""
    command = [sys.executable, "-m", "modelmeter", "tune", NAME, f"--namespace={user.namespace}", *options]
    return subprocess.Popen(
        [*command, "--p95-milliseconds=2000", "--seconds-per-point=2"],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_tune_tries_copies_and_leaves_none(
    cluster: Cluster, user: User, operator: Operator, serving: Callable[[User, str], None], tmp_path: Path
) -> None:
    user.apply(model(NAME, serving={"replicas": 0, "gpu": {"product": "NVIDIA-L4"}}))
    copied = f"{NAME}-tune-1"

    def pod_of_copy() -> str:
        user.wait("the copy's ConfigMap", lambda: user.get("configmap", f"{copied}-model"))
        serving(user, copied)
        pod = str(user.wait("its pod", lambda: user.list("pods", JOB_PODS))[0]["metadata"]["name"])
        kubelet.holds(user, pod)
        return pod

    whole = tune(cluster, user, "--max-batch-size=32", "--max-queue-delay-microseconds=0")
    pod = pod_of_copy()
    found = kubelet.runs(user, pod, tmp_path / "termination-log", most_seconds="4")
    printed, said = whole.communicate(timeout=60)
    assert whole.returncode == 0, said
    assert printed.splitlines()[1].split()[:3] == ["32", "0", found["inferencesPerSecond"]]
    assert "Best by cost per 1,000" in printed
    assert "maxQueueDelayMicroseconds: 0" in printed
    assert not user.get(MODELS, copied)

    # Ended while a copy is measured: it is deleted, and what it used is on its own statement.
    ended = tune(cluster, user)
    pod_of_copy()
    uid = user.get(MODELS, copied)["metadata"]["uid"]
    ended.send_signal(signal.SIGINT)
    _, said = ended.communicate(timeout=60)
    assert (ended.returncode, said.splitlines()[-1]) == (130, "modelmeter tune: ended; the copy under way is deleted")
    user.wait("its end", lambda: not user.get(MODELS, copied))
    assert not user.list("jobs")
    assert not user.list("pods")
    page = statements(user, uid)[-1]
    assert page["closed"]
    assert {line.get("stage") for line in page["lines"] if line["item"] == "cpu"} == {None, "evaluation"}
    assert user.get(MODELS, NAME)["spec"]["serving"]["replicas"] == 0
