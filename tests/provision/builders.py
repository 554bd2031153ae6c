"""ModelDeployments and what is seen of them, for tests of provisioning."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from modelmeter.api.resources import ModelDeployment, model_deployment
from modelmeter.provision.observed import ClaimFacts, Observed, PodFacts

NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
HASH = "0123456789abcdef"

FULL: dict[str, Any] = {
    "model": {
        "source": "pvc://models/minilm",
        "labels": ["phones", "books"],
        "maxSequenceLength": 64,
        "precision": "fp16",
    },
    "serving": {
        "replicas": 3,
        "image": "registry.example/triton:1",
        "gpu": {"count": 2, "product": "NVIDIA-L4"},
        "resources": {"requests": {"cpu": 4, "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        "batching": {"maxBatchSize": 8, "maxQueueDelayMicroseconds": 100},
        "nodeSelector": {"pool": "inference"},
        "tolerations": [{"key": "gpu", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 30}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "online",
        "imagePullSecrets": [{"name": "registry"}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    },
    "storage": {"size": "50Gi", "storageClassName": "shared", "accessModes": ["ReadWriteMany"]},
    "pricing": {"priceBook": "eu", "labour": [{"name": "oncall", "price": "100", "per": "day", "share": "0.1"}]},
}

PER_REPLICA: dict[str, Any] = {
    "model": {"source": "hf://acme/intent"},
    "serving": {"replicas": 3, "topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone"}]},
    "storage": {"size": "50Gi", "storageClassName": "zonal", "perReplica": True},
}

DEVICES: dict[str, Any] = {
    "model": {"source": "hf://acme/intent"},
    "serving": {
        "gpu": {
            "deviceClassName": "gpu.nvidia.com",
            "count": 2,
            "product": "NVIDIA-L4",
            "selectors": ["device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('20Gi'))"],
        }
    },
}

IMAGE: dict[str, Any] = {
    "model": {"source": "image://registry.example/models/bert:v1/minilm"},
    "serving": {"gpu": {"count": 0}, "imagePullSecrets": [{"name": "registry"}]},
}

MEASURED: dict[str, Any] = {
    **FULL,
    "model": {**FULL["model"], "labels": ["phones", "$(books) $$"]},
    "benchmark": {"p95Milliseconds": 50, "texts": ["--text $(HOME)"], "textWords": [8]},
}


PROMETHEUS = "http://prometheus.monitoring:9090"
QUEUE: dict[str, Any] = {"max": 4, "metric": "queueMicroseconds", "target": 20000}


def serving(**parts: Any) -> dict[str, Any]:
    """A spec with these parts of spec.serving."""
    return {"model": {"source": "pvc://models/minilm"}, "serving": parts}


EXTRAS: tuple[dict[str, Any], ...] = (
    serving(autoscaling={"min": 2, "max": 8, "metric": "cpu", "target": 70}, disruptionBudget={}),
    serving(autoscaling={**QUEUE, "scaleDownSeconds": 60}, disruptionBudget={"maxUnavailable": "25%"}),
    serving(autoscaling={**QUEUE, "keda": {"prometheusAddress": PROMETHEUS}}),
    serving(autoscaling={**QUEUE, "min": 0, "keda": {"prometheusAddress": PROMETHEUS, "wakeQuery": "rate(asked[1m])"}}),
)
"""Specs that ask for optional children: each metric, each autoscaler, budgets as a number and a percentage."""

OPTIONS: dict[str, Any] = {
    "model": {"source": "hf://acme/intent", "precision": "int8", "sequenceBuckets": [24, 48]},
    "serving": {
        "gpu": {"count": 0},
        "batching": {"queueTimeoutMilliseconds": 250},
        "instances": 2,
        "responseCache": {"size": "64Mi"},
        "restrictedApis": ["model-repository", "shared-memory"],
        "env": [{"name": "A", "value": "1"}],
    },
}
"""What a server is only asked for by some."""
TENSORRT: dict[str, Any] = {"model": {"source": "hf://acme/intent"}, "serving": {"accelerator": "tensorrt"}}


def model(spec: dict[str, Any] | None = None) -> ModelDeployment:
    """A ModelDeployment; without a spec the smallest there is."""
    return model_deployment(
        {
            "metadata": {
                "namespace": "search",
                "name": "intent",
                "uid": "0f0f0f0f-1111",
                "generation": 3,
            },
            "spec": spec or {"model": {"source": "https://models.example/intent.tar.gz"}},
        }
    )


def loaded(**report: object) -> str:
    """A loader's termination message."""
    return json.dumps(report)


def pod(name: str = "intent-1", **facts: Any) -> PodFacts:
    """A pod of the current spec that answers, changed by `facts`."""
    well = PodFacts(
        name,
        HASH,
        scheduled=True,
        ready=True,
        loader_exit_code=0,
        loader_message=loaded(sha256="ab", bytes=90_000_000),
    )
    return replace(well, **facts)


def pending(message: str = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.", **facts: Any) -> PodFacts:
    """A pod that the scheduler found no node for."""
    return PodFacts("intent-2", HASH, scheduling_message=message, **facts)


def seen(**facts: Any) -> Observed:
    """A ModelDeployment with one replica, all of it well, changed by `facts`."""
    well = Observed(
        generation=3,
        desired=1,
        now=NOW,
        template_hash=HASH,
        pods=(pod(),),
        source_claim="models",
        claim=ClaimFacts("intent-models", "Bound", "standard"),
        triton=(True, ""),
        metered=True,
        price_book="default",
        price_book_found=True,
        one_node=True,
    )
    return replace(well, **facts)
