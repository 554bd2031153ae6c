"""The Job that measures one replica, and which of a model's Jobs are still wanted.

A Job is made once for each configuration, and kept: what came of it is an annotation on it. Deleted by hand, it is made
and run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from modelmeter.api.benchmark import Figures, Outcome
from modelmeter.api.names import (
    CONFIG_HASH,
    GPU_PRODUCT,
    LABEL_MODEL,
    LABEL_MODEL_UID,
    LABEL_STAGE,
    METERING_FINALIZER,
)
from modelmeter.api.resources import ModelDeployment
from modelmeter.provision.labels import metadata
from modelmeter.provision.pod import RESTRICTED, run_as
from modelmeter.provision.service import endpoints
from modelmeter.provision.workload import template_hash

CONTAINER: Final = "benchmark"
STAGE: Final = "evaluation"
USER_ID: Final = 65532
"""The image's own."""
RESOURCES: Final = {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}
MOST_POINTS: Final = 60
"""So many points' time is all that it takes for all of them: the waits in between included. A point here lasts as long
as the limit at least, for rates of high latency are tried for many times that."""
START_SECONDS: Final = 900
"""How long the pod may wait for a node and its image."""
DISRUPTED: Final = "DisruptionTarget"
"""Condition of a pod that did not end by itself: drained, preempted, evicted, or its node is gone."""
GRACE_SECONDS: Final = 5
NAME_HASH_LENGTH: Final = 6
"""A Job's name has 63 characters, a ModelDeployment's 50."""


class JobFacts(NamedTuple):
    """What a benchmark Job says about itself."""

    name: str
    uid: str
    config_hash: str
    gpu_product: str
    outcome: Outcome | None = None
    ended: str = ""
    """Complete or Failed, once the Job controller says so."""
    ended_message: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.outcome is not None or bool(self.ended)

    def fits(self, model: ModelDeployment) -> bool:
        """Whether it measures the model as it is, on the GPU product that it was made for."""
        return self.config_hash == config_hash(model, self.gpu_product)


def config_hash(model: ModelDeployment, gpu_product: str) -> str:
    """What is measured: the pods' template, what is asked of them, and the GPU product that they run on."""
    asked = model.spec.benchmark.model_dump(exclude_defaults=True) if model.spec.benchmark else None
    parts = [template_hash(model), asked, gpu_product]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def job(model: ModelDeployment, image: str, gpu_product: str) -> dict[str, Any]:
    """The Job; its pod is metered as stage evaluation, and no Service or Deployment takes it for a replica."""
    config = config_hash(model, gpu_product)
    common = metadata(model, f"{model.name}-bench-{config[:NAME_HASH_LENGTH]}")
    kind = {"app.kubernetes.io/name": "modelmeter-benchmark", "app.kubernetes.io/component": CONTAINER}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **common,
            "labels": {**common["labels"], **kind},
            "annotations": {CONFIG_HASH: config, GPU_PRODUCT: gpu_product},
        },
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": DISRUPTED, "status": "True"}]}]
            },
            "activeDeadlineSeconds": _most_seconds(model) + START_SECONDS,
            "template": {
                "metadata": {
                    "labels": {
                        **kind,
                        "app.kubernetes.io/instance": model.name,
                        LABEL_MODEL: model.name,
                        LABEL_MODEL_UID: model.uid,
                        LABEL_STAGE: STAGE,
                    },
                    "finalizers": [METERING_FINALIZER],
                },
                "spec": _pod_spec(model, image),
            },
        },
    }


def _pod_spec(model: ModelDeployment, image: str) -> dict[str, Any]:
    secrets = [{"name": reference.name} for reference in model.spec.serving.image_pull_secrets]
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": run_as(USER_ID),
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "args": _arguments(model),
                "resources": RESOURCES,
                "securityContext": {**RESTRICTED, "readOnlyRootFilesystem": True},
            }
        ],
        **({"imagePullSecrets": secrets} if secrets else {}),
    }


def _arguments(model: ModelDeployment) -> list[str]:
    asked = model.spec.benchmark
    assert asked is not None
    return [
        "benchmark",
        endpoints(model).grpc,
        f"--model={model.name}",
        f"--p95-milliseconds={asked.p95_milliseconds}",
        f"--seconds-per-point={asked.seconds_per_point}",
        f"--most-seconds={_most_seconds(model)}",
        "--termination-log=/dev/termination-log",
        *(f"--words={words}" for words in asked.effective_text_words()),
        *(_literal(f"--text={text}") for text in asked.texts),
        *(_literal(f"--label={label}") for label in model.spec.model.labels),
    ]


def _literal(argument: str) -> str:
    """An argument in which the kubelet expands nothing: it reads $(NAME), and $$ as $."""
    return argument.replace("$", "$$")


def _most_seconds(model: ModelDeployment) -> int:
    asked = model.spec.benchmark
    assert asked is not None
    return MOST_POINTS * max(asked.seconds_per_point, -(-asked.p95_milliseconds // 1000))


def wanted(model: ModelDeployment, gpu_products: Sequence[str]) -> str | None:
    """The hash of what is to be measured; None where nothing is, or nobody can say yet of which product.

    Where replicas run on several products, nobody knows which would answer.
    """
    if model.spec.benchmark is None or len(gpu_products) != 1:
        return None
    return config_hash(model, gpu_products[0])


def superfluous(model: ModelDeployment, jobs: Iterable[JobFacts], config: str | None) -> list[JobFacts]:
    """Jobs to delete, where `config` is what is wanted: all where nothing is asked for; those that measure what is no
    longer so; and finished ones of another spec once what is wanted has been measured. One of another GPU product
    stays: replicas may come back to it."""
    jobs = list(jobs)
    if model.spec.benchmark is None:
        return jobs
    measured = any(entry.config_hash == config and entry.over for entry in jobs)
    return [
        entry
        for entry in jobs
        if entry.config_hash != config
        and (measured and not entry.fits(model) if entry.over else config is not None or not entry.fits(model))
    ]


def newest(jobs: Iterable[JobFacts], config: str | None) -> tuple[JobFacts, Figures] | None:
    """The Job that measured last, and what: the one of what is wanted before all others; None where none has."""
    measured = [(entry, found) for entry in jobs if entry.outcome and (found := entry.outcome.figures)]
    return max(measured, key=lambda one: (one[0].config_hash == config, one[1].measured_at), default=None)


def current(model: ModelDeployment, jobs: Iterable[JobFacts], config: str | None) -> JobFacts | None:
    """The Job that measures what is wanted, or, where that is not known, the model as it is."""
    fitting = (entry for entry in jobs if (entry.config_hash == config if config else entry.fits(model)))
    return next(fitting, None)
