"""Somebody with one model in a namespace of their own, and an account of it that shares nothing with the product."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.models import checkpoints
from tests.cluster.node import inner
from tests.cluster.user import MODELS, User, model
from tests.e2e.test_main_job import gpu_seconds, statements
from tests.realnode.container_watcher import ContainerWatcher

SMALL: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
TEXT, RIGHT, WRONG = "a novel by a famous author", "books", "phones"


class Tenant(User):
    """kubectl in the namespace of one model, which has the namespace's name."""

    def __init__(self, cluster: Cluster, name: str, **spec: Any) -> None:
        super().__init__(cluster, name, checkpoints(cluster, name))
        self.name = name
        self.watcher = ContainerWatcher(cluster, name)
        # The stand-in for Triton's image has the Python backend alone.
        serving = {"resources": SMALL, "gpu": {"product": "NVIDIA-L4"}, "backend": "python", **spec.pop("serving", {})}
        self.apply(model(name, serving=serving, **spec))
        self.uid = self.get(MODELS, name)["metadata"]["uid"]

    def change(self, spec: dict[str, Any]) -> None:
        """Patch the model's spec."""
        self.kubectl("patch", MODELS, self.name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def pod(self) -> dict[str, Any]:
        """The only pod that is not ending."""
        (pod,) = (p for p in self.list("pods") if "deletionTimestamp" not in p["metadata"])
        return pod

    def container(self) -> dict[str, Any]:
        """The status of its Triton."""
        return dict(self.pod()["status"]["containerStatuses"][0])

    def wait_reason(self, reason: str, seconds: float = 90) -> str:
        """Wait until the lowest failing layer has this reason; its message."""
        self.wait(reason, lambda: self.status(self.name).get("reason") == reason, seconds)
        return str(self.condition(self.name, "Ready")["message"])

    def wait_answer(self, seconds: float = 90) -> None:
        """Wait until it is Ready, and ask its Service for the right score."""
        self.wait("Ready", lambda: self.condition(self.name, "Ready").get("status") == "True", seconds)
        assert self.score(RIGHT) > self.score(WRONG) + 0.1

    def score(self, label: str) -> float:
        """What the model says, asked at the address that its status gives, by the Service's own address."""
        service = self.get("service", self.name)["spec"]["clusterIP"]
        body = {"text": TEXT, "label": label}
        answer = inner.post(self.cluster, f"{service}:8000", f"/v2/models/{self.name}/generate", body)
        return float(answer["score"])

    def warnings(self) -> list[str]:
        """Reasons of the Warning events of the model, each as often as it was told."""
        events = [e for e in self.list("events") if e["involvedObject"]["kind"] == "ModelDeployment"]
        return sorted(event["reason"] for event in events if event["type"] == "Warning")

    def leave(self) -> None:
        """Delete the model, and wait for nothing: its pods answer for a while before they end."""
        self.kubectl("delete", MODELS, self.name, "--wait=false", "--ignore-not-found")

    def settle(self) -> list[dict[str, Any]]:
        """Delete the model; its pages, which hold the seconds that containerd recorded, and no other."""
        self.leave()
        self.wait("its end", lambda: not self.get(MODELS, self.name))
        self.wait("the watcher", lambda: all(seen.gone for seen in self.watcher.pods.values()))
        pages = statements(self, self.uid)
        assert pages[-1]["closed"]
        counted, recorded = gpu_seconds(pages), self.watcher.gpu_seconds()
        assert counted == recorded > 0, f"{self.name}: {counted} on the ledger, containerd: {recorded}"
        return pages
