"""`python -m tests.demo.real`: the main job in real containers, step by step; it leaves nothing behind."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.chart import SYSTEM, install
from tests.cluster.cluster import Cluster
from tests.cluster.machines import MACHINES
from tests.cluster.models import checkpoints
from tests.cluster.node import inner
from tests.cluster.pools import NodePool
from tests.cluster.user import MODELS, User
from tests.demo import show
from tests.demo.command import command
from tests.demo.show import EXAMPLE, NAME, QUESTIONS, say

POOLS: Final = (NodePool(name="fake", nodes=1),)
OPERATOR_NODE: Final = MACHINES[0].name


def run(seconds: int) -> None:
    """The whole demo; its watch lasts so many seconds, or until Ctrl-C where it is 0."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelmeter-demo-")))
        began = time.monotonic()
        say("A control plane, two real nodes with containerd, and the chart (the first time takes some minutes)")
        cluster = stack.enter_context(Cluster.up(directory / "cluster", POOLS, MACHINES))
        install(cluster)
        cluster.kubectl("rollout", "status", "deployment/modelmeter", f"--namespace={SYSTEM}", "--timeout=90s")
        print(f"up after {time.monotonic() - began:.0f} s", flush=True)
        show.look_further(cluster)
        user = User(cluster, "search", checkpoints(cluster, "search"))
        apply(user)
        predict(user)
        say(f"$ kubectl scale modeldeployment {NAME} --replicas=1")
        print(user.kubectl("scale", f"{MODELS}/{NAME}", "--replicas=1"), end="")
        user.wait("one pod", lambda: len(user.list("pods")) == 1)
        user.wait_ready(NAME, "1/1")
        show.table(user, "-o", "wide")
        show.watch(user, seconds)
        footprint(cluster)
        show.delete(user)


def apply(user: User) -> None:
    """Apply the example, and say what each step from there to Ready took."""
    say(f"$ kubectl apply -f {EXAMPLE.name}   (with serving.backend: python, the only one of the stand-in for Triton)")
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    example["spec"]["serving"]["backend"] = "python"
    user.apply(example)
    user.wait_ready(NAME, "2/2")
    show.table(user)
    model = user.get(MODELS, NAME)
    first = moment(model["metadata"]["creationTimestamp"])
    for pod in user.list("pods"):
        print(f"{pod['metadata']['name']}, seconds after the apply: ", end="")
        print(", ".join(f"{step} {(at - first).total_seconds():.0f}" for step, at in steps(pod).items()), flush=True)


def steps(pod: dict[str, Any]) -> dict[str, datetime]:
    """When a pod had its node, its model and its Triton, and was ready."""
    conditions = {entry["type"]: moment(entry["lastTransitionTime"]) for entry in pod["status"]["conditions"]}
    (loader,), (triton,) = pod["status"]["initContainerStatuses"], pod["status"]["containerStatuses"]
    return {
        "scheduled": conditions["PodScheduled"],
        "loader started": moment(loader["state"]["terminated"]["startedAt"]),
        "model loaded": moment(loader["state"]["terminated"]["finishedAt"]),
        "Triton started": moment(triton["state"]["running"]["startedAt"]),
        "ready": conditions["Ready"],
    }


def moment(text: str) -> datetime:
    """A time as Kubernetes writes it."""
    return datetime.fromisoformat(text)


def predict(user: User) -> None:
    """Ask by the Service's name and address, as a pod would; the right label must fit better than a wrong one."""
    address = user.get("service", NAME)["spec"]["clusterIP"]
    scores = []
    for text, label in QUESTIONS:
        body = {"text": text, "label": label}
        say(f"POST {user.status(NAME)['endpoints']['predict']} {json.dumps(body)}")
        answer = inner.post(user.cluster, f"{address}:8000", f"/v2/models/{NAME}/generate", body)
        scores.append(answer["score"])
        print(json.dumps({key: answer[key] for key in ("score", "probability")}), flush=True)
    if not scores[0] > scores[1]:
        raise show.DemoError(f"{QUESTIONS[0]} should fit better than {QUESTIONS[1]}: {scores}")


def footprint(cluster: Cluster) -> None:
    """What the operator's own process has used so far."""
    pods = cluster.kubectl("get", "pods", f"--namespace={SYSTEM}", "-o", "json")
    status = json.loads(pods)["items"][0]["status"]["containerStatuses"][0]
    container = status["containerID"].removeprefix("containerd://")
    tasks = inner.ctr(cluster, OPERATOR_NODE, "tasks", "list")
    pid = next(line.split()[1] for line in tasks.splitlines() if line.startswith(container))
    memory = inner.on_node(cluster, OPERATOR_NODE, "grep", "VmRSS", f"/proc/{pid}/status").split()
    ticks = inner.on_node(cluster, OPERATOR_NODE, "cat", f"/proc/{pid}/stat").rpartition(")")[2].split()[11:13]
    since = moment(status["state"]["running"]["startedAt"])
    age = (datetime.now(since.tzinfo) - since).total_seconds()
    say("The operator's pod")
    print(
        f"{int(memory[1]) // 1024} MiB resident, {sum(map(int, ticks)) / 100:.1f} s of CPU in {age:.0f} s", flush=True
    )


if __name__ == "__main__":
    sys.exit(command("tests.demo.real", __doc__, run))
