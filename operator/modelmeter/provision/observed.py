"""What is seen of a ModelDeployment at one moment: all that its conditions are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelmeter.api.benchmark import Outcome
from modelmeter.provision.loading import LoadProgress

OVERDUE: Final = timedelta(minutes=1)
"""How long after its time a pod's end is still waited for."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What a pod says about itself."""

    name: str
    template_hash: str = ""
    scheduled: bool = False
    scheduling_message: str = ""
    """The scheduler's own text, where it found no node."""
    created: datetime | None = None
    ready: bool = False
    ready_since: datetime | None = None
    """When it became ready; None of one that is not."""
    canary: bool = False
    """Whether it is one of a canary's."""
    deleting: bool = False
    ends_by: datetime | None = None
    """When a pod that is being deleted should have ended; None of one that is not."""
    ended: bool = False
    waiting_container: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    restarts: int = 0
    """How often the container that is not ready was started again."""
    ended_container: str = ""
    """The one that is not ready and has ended before; its last end follows."""
    ended_reason: str = ""
    ended_exit_code: int = 0
    loader_running: bool = False
    loader_exit_code: int | None = None
    loader_message: str = ""
    """Termination message of the loader: a JSON object, if the loader itself wrote it."""

    @property
    def stays(self) -> bool:
        """Whether it is here to stay."""
        return not self.ended and not self.deleting

    def overdue(self, now: datetime) -> bool:
        """Whether it should have ended long ago: its node may be lost."""
        return self.ends_by is not None and now - self.ends_by >= OVERDUE

    def holds(self, now: datetime) -> bool:
        """Whether it holds its GPUs; not where its end is overdue."""
        return not self.ended and not self.overdue(now)


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """What a claim says about itself."""

    name: str
    phase: str
    storage_class: str
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class BenchmarkFacts:
    """A measurement that is asked for, and how far it is."""

    p95_milliseconds: int
    gpu_products: tuple[str, ...] = ()
    """Of the replicas; none until all are known."""
    job: str = ""
    """Name of the Job that measures the model as it is; empty until it is made."""
    outcome: Outcome | None = None
    ended: str = ""
    """Why there is no outcome and will be none."""
    refused: str = ""
    """What the API server does not let us do with the Job, and why."""
    unscheduled: str = ""
    """The scheduler's own text, where its pod finds no node."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A ModelDeployment and what exists of it."""

    generation: int
    desired: int
    now: datetime
    template_hash: str = ""
    """Of the revision that serves: of the current spec, but for a canary's while, and where it was rolled back."""
    spec_error: str | None = None
    apply_error: str | None = None
    pods_error: str | None = None
    """Why the API server refuses pods, in its own words."""
    source_claim: str = ""
    """The claim of a pvc:// source."""
    source_image: str = ""
    """The image of an image:// source."""
    pods: tuple[PodFacts, ...] = ()
    claim: ClaimFacts | None = None
    """The model's, or one of its replicas': one that is not bound, if there is any."""
    load: LoadProgress | None = None
    """How far the loader of one of the pods is; None where none loads, or none answers."""
    triton: tuple[bool, str] | None = None
    """Whether Triton answers for the model, and what it said; None until asked."""
    metering_error: str | None = None
    ledger_error: str | None = None
    ledger_lost: str | None = None
    metered: bool = False
    price_book: str = ""
    price_book_found: bool = False
    price_book_error: str = ""
    """Why the book cannot be read."""
    price_book_currency: str = ""
    currency: str = ""
    """Of the model's ledger; empty until it has one."""
    unpriced: tuple[str, ...] = ()
    deleting: bool = False
    benchmark: BenchmarkFacts | None = None
    beside_placed: bool = False
    """Whether the model has pods on a node beside these."""
    one_node: bool = False
    """All replicas have to be where their claim is mounted."""
    wakes: bool = False
    """An autoscaler takes the last replica, and brings one back once somebody asks."""
    canary: str | None = None
    """What a canary is waiting for, while there is one."""
    canary_stuck: bool = False
    """Whether that may not come unless somebody acts."""
    rolled_back: str | None = None
    """Why the current spec was rolled back, if it was; then template_hash is of the revision before."""

    def held(self) -> Iterator[PodFacts]:
        """Pods that are here to stay."""
        return (pod for pod in self.pods if pod.stays)

    def current(self) -> Iterator[PodFacts]:
        """Held pods of the current spec."""
        return (pod for pod in self.held() if pod.template_hash == self.template_hash)

    @property
    def ready(self) -> int:
        """Pods that are ready."""
        return sum(pod.ready for pod in self.held())
