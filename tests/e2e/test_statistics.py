"""Real Tritons, one for each pod, and callers that count: the statistics are what the callers got.

Every pod has a Triton of its own at its address, as in a cluster; the other tests' Triton at all addresses is shared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.models import load
from tests.cluster.operator import Operator
from tests.cluster.triton import Ports, Triton
from tests.cluster.user import MODELS, User, model
from tests.e2e.callers import Callers
from tests.e2e.test_main_job import statements

pytestmark = pytest.mark.e2e

NAME = "counted"
DRAIN_SECONDS = 6
"""How long a pod answers after its deletion: as with the preStop hook of a real one, which takes 10 s."""
ROUTED_SECONDS = 1.5
"""How long a proxy still sends requests to it."""


class Servers:
    """Starts a Triton at a pod's address, on ports of its own where that does not matter."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._number = 0

    def start(self, pod: dict[str, Any], repository: Path) -> Triton:
        """Serve a repository as the pod would."""
        self._number += 1
        ports = Ports(grpc=18200 + 2 * self._number, metrics=18201 + 2 * self._number)
        triton = Triton(self._directory / str(self._number), [repository], ports, pod["status"]["podIP"])
        return self._stack.enter_context(triton)

    def close(self) -> None:
        """Stop all of them."""
        self._stack.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Tritons of single pods."""
    running = Servers(tmp_path / "servers")
    yield running
    running.close()


def running_pod(user: User, but: str = "") -> dict[str, Any]:
    """The model's only pod, once it runs and is not the one of this name."""

    def found() -> list[dict[str, Any]]:
        return [
            pod
            for pod in user.list("pods")
            if pod["metadata"]["name"] != but
            and pod["status"]["phase"] == "Running"
            and "deletionTimestamp" not in pod["metadata"]
        ]

    return dict(user.wait("a pod that runs", found)[0])


def drains(user: User, pod: dict[str, Any]) -> str:
    """Let the pod answer on for a while once it is deleted; its name."""
    name = str(pod["metadata"]["name"])
    user.kubectl("annotate", "pod", name, f"tests.modelmeter.dev/stop-seconds={DRAIN_SECONDS}")
    return name


def shown(user: User) -> dict[str, Any]:
    """status.inference."""
    return dict(user.status(NAME).get("inference") or {})


def wait_requests(user: User, requests: int) -> dict[str, Any]:
    """Wait until the status shows so many requests; the status' part."""

    def found() -> dict[str, Any]:
        inference = shown(user)
        return inference if int(inference.get("requests", 0)) == requests else {}

    try:
        return dict(user.wait(f"{requests} requests", found, 40))
    except AssertionError as error:
        raise AssertionError(f"not {requests} requests but {shown(user)}") from error


