"""How a model is served: what Triton gets, and where its pods run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from modelmeter.api.autoscaling import Autoscaling, DisruptionBudget
from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.compute import ENOUGH, Resources
from modelmeter.api.gpu import Gpu
from modelmeter.api.placing import DEFAULT_TOLERATIONS, Affinity, Toleration, TopologySpreadConstraint
from modelmeter.api.rollout import Rollout
from modelmeter.api.scalars import ObjectName
from modelmeter.api.serving_options import ResponseCache, RestrictedApi

OpenObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""An object of Kubernetes' own API that we pass on as it is."""


class Batching(Struct):
    """Triton's dynamic batching."""

    max_batch_size: Annotated[int, Field(ge=1, le=1024)] = 32
    """Most requests in one batch."""
    max_queue_delay_microseconds: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """How long a request waits for others before the model, in microseconds; what waits for a busy model anyway shares
    a batch without it."""
    queue_timeout_milliseconds: Annotated[int, Field(ge=1, le=600_000)] | None = None
    """How long a request may wait for the model, in milliseconds, before it is refused; not given: any time.

    Under it some requests wait up to half a second for no reason: see docs/serving.md."""


class EnvVar(Struct):
    """An environment variable of the Triton container."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    value: str = ""
    value_from: OpenObject | None = None
    """Kubernetes EnvVarSource, passed on as it is."""


class LocalObjectReference(Struct):
    """A name in the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]


class Serving(Struct):
    """How the model is served."""

    replicas: Annotated[int, Field(ge=0, le=500)] = 1
    """Triton pods; `kubectl scale` changes it, and so does autoscaling."""
    autoscaling: Autoscaling | None = None
    """Lets Kubernetes set replicas by what they have to do; not given: they stay as they are set."""
    disruption_budget: DisruptionBudget | None = None
    """A PodDisruptionBudget; leave it out where another one covers the pods already, for two refuse every eviction."""
    rollout: Rollout | None = None
    """Tries a new revision on some of the replicas first; not given: it replaces one after another."""
    image: Annotated[str, Field(min_length=1, max_length=512)] = "nvcr.io/nvidia/tritonserver:25.10-py3"
    """Triton image."""
    gpu: Gpu = Gpu()
    backend: Literal["onnxruntime", "python"] | None = None
    """Triton's backend that runs the model: onnxruntime, Triton's own, on the GPU where there is one; python, by an
    onnxruntime that the loader brings along, on the CPU alone, whatever gpu says.

    Not given: onnxruntime where gpu.count is 1 or more, else python."""
    accelerator: Literal["cuda", "tensorrt"] = "cuda"
    """What onnxruntime runs the model with on a GPU; tensorrt builds its engines whenever a pod starts, in minutes."""
    resources: Annotated[
        Resources, Field(json_schema_extra=rules(rule(ENOUGH, "a limit must not be below its request")))
    ] = Resources()
    batching: Batching = Batching()
    instances: Annotated[int, Field(ge=1, le=32)] = 1
    """Copies of the model that run at once, on each GPU of a replica or on its CPU, which they share."""
    response_cache: ResponseCache | None = None
    """Not given: every request is computed."""
    restricted_apis: Annotated[list[RestrictedApi], Field(json_schema_extra={"x-kubernetes-list-type": "set"})] = []
    """Triton's APIs that callers of the Service may not use, over HTTP and gRPC; not given: they may use all."""
    node_selector: Annotated[dict[str, str], Field(max_length=32)] = {}
    tolerations: Annotated[list[Toleration], Field(max_length=32)] = DEFAULT_TOLERATIONS
    affinity: Affinity | None = None
    """Kubernetes Affinity, passed on as it is."""
    topology_spread_constraints: Annotated[list[TopologySpreadConstraint], Field(max_length=8)] = []
    """How replicas spread over zones or nodes; over nodes, with spec.storage.perReplica or ReadWriteMany."""
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    service_account_name: ObjectName = ""
    """ServiceAccount of the pods, for a source that knows it (workload identity); empty: the namespace's default."""
    image_pull_secrets: Annotated[list[LocalObjectReference], Field(max_length=16)] = []
    env: Annotated[list[EnvVar], Field(max_length=100)] = []

    def effective_backend(self) -> Literal["onnxruntime", "python"]:
        """The backend, chosen where none is given: python would leave a GPU idle."""
        return self.backend or ("onnxruntime" if self.gpu.count else "python")
