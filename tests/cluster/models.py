"""Puts behind a ModelDeployment's pods what its loader would have written: the real BERT, served by real Triton.

KWOK's pods run nothing, so the init container's command runs here, with the ConfigMap that the operator applied.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.triton import Triton, minilm_directory

CHECKPOINT_CLAIM = "pvc://models/minilm"
"""The source that stands for the real BERT here."""


def load(cluster: Cluster, namespace: str, name: str, directory: Path) -> Path:
    """Run `modelmeter load` as the pods of a ModelDeployment would; return the model repository."""
    config_map = json.loads(
        cluster.kubectl("get", "configmap", f"{name}-model", f"--namespace={namespace}", "-o", "json")
    )
    spec = json.loads(config_map["data"]["model.json"])
    claims = directory / "claim"
    if not claims.exists():
        shutil.copytree(minilm_directory(), claims / "minilm")
    # No GPU here: the same model, placed on the CPU.
    spec |= {"claimDirectory": str(claims), "instanceKind": "KIND_CPU"}
    file = directory / "model.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    repository = directory / "repository"
    command = [sys.executable, "-m", "modelmeter", "load", CHECKPOINT_CLAIM, str(repository), "--spec", str(file)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise ClusterError(finished.stderr.strip())
    return repository


def serve(cluster: Cluster, triton: Triton, namespace: str, name: str, directory: Path) -> None:
    """Let Triton answer for a ModelDeployment at every pod's address."""
    triton.serve(load(cluster, namespace, name, directory))


def generate(address: str, name: str, text: str, label: str) -> dict[str, Any]:
    """What Triton's generate endpoint at a pod's address answers, as any HTTP client would ask it."""
    url = f"http://{address}:8000/v2/models/{name}/generate"
    body = json.dumps({"text": text, "label": label}).encode()
    try:
        with urllib.request.urlopen(url, data=body, timeout=10) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        raise ClusterError(f"{url}: HTTP {error.code}: {error.read().decode()}") from None
    except OSError as error:
        raise ClusterError(f"{url}: {error}") from None


def checkpoints(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    """The claim `models` of a namespace, which real pods can mount: the real BERT is in its folder minilm."""
    folder = cluster.directory / "checkpoints"
    if not (folder / "minilm").exists():
        shutil.copytree(minilm_directory(), folder / "minilm")
    volume = f"checkpoints-{namespace}"
    common = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                **common,
                "capacity": {"storage": "1Gi"},
                "claimRef": {"namespace": namespace, "name": "models"},
                "hostPath": {"path": str(folder)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {**common, "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}},
        },
    ]
