"""What sets the replicas of a model by its load: a HorizontalPodAutoscaler, or KEDA's ScaledObject.

Both scale the ModelDeployment itself, by its scale subresource: so spec.serving.replicas stays the only source of the
number, and nobody else writes to the Deployment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from modelmeter.api.autoscaling import Autoscaling, Keda
from modelmeter.api.names import API_VERSION, bert_name
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import metadata
from modelmeter.provision.pod import TRITON

QUEUE_METRIC: Final = "triton_queue_microseconds"
"""Under this name prometheus-adapter serves a pod's mean queue time; docs/autoscaling.md has its rule."""
WINDOW: Final = "2m"
"""Over so much a mean is taken: Prometheus needs a few readings, which it commonly takes each 15 or 30 s."""


def _cpu(target: int) -> dict[str, Any]:
    """Of the Triton container alone: a sidecar's idle time says nothing."""
    goal = {"type": "Utilization", "averageUtilization": target}
    return {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": TRITON, "target": goal}}


def _queue(target: int) -> dict[str, Any]:
    goal = {"type": "AverageValue", "averageValue": str(target)}
    return {"type": "Pods", "pods": {"metric": {"name": QUEUE_METRIC}, "target": goal}}


METRICS: Final[dict[str, Callable[[int], dict[str, Any]]]] = {"cpu": _cpu, "queueMicroseconds": _queue}
"""spec.serving.autoscaling.metric to the MetricSpec of a HorizontalPodAutoscaler, for a target."""


def autoscaler(model: ModelDeployment) -> tuple[dict[str, Any], ...]:
    """The one autoscaler that the spec asks for, if any."""
    wanted = model.spec.serving.autoscaling
    if wanted is None:
        return ()
    if wanted.keda is None:
        return (_horizontal_pod_autoscaler(model, wanted),)
    return (_scaled_object(model, wanted, wanted.keda),)


def wakes(model: ModelDeployment) -> bool:
    """Whether its autoscaler takes the last replica, and brings it back."""
    wanted = model.spec.serving.autoscaling
    return wanted is not None and wanted.min == 0


def _horizontal_pod_autoscaler(model: ModelDeployment, wanted: Autoscaling) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(model, model.name),
        "spec": {
            "scaleTargetRef": _target(model),
            "minReplicas": wanted.min,
            "maxReplicas": wanted.max,
            "metrics": [METRICS[wanted.metric](wanted.target)],
            "behavior": _behavior(wanted),
        },
    }


def _scaled_object(model: ModelDeployment, wanted: Autoscaling, keda: Keda) -> dict[str, Any]:
    triggers = [_queue_trigger(model, wanted, keda), *([_wake_trigger(keda)] if wanted.min == 0 else [])]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(model, model.name),
        "spec": {
            "scaleTargetRef": _target(model),
            "minReplicaCount": wanted.min,
            "maxReplicaCount": wanted.max,
            "cooldownPeriod": wanted.scale_down_seconds,
            # Else KEDA takes the first replica at once, before it has fetched the model.
            "initialCooldownPeriod": wanted.scale_down_seconds,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(wanted)}},
            "triggers": triggers,
        },
    }


def _queue_trigger(model: ModelDeployment, wanted: Autoscaling, keda: Keda) -> dict[str, Any]:
    """A mean is compared as it is (`Value`): KEDA would divide a sum by the replicas."""
    # The encoder's queue is where requests wait for the device.
    of = f'{{namespace="{model.namespace}",model="{bert_name(model.name)}"}}[{WINDOW}]'
    waited, answered = (f"sum(rate(nv_inference_{name}{of}))" for name in ("queue_duration_us", "request_success"))
    # Without requests nobody waits; without pods there are no series, which is no error only where there may be none.
    return _trigger(
        keda, f"{waited} / clamp_min({answered}, 0.001)", wanted.target, "Value", ignoreNullValues=wanted.min == 0
    )


def _wake_trigger(keda: Keda) -> dict[str, Any]:
    """0 or 1: it says whether there are replicas, and the queue how many."""
    return _trigger(keda, f"sum({keda.wake_query}) > bool 0", 1, "AverageValue", ignoreNullValues=True)


def _trigger(keda: Keda, query: str, threshold: int, metric_type: str, **flags: bool) -> dict[str, Any]:
    return {
        "type": "prometheus",
        "metricType": metric_type,
        "metadata": {
            "serverAddress": keda.prometheus_address,
            "query": query,
            "threshold": str(threshold),
            **{name: str(flag).lower() for name, flag in flags.items()},
        },
    }


def _target(model: ModelDeployment) -> dict[str, str]:
    return {"apiVersion": API_VERSION, "kind": "ModelDeployment", "name": model.name}


def _behavior(wanted: Autoscaling) -> dict[str, Any]:
    return {"scaleDown": {"stabilizationWindowSeconds": wanted.scale_down_seconds}}