def test_what_callers_count_is_what_the_statistics_say(
    cluster: Cluster, user: User, operator: Operator, servers: Servers, tmp_path: Path
) -> None:
    user.apply(model(NAME))
    user.wait("the loader's ConfigMap", lambda: user.get("configmap", f"{NAME}-model"))
    uid = user.get(MODELS, NAME)["metadata"]["uid"]
    repository = load(cluster, user.namespace, NAME, tmp_path)
    first = running_pod(user)
    assert "inference" not in user.status(NAME), "nobody has been read yet: that is unknown, not 0"
    triton = servers.start(first, repository)
    with Callers(NAME) as callers:
        callers.ask(first["status"]["podIP"])
        callers.answers(200)
        inference = wait_requests(user, callers.pause())
        check_figures(user)
        assert inference["unreadRuns"] == 0

        # A reload: the same server begins again at zero.
        triton.serve(repository)
        callers.ask(first["status"]["podIP"])
        callers.answers(40)
        inference = wait_requests(user, callers.pause())
        assert inference["unreadRuns"] == 1

        # The operator crashes; meanwhile there are answers.
        operator.kill()
        callers.ask(first["status"]["podIP"])
        callers.answers(40)
        callers.pause()
        operator.start()
        wait_requests(user, callers.answered)

        # A pod ends under load, and another takes its place.
        second = replaced(user, callers, first, lambda name: user.kubectl("delete", "pod", name, "--wait=false"))
        triton.stop()
        inference = wait_requests(user, callers.answered)
        assert inference["unreadRuns"] == 1
        triton = servers.start(second, repository)
        callers.ask(second["status"]["podIP"])
        callers.answers(40)
        wait_requests(user, callers.pause())

        # A server is killed: what it answered since it was last read is lost, and said to be.
        before = callers.answered
        callers.ask(second["status"]["podIP"])
        callers.answers(40)
        triton.kill()
        callers.pause()
        restarted(user, second)
        triton.start()
        callers.ask(second["status"]["podIP"])
        callers.answers(40)
        after = callers.pause()
        inference = user.wait("the next run", lambda: (found := shown(user))["unreadRuns"] == 2 and found)
        lost = after - int(inference["requests"])
        assert -callers.unanswered <= lost <= after - before - 40

        # A rollout under load.
        patch = {"spec": {"serving": {"batching": {"maxBatchSize": 7}}}}
        third = replaced(
            user,
            callers,
            second,
            lambda _: user.kubectl("patch", MODELS, NAME, "--type=merge", "-p", json.dumps(patch)),
        )
        triton.stop()
        (tmp_path / "again").mkdir()
        repository = load(cluster, user.namespace, NAME, tmp_path / "again")
        triton = servers.start(third, repository)
        callers.ask(third["status"]["podIP"])
        callers.answers(40)
        inference = wait_requests(user, callers.pause() - lost)
        assert inference["unreadRuns"] == 2

        # The end of the model: what the last pod answers while it drains is on the last page.
        drains(user, third)
        callers.ask(third["status"]["podIP"])
        callers.answers(10)
        user.kubectl("delete", MODELS, NAME, "--wait=false")
        time.sleep(ROUTED_SECONDS)
        answered = callers.pause()
    user.wait("its end", lambda: not user.get(MODELS, NAME))
    page = statements(user, uid)[-1]
    assert page["ended"]
    assert int(page["inference"]["answered"]) == answered - lost
    assert page["inference"]["unreadRuns"] == 2
    assert "readings" not in page["inference"] or not page["inference"]["readings"]


def replaced(user: User, callers: Callers, pod: dict[str, Any], replace: Callable[[str], object]) -> dict[str, Any]:
    """Replace a pod under load: it is asked until every proxy knows, and answers; the pod that follows."""
    name = drains(user, pod)
    callers.ask(pod["status"]["podIP"])
    callers.answers(20)
    unanswered = callers.unanswered
    replace(name)
    user.wait("its end to begin", lambda: "deletionTimestamp" in user.get("pod", name)["metadata"])
    time.sleep(ROUTED_SECONDS)
    callers.pause()
    assert callers.unanswered == unanswered, "it was to answer while it drains"
    user.wait("its end", lambda: not user.get("pod", name))
    return running_pod(user, but=name)


def restarted(user: User, pod: dict[str, Any]) -> None:
    """Say, as a kubelet would, that the container was started once more."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    statuses = user.get("pod", pod["metadata"]["name"])["status"]["containerStatuses"]
    (triton,) = (status for status in statuses if status["name"] == "triton")
    triton |= {"restartCount": 1, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    triton["lastState"]["terminated"] |= {"startedAt": triton["state"]["running"]["startedAt"], "finishedAt": now}
    triton["state"] = {"running": {"startedAt": now}}
    patch = json.dumps({"status": {"containerStatuses": statuses}})
    user.kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p", patch)


def check_figures(user: User) -> None:
    """What is divided fits what it is divided by."""
    status = user.status(NAME)
    inference, compute = status["inference"], Fraction(status["cost"]["compute"])
    assert inference["since"] == user.get(MODELS, NAME)["metadata"]["creationTimestamp"]
    assert inference["inferences"] == inference["requests"]
    assert inference["failures"] == "0"
    assert 1 <= Fraction(inference["meanBatch"]) <= 4
    assert int(inference["meanComputeMicroseconds"]) > 0
    assert 0 < Fraction(inference["busyShare"]) < 1
    # Both sides are rounded: amounts to a ten-thousandth.
    by_hand = compute * 1000 / int(inference["inferences"])
    assert abs(Fraction(inference["costPer1000"]) - by_hand) <= Fraction(1000, 10**4 * int(inference["inferences"]))
    idle = compute * (1 - Fraction(inference["busyShare"]))
    assert abs(Fraction(inference["idleCost"]) - idle) < Fraction(1, 1000)
