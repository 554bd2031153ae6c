"""What a user does with kubectl, and waits for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from tests.cluster.cluster import Cluster

MODELS = "modeldeployments.modelmeter.dev"
PATIENCE_SECONDS = 90.0
PAUSE_SECONDS = 0.1
CHECKPOINT = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadOnlyMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
"""The claim that holds the team's checkpoints: what source pvc://models/... names."""


class User:
    """kubectl in one namespace."""

    def __init__(self, cluster: Cluster, namespace: str, checkpoint: Sequence[dict[str, Any]] = (CHECKPOINT,)) -> None:
        self.cluster = cluster
        self.namespace = namespace
        cluster.kubectl("create", "namespace", namespace)
        for manifest in checkpoint:
            self.apply(manifest)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """What kubectl prints; its failure raises with its own words."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, input=input)

    def apply(self, manifest: dict[str, Any]) -> None:
        """Apply one object."""
        self.kubectl("apply", "-f", "-", input=json.dumps(manifest))

    def fails(self, *arguments: str, input: str | None = None) -> str:
        """What kubectl says where it fails; one that works fails the test."""
        command = [self.cluster.binaries / "kubectl", f"--kubeconfig={self.cluster.kubeconfig}"]
        finished = subprocess.run(
            [*command, f"--namespace={self.namespace}", *arguments],
            input=input, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert finished.returncode != 0, f"it worked: {arguments} {input}"
        return finished.stderr

    def refused(self, manifest: dict[str, Any]) -> str:
        """What kubectl apply says where it fails; an apply that works fails the test."""
        return self.fails("apply", "-f", "-", input=json.dumps(manifest))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object, or nothing where it does not exist."""
        return self.cluster.objects.get(kind, self.namespace, name)

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind."""
        return self.cluster.objects.list(kind, self.namespace, selector)

    def status(self, name: str) -> dict[str, Any]:
        """The status of a ModelDeployment."""
        return dict(self.get(MODELS, name).get("status") or {})

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition of a ModelDeployment."""
        return _condition(self.status(name), kind)

    def wait(self, what: str, done: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """Poll until there is something; a failure says what was waited for."""
        deadline = time.monotonic() + seconds
        while not (found := done()):
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s for: {what}\n{self._describe()}"
            time.sleep(PAUSE_SECONDS)
        return found

    def wait_ready(self, name: str, ready: str) -> dict[str, Any]:
        """Wait until a ModelDeployment is Ready with so many replicas ("2/2"); its status."""

        def done() -> dict[str, Any]:
            # One read: the parts of two may be of two generations.
            model = self.get(MODELS, name)
            status = dict(model.get("status") or {})
            good = _condition(status, "Ready").get("status") == "True" and status.get("ready") == ready
            return status if good and status["observedGeneration"] == model["metadata"]["generation"] else {}

        return dict(self.wait(f"{name} Ready {ready}", done))

    def wait_as_of(self, name: str, moment: datetime) -> dict[str, Any]:
        """Wait until the figures are of this moment or later; the status."""

        def done() -> dict[str, Any]:
            status = self.status(name)
            as_of = (status.get("cost") or {}).get("asOf")
            return status if as_of and datetime.fromisoformat(as_of) >= moment else {}

        return dict(self.wait(f"{name} as of {moment}", done))

    def _describe(self) -> str:
        return self.kubectl("get", f"{MODELS},pods,pvc,deployments", "-o", "wide") + "\n".join(
            json.dumps(item.get("status", {}).get("conditions")) for item in self.list(MODELS)
        )


def _condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((dict(entry) for entry in status.get("conditions", []) if entry["type"] == kind), {})


def model(name: str, **spec: Any) -> dict[str, Any]:
    """A ModelDeployment; `spec` replaces the parts that it names."""
    base = {"model": {"source": "pvc://models/minilm", "labels": ["shoes", "phones", "books"]}}
    return {
        "apiVersion": "modelmeter.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }
