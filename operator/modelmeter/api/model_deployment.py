"""The spec of a ModelDeployment: which model, how it is served, what it may cost."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from modelmeter.api import image_source
from modelmeter.api.autoscaling import Autoscaling, DisruptionBudget
from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.benchmark import Benchmark
from modelmeter.api.compute import ENOUGH, Resources
from modelmeter.api.gpu import Gpu
from modelmeter.api.placing import DEFAULT_TOLERATIONS, Affinity, Toleration, TopologySpreadConstraint
from modelmeter.api.rollout import Rollout
from modelmeter.api.scalars import PRICE_RULE, QUANTITY_RULE, Price, QuantityString
from modelmeter.api.serving_options import ResponseCache, RestrictedApi

SOURCE_FORMS = {
    "pvc://CLAIM/path": r"^pvc://[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(/.*)?$",
    "hf://OWNER/NAME[@REVISION][/FOLDER]": r"^hf://[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(@[^/@#? ]+)?(/[^@#? ]*)?$",
    "s3://BUCKET/path": r"^s3://[a-z0-9][a-z0-9._-]{0,221}(/[^?]*)?$",
    "gs://BUCKET/path": r"^gs://[a-z0-9][a-z0-9._-]{0,221}(/[^?]*)?$",
    "az://CONTAINER/path": r"^az://[a-z0-9][a-z0-9-]{0,62}(/[^?]*)?$",
    "oci://HOST/REPOSITORY:TAG or @sha256:DIGEST": f"^oci://{image_source.REFERENCE}$",
    "image://HOST/REPOSITORY:TAG/path or @sha256:DIGEST/path": image_source.PATTERN,
    "https://HOST/path (an archive or a folder)": r"^https://[^/?# ]+([/?].*)?$",
}
"""What a source may be, and as which pattern; neither Python nor CEL may read a backslash or a quote in one."""
SOURCE_MESSAGE = f"source must be one of {', '.join(SOURCE_FORMS)}"


def _share(text: str) -> str:
    if Decimal(text) > 1:
        raise ValueError("must be between 0 and 1")
    return text


def _hours_per_day(text: str) -> str:
    if Decimal(text) > 24:
        raise ValueError("must be between 0 and 24")
    return text


def _source(text: str) -> str:
    if not any(re.match(pattern, text) for pattern in SOURCE_FORMS.values()):
        raise ValueError(SOURCE_MESSAGE)
    return text


OpenObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""An object of Kubernetes' own API that we pass on as it is."""

Share = Annotated[
    Price,
    AfterValidator(_share),
    Field(json_schema_extra=rules(PRICE_RULE, rule("double(self) <= 1.0", "share must be between 0 and 1"))),
]
HoursPerDay = Annotated[
    Price,
    AfterValidator(_hours_per_day),
    Field(json_schema_extra=rules(PRICE_RULE, rule("double(self) <= 24.0", "hoursPerDay must be between 0 and 24"))),
]
Period = Literal["year", "month", "day", "hour"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", max_length=63)]
ObjectName = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$", max_length=253)]
Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        json_schema_extra=rules(
            rule(" || ".join(f"self.matches('{pattern}')" for pattern in SOURCE_FORMS.values()), SOURCE_MESSAGE)
        ),
    ),
    AfterValidator(_source),
]


class Model(Struct):
    """Which model is served."""

    source: Source
    """Where the model is fetched from: pvc://, hf://, s3://, gs://, az://, oci://, image:// or https://;
    see docs/sources.md."""
    credentials_secret: ObjectName = ""
    """Secret of the namespace whose keys the loader gets as environment variables, such as HF_TOKEN; empty: none."""
    task: Literal["text-classification"] = "text-classification"
    """What the model does."""
    labels: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256)]],
        Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = []
    """Texts of the classes, each once; `probability` is taken over them."""
    max_sequence_length: Annotated[int, Field(ge=8, le=512)] = 128
    """Longest input, in tokens; longer texts are truncated."""
    sequence_buckets: Annotated[
        list[Annotated[int, Field(ge=1, le=512)]],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = []
    """Lengths in tokens at which a server is warmed up, and to which the onnxruntime backend pads.

    maxSequenceLength is always among them; not given: 16, 32, 64, 128 and 256."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """Number format of the weights; int8: on the CPU alone, two to three times as fast and less exact."""


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


AccessMode = Literal["ReadWriteOnce", "ReadWriteMany"]
Immutable = "self == oldSelf"


class Storage(Struct):
    """The claim that holds the fetched model and the Triton repository."""

    size: Annotated[
        QuantityString,
        Field(
            json_schema_extra=rules(
                QUANTITY_RULE,
                rule("!isQuantity(self) || quantity(self).isGreaterThan(quantity('0'))", "size must be more than 0"),
                rule(
                    "!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
                    "size may grow but not shrink: a claim cannot be made smaller",
                ),
            )
        ),
    ] = "10Gi"
    """Capacity of the claim, for example 10Gi."""
    storage_class_name: Annotated[
        str,
        Field(
            max_length=253,
            json_schema_extra=rules(rule(Immutable, "storageClassName of a claim cannot change")),
        ),
    ] = ""
    """StorageClass; empty: the cluster's default."""
    access_modes: Annotated[
        list[AccessMode],
        Field(
            min_length=1,
            max_length=2,
            json_schema_extra=rules(rule(Immutable, "accessModes of a claim cannot change")),
        ),
    ] = ["ReadWriteOnce"]
    """ReadWriteMany lets replicas on several nodes share the claim."""
    per_replica: Annotated[
        bool,
        Field(json_schema_extra=rules(rule(Immutable, "perReplica cannot change: the replicas' claims are made anew"))),
    ] = False
    """Each replica has a claim of its own, which comes and goes with its pod (a generic ephemeral volume).

    So replicas spread over nodes without ReadWriteMany; each fetches the model, and pays for its own copy."""


class Labour(Struct):
    """People's work on the model: an amount per period, of which the model takes a share."""

    name: Name
    price: Price
    """Amount per period, in the price book's currency, as a decimal string."""
    per: Period
    """year = 365 days, month = a twelfth of it (730 hours)."""
    share: Share = "1"
    """Part of the amount that this model bears, 0 to 1."""


class Operation(Struct):
    """Recurring work: hours a day at a price per hour, or an amount per period."""

    name: Name
    hours_per_day: HoursPerDay | None = None
    price_per_hour: Price | None = None
    price: Price | None = None
    per: Period | None = None


OPERATION_FORM = (
    "(has(self.hoursPerDay) && has(self.pricePerHour) && !has(self.price) && !has(self.per))"
    " || (has(self.price) && has(self.per) && !has(self.hoursPerDay) && !has(self.pricePerHour))"
)


class Pricing(Struct):
    """What the model's cost is made of beside its pods and claims."""

    price_book: Annotated[str, Field(min_length=1, max_length=253)] = "default"
    """Name of the PriceBook."""
    labour: Annotated[
        list[Labour],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    operations: Annotated[
        list[
            Annotated[
                Operation,
                Field(
                    json_schema_extra=rules(
                        rule(OPERATION_FORM, "give either hoursPerDay and pricePerHour, or price and per")
                    )
                ),
            ]
        ],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []


class ModelDeploymentSpec(Struct):
    """Desired state of a ModelDeployment; `model.source` alone is enough."""

    model: Model
    serving: Serving = Serving()
    storage: Storage = Storage()
    pricing: Pricing = Pricing()
    benchmark: Benchmark | None = None
    """What to measure of one replica, once for each configuration; not given: nothing."""
