"""The status of a ModelDeployment: a projection, recomputed and never the source of anything."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelmeter.api.base import Struct
from modelmeter.api.benchmark import Performance
from modelmeter.api.cost_statement import MAX_REVISIONS
from modelmeter.api.scalars import Amount, Instant, Integer, Month


class Condition(Struct):
    """A Kubernetes condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    """One CamelCase word."""
    message: str
    """What is the case, and what to do about it."""
    observed_generation: int
    last_transition_time: Instant


class Endpoints(Struct):
    """Where the model answers, inside the cluster."""

    http: str
    grpc: str
    predict: str
    """POST {"text": ..., "label": ...} here; the answer is {"score": ..., "probability": ...}."""


class StageUsage(Struct):
    """Usage of one stage of the model's life, and what it cost."""

    stage: str
    """Label modelmeter.dev/stage of the pods and claims; without it: serving."""
    gpu_seconds: Integer = "0"
    cpu_core_milli_seconds: Integer = "0"
    memory_byte_seconds: Integer = "0"
    storage_byte_seconds: Integer = "0"
    gpu_hours: Amount = "0"
    cost: Amount | None = None
    """Compute and storage; labour and operations belong to no stage. Absent where nothing of it has a price."""


class RevisionUsage(Struct):
    """Usage of the pods of one revision that serve, and what it cost."""

    revision: str
    """Annotation modelmeter.dev/template-hash of the pods; "other": of earlier revisions, and of pods without one."""
    since: Instant | None = None
    """When the first of its pods began."""
    gpu_seconds: Integer = "0"
    cpu_core_milli_seconds: Integer = "0"
    memory_byte_seconds: Integer = "0"
    gpu_hours: Amount = "0"
    cost: Amount | None = None
    """Compute. Absent where nothing of it has a price."""


class EstimatedUsage(Struct):
    """GPU-seconds that rest on an estimate."""

    reason: str
    """Why: see docs/ledger.md."""
    gpu_seconds: Integer


class Usage(Struct):
    """Usage over the whole life of the model, exact at cost.asOf."""

    gpu_seconds: Integer = "0"
    """Whole GPUs x seconds held, from PodScheduled to the end of the pod; parts are added exactly, rounded once."""
    cpu_core_milli_seconds: Integer = "0"
    """Requested millicores x seconds."""
    memory_byte_seconds: Integer = "0"
    """Requested bytes x seconds."""
    storage_byte_seconds: Integer = "0"
    """Capacity of bound claims, bytes x seconds."""
    replica_seconds: Integer = "0"
    """Pods x seconds."""
    gpu_hours: Amount = "0"
    storage_gi_b_hours: Annotated[Amount, Field(alias="storageGiBHours")] = "0"
    replica_hours: Amount = "0"
    by_stage: Annotated[
        list[StageUsage],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["stage"]}),
    ] = []
    """The same by stage: serving first."""
    by_revision: Annotated[
        list[RevisionUsage],
        Field(
            max_length=MAX_REVISIONS + 1,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["revision"]},
        ),
    ] = []
    """Compute of serving by revision: those with pods and the latest before, four in all, the newest first; then all
    others together."""
    estimated: Annotated[
        list[EstimatedUsage],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["reason"]}),
    ] = []
    """Part of gpuSeconds that rests on an estimate, by reason."""


class Replicas(Struct):
    """Replicas asked for and ready to answer."""

    desired: int = 0
    ready: int = 0


class CostParts(Struct):
    """C = compute + storage + labour + operations, in `currency`.

    What is used and of which nothing has a price is absent, for it is not known."""

    compute: Amount | None = None
    """GPU, CPU and memory of the pods."""
    storage: Amount | None = None
    """Claims."""
    labour: Amount | None = None
    """People."""
    operations: Amount | None = None
    """Recurring work."""
    total: Amount | None = None
    """Rounded from the exact sum, so it may differ from the sum of the rounded parts in the last digit. Absent where
    something is used and nothing of it has a price; where a part of it has none, `unpriced` says so."""


class MonthCost(CostParts):
    """Cost of the running calendar month (UTC)."""

    name: Month


class Unpriced(Struct):
    """Usage that no rate covers: recorded, shown, and priced once a rate that covers it is added."""

    gpu_seconds: Integer | None = None
    cpu_core_milli_seconds: Integer | None = None
    memory_byte_seconds: Integer | None = None
    storage_byte_seconds: Integer | None = None


class Cost(CostParts):
    """Cost over the whole life of the model, exact at asOf."""

    currency: str = ""
    replicas: Replicas = Replicas()
    month: MonthCost
    per_hour: Amount | None = None
    """What an hour costs as things stand at asOf; absent where nothing that is held has a price."""
    as_of: Instant
    unpriced: Unpriced | None = None
    """Present where some usage has no price; it is in no amount above."""
    estimated: Amount | None = None
    """Part of the total that rests on an estimate; usage.estimated says why."""


class Inference(Struct):
    """What the model's servers answered since `since`, and what that cost. What is unknown is absent."""

    since: Instant
    """When counting began: with the model, or with the first operator that counts."""
    read_at: Instant | None = None
    """When a server was last read."""
    requests: Integer | None = None
    """Requests that were answered, by the statistics of the ensemble that callers see."""
    failures: Integer | None = None
    """Requests that failed or were refused, as Triton counts them: some releases count one twice."""
    inferences: Integer | None = None
    """Texts in the answered requests: one may carry a batch."""
    mean_batch: Amount | None = None
    """Texts per execution of the BERT step, its warm-up included."""
    mean_queue_microseconds: Amount | None = None
    """Per answered request: from its receipt to its answer, without what was computed."""
    mean_compute_microseconds: Amount | None = None
    """Per answered request: what its steps computed; a batch counts in full for each request in it."""
    cost_per1000: Annotated[Amount | None, Field(alias="costPer1000")] = None
    """Compute cost of serving since `since`, idle time included, per 1,000 inferences, in cost.currency."""
    busy_share: Amount | None = None
    """Time in which the BERT step ran, of the time in which its GPUs (or parts) were held; without GPUs, its pods."""
    idle_cost: Amount | None = None
    """Compute cost of serving since `since` x (1 - busyShare), in cost.currency."""
    unread_runs: int = 0
    """Servers that ended or loaded the model again after a reading that was not their last: what they did since is
    in no figure here."""


class ModelStatus(Struct):
    """The model as the loader left it."""

    sha256: str = ""
    """Checksum of the fetched files."""
    bytes: int = 0
    revision: str = ""
    """What the source's branch or tag was when it was fetched; empty where the source has none."""


class ModelDeploymentStatus(Struct):
    """Observed state of a ModelDeployment."""

    observed_generation: int = 0
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
        ),
    ] = []
    replicas: int = 0
    """Pods that exist."""
    ready_replicas: int = 0
    ready: str = ""
    """READY column: ready/desired."""
    reason: str = ""
    """Reason of the lowest layer that is not as it should be; Ready when all is well."""
    selector: str = ""
    """Label selector of the pods, for the scale subresource."""
    endpoints: Endpoints | None = None
    model: ModelStatus | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    inference: Inference | None = None
    performance: Performance | None = None
