"""spec.benchmark on a real control plane: the Job's real command asks a real Triton; what it costs is on the ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
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
SHORT = {"most_seconds": "1", "seconds_per_point": "1", "words": "2"}
"""A load of one rate and few words: that a rate is found, and what becomes of it."""


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
    pod = kubelet.holds(user, JOB_PODS)
    user.wait("that to be said", lambda: user.condition(NAME, "Benchmarked")["reason"] == "BenchmarkRunning")
    assert "performance" not in user.status(NAME)

    found = kubelet.runs(user, pod, tmp_path / "termination-log", **SHORT)
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
    operator.stop()
    user.kubectl("delete", "pod", pod, "--wait=false")
    operator.start()
    user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=2")
    assert user.wait_ready(NAME, "2/2")["performance"] == performance
    assert job(user)["metadata"]["uid"] == first["metadata"]["uid"]
    user.wait("the pod's release", lambda: not user.list("pods", JOB_PODS))

    # Who wants it measured again deletes the Job; what the one before found is not taken for what this one finds.
    user.kubectl("delete", "job", first["metadata"]["name"])
    user.wait("another Job", lambda: (job(user) or first)["metadata"]["uid"] != first["metadata"]["uid"])
    user.wait("its end", lambda: user.condition(NAME, "Benchmarked").get("reason") == "BenchmarkFailed")
    status = user.status(NAME)
    assert "performance" not in status

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
    cluster: Cluster, user: User, operator: Operator, serving: Callable[[User, str], None]
) -> None:
    user.apply(model(NAME, serving={"replicas": 0, "gpu": {"product": "NVIDIA-L4"}}))
    first, second = f"{NAME}-tune-1", f"{NAME}-tune-2"

    tuning = tune(cluster, user, "--max-batch-size=32", "--max-queue-delay-microseconds=500")
    user.wait("the copy's ConfigMap", lambda: user.get("configmap", f"{first}-model"))
    serving(user, first)
    pod = kubelet.holds(user, JOB_PODS)
    uids = [user.get(MODELS, first)["metadata"]["uid"]]
    # What the command finds is the other test's.
    kubelet.ends(user, pod, '{"inferencesPerSecond": "96.40", "p95Milliseconds": "1204.00"}')

    # Ended while the second copy is there: that is deleted, and what was measured is printed.
    user.wait("the other copy's pod", lambda: user.list("pods", f"modelmeter.dev/model={second}"))
    uids.append(user.get(MODELS, second)["metadata"]["uid"])
    tuning.send_signal(signal.SIGINT)
    printed, said = tuning.communicate(timeout=60)
    assert (tuning.returncode, said.splitlines()[-1]) == (
        130,
        "modelmeter tune: ended; the copy under way is being deleted",
    )
    assert printed.splitlines()[1].split()[:3] == ["32", "0", "96.40"]
    assert "Best by cost per 1,000" in printed
    assert "maxQueueDelayMicroseconds: 0" in printed
    user.wait("its end", lambda: not user.get(MODELS, second))
    assert not user.list(MODELS, "modelmeter.dev/tune-of")
    assert not user.list("jobs")
    assert not user.list("pods")
    # What they used is on their own statements.
    pages = [statements(user, uid)[-1] for uid in uids]
    assert all(page["closed"] for page in pages)
    stages = [{line.get("stage") for line in page["lines"] if line["item"] == "cpu"} for page in pages]
    assert stages[0] == {None, "evaluation"}
    assert user.get(MODELS, NAME)["spec"]["serving"]["replicas"] == 0
