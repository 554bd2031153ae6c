"""What the operator knows of each model; kept in memory, rebuilt from the API server at every start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from modelmeter.api.benchmark import Outcome
from modelmeter.api.cost_statement import ModelRef
from modelmeter.api.model_deployment_status import Condition, ModelDeploymentStatus
from modelmeter.api.resources import ModelDeployment
from modelmeter.api.scalars import instant
from modelmeter.cluster.statements import Stored
from modelmeter.meter.counting import Reading
from modelmeter.meter.page import Page
from modelmeter.provision.loading import LoadProgress


@dataclass(slots=True)
class Account:
    """One model, by UID. `model` is None where only a statement is left of it, or its spec cannot work."""

    ref: ModelRef
    created: datetime
    deleted: datetime | None = None
    """deletionTimestamp, or when it was first seen to be gone."""
    gone: bool = False
    """The object is no longer there; only its account is still open."""
    model: ModelDeployment | None = None
    generation: int = 0
    priced_since: datetime | None = None
    """When spec.pricing became what it is; None where nobody noted it."""
    finalizers: tuple[str, ...] = ()
    spec_error: str | None = None
    apply_error: str | None = None
    apply_failed: bool = False
    """Whether the last pass over the children failed, in whatever way."""
    extras: set[tuple[str, str]] = field(default_factory=set)
    """Kind and name of each optional child that may exist."""
    extras_error: str | None = None
    """Why the API server refuses one of them."""
    extras_failed: bool = False
    benchmark_error: str | None = None
    """What cannot be done with its benchmark Job, and why, in the API server's own words."""
    benchmarks: dict[str, Outcome] = field(default_factory=dict)
    """UID of a benchmark Job to what its pod found and is not noted on the Job yet."""
    rolling: bool = False
    """Whether the next change of a pod may change what its Deployments are to be."""
    rollout_said: tuple[str | None, str | None] = (None, None)
    """What its last pass found of a canary, and of a revision that was rolled back."""
    pods_error: str | None = None
    """Why the API server refuses its pods, in its own words."""
    metering_error: str | None = None
    """Which invariant a write would break, or why the page cannot be read: nothing is written meanwhile."""
    ledger_lost: str | None = None
    """What was shown of a page that somebody deleted while nobody watched."""
    ledger_error: str | None = None
    """Why the API server does not take the statement, and what to do."""
    ledger_failures: int = 0
    """How often in a row."""
    stored: Stored | None = None
    page: Page | None = None
    """The open page in the ledger's types; equal to `stored`."""
    released: dict[str, int] = field(default_factory=dict)
    """UID of what is still shown with our finalizer to its version since we took it off."""
    more: bool = False
    """More pods have ended than one write of the page takes."""
    conditions: tuple[Condition, ...] = ()
    published: ModelDeploymentStatus | None = None
    triton: tuple[bool, str] | None = None
    """Whether Triton answers for the model, and what it said; None until asked."""
    load: LoadProgress | None = None
    """How far the loader of one of its pods is; None where none loads, or none answers."""
    applied: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Kind and name of each child to its UID and the version that our last apply left: else it has drifted."""
    told: dict[str, datetime] = field(default_factory=dict)
    """Reason to when it was last told as an event."""
    readings: dict[str, tuple[Reading, ...]] = field(default_factory=dict)
    """Pod UID to what its Triton said and is not on the page yet, in order of time."""
    counts_due: bool = False
    """It is time to write them, though nothing else has to be written."""
    torn_down: bool = False
    """After deletion: no child is left that could still cost."""

    def posted(self, readings: Iterable[Reading]) -> None:
        """Forget readings that are on the page."""
        for reading in readings:
            left = tuple(kept for kept in self.readings.pop(reading.uid, ()) if kept is not reading)
            if left:
                self.readings[reading.uid] = left


def account_of(body: Mapping[str, Any]) -> Account:
    """A new account for a ModelDeployment; what its status says is taken over, so that nothing is said twice."""
    metadata = body["metadata"]
    try:
        published = ModelDeploymentStatus.model_validate(body.get("status") or {})
    except ValidationError:
        published = ModelDeploymentStatus()  # written by another version
    return Account(
        ref=ModelRef(namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"]),
        created=instant(metadata["creationTimestamp"]),
        conditions=tuple(published.conditions),
        published=published,
    )


def priced_since(metadata: Mapping[str, Any]) -> datetime | None:
    """When spec.pricing was last changed, from the managed fields."""
    times = [
        instant(entry["time"])
        for entry in metadata.get("managedFields", ())
        if "time" in entry and "f:pricing" in entry.get("fieldsV1", {}).get("f:spec", {})
    ]
    return max(times, default=None)


class Accounts:
    """All accounts, by the model's UID, and which of them has a name now."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Account] = {}
        self._current: dict[tuple[str, str], str] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._by_uid.values()))

    def __len__(self) -> int:
        return len(self._by_uid)

    def get(self, uid: str) -> Account | None:
        """The account of a model."""
        return self._by_uid.get(uid)

    def add(self, account: Account) -> None:
        """Keep an account; it takes over its name."""
        self._by_uid[account.ref.uid] = account
        current = self._by_uid.get(self._current.get((account.ref.namespace, account.ref.name), ""))
        if current is None or current.created <= account.created:
            self._current[account.ref.namespace, account.ref.name] = account.ref.uid

    def remove(self, account: Account) -> None:
        """Forget an account whose last page is closed and whose object is gone."""
        self._by_uid.pop(account.ref.uid, None)
        key = (account.ref.namespace, account.ref.name)
        if self._current.get(key) == account.ref.uid:
            del self._current[key]

    def owner(self, namespace: str, name: str, uid: str) -> Account | None:
        """Whose a pod or claim is: by the UID on it, else by who has the name now.

        A copy in another namespace, or under another model's name, is nobody's: its labels came with it.
        """
        account = self._by_uid.get(uid or self._current.get((namespace, name), ""))
        return account if account and (account.ref.namespace, account.ref.name) == (namespace, name) else None
