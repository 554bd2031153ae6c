"""The parts of pods, claims and nodes that metering reads; everything else is skipped when decoding."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field


class Partial(Struct, rename="camel", gc=False, frozen=True, omit_defaults=True):
    """A partial view of an API object; unknown fields are ignored."""


class Owns(Partial, frozen=True):
    """That a field is owned: what is below it does not matter."""


class OwnedSpec(Partial, frozen=True):
    """The fields below `spec` that a manager owns, as far as they say how much is held."""

    resources: Owns | None = field(default=None, name="f:resources")
    volume_name: Owns | None = field(default=None, name="f:volumeName")


class OwnedStatus(Partial, frozen=True):
    """The fields below `status` that a manager owns."""

    phase: Owns | None = field(default=None, name="f:phase")
    capacity: Owns | None = field(default=None, name="f:capacity")


class Owned(Partial, frozen=True):
    """The fields that a manager owns."""

    spec: OwnedSpec = field(default=OwnedSpec(), name="f:spec")
    status: OwnedStatus = field(default=OwnedStatus(), name="f:status")


class ManagedFields(Partial, frozen=True):
    """What a manager owns, and when it last changed any of it."""

    time: datetime | None = None
    subresource: str = ""
    owned: Owned = field(default=Owned(), name="fieldsV1")


class Metadata(Partial, frozen=True):
    name: str
    uid: str
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: list[str] = []
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    managed_fields: list[ManagedFields] = []


class Requirements(Partial, frozen=True):
    requests: dict[str, str] = {}


class Container(Partial, frozen=True):
    resources: Requirements = Requirements()
    restart_policy: str = ""


class ClaimSource(Partial, frozen=True):
    claim_name: str = ""


class EphemeralSource(Partial, frozen=True):
    """A template of a claim, of which nothing is kept."""


class Volume(Partial, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: EphemeralSource | None = None


class PodResourceClaim(Partial, frozen=True):
    name: str = ""
    resource_claim_name: str = ""


class ExtendedRequest(Partial, frozen=True):
    resource_name: str = ""


class ExtendedClaimStatus(Partial, frozen=True):
    """The claim that the scheduler made for extended resources which a DeviceClass stands for."""

    request_mappings: list[ExtendedRequest] = []
    resource_claim_name: str = ""


class PodSpec(Partial, frozen=True):
    node_name: str = ""
    restart_policy: str = ""
    volumes: list[Volume] = []
    resource_claims: list[PodResourceClaim] = []
    containers: list[Container] = []
    init_containers: list[Container] = []
    overhead: dict[str, str] = {}
    resources: Requirements = Requirements()
    """Of the pod as a whole; what it requests of CPU and memory counts instead of the containers' requests."""


class Condition(Partial, frozen=True):
    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Waiting(Partial, frozen=True):
    reason: str = ""
    message: str = ""


class Running(Partial, frozen=True):
    """That it runs."""


class Terminated(Partial, frozen=True):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class ContainerState(Partial, frozen=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Partial, frozen=True):
    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(Partial, frozen=True):
    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    start_time: datetime | None = None
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []
    init_container_statuses: list[ContainerStatus] = []
    resource_claim_statuses: list[PodResourceClaim] = []
    extended_resource_claim_status: ExtendedClaimStatus | None = None


class Pod(Partial, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ClaimSpec(Partial, frozen=True):
    storage_class_name: str = ""
    resources: Requirements = Requirements()


class ClaimStatus(Partial, frozen=True):
    phase: str = ""
    capacity: dict[str, str] = {}


class Claim(Partial, frozen=True):
    metadata: Metadata
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class Node(Partial, frozen=True):
    metadata: Metadata


class Bare(Partial, frozen=True):
    """Any object of which only the metadata matters."""

    metadata: Metadata


class DeploymentSpec(Partial, frozen=True):
    replicas: int = 1


class DeploymentStatus(Partial, frozen=True):
    conditions: list[Condition] = []


class Deployment(Bare, frozen=True):
    """A Deployment, which says where its pods are refused."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class JobStatus(Partial, frozen=True):
    conditions: list[Condition] = []


class Job(Bare, frozen=True):
    """A Job, which says whether it has ended, and how."""

    status: JobStatus = JobStatus()
