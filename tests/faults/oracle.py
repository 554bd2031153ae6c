"""What a model has used, by its objects' own timestamps alone: plain JSON, plain sums, none of the product's code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tests.faults.admin import Object
from tests.faults.journal import Journal, Seen, finished

GIB: Final = 1024**3
BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)
GPU, REPLICA, STORAGE = "gpu", "replica", "storage"

Used = Counter[tuple[str, str, str]]
"""(item, unit price, revision of GPUs) to unit-seconds: GPU-seconds, replica-seconds, byte-seconds."""


class Unended(Exception):
    """An object that should have ended has no end."""


@dataclass(slots=True)
class Oracle:
    """Sums of one run; `gpu_prices` are those of the run's PriceBook, by when they begin."""

    journal: Journal
    gpu_prices: dict[datetime, str] = field(default_factory=dict)

    def used(self, model: str, until: datetime | None = None) -> Used:
        """All that a model has used up to a moment, or until its end."""
        sums: Used = Counter()
        for pod in self.journal.all("pods", model):
            span = _span(pod, _scheduled(pod), finished(pod.last), until)
            if span:
                start, end = span
                revision = pod.last["metadata"]["annotations"]["modelmeter.dev/template-hash"]
                sums[REPLICA, "", ""] += _seconds(start, end)
                for price, first, last in self._steps(start, end):
                    sums[GPU, price, revision] += _gpus(pod.last) * _seconds(first, last)
        for claim in self.journal.all("persistentvolumeclaims", model):
            size = claim.last["status"].get("capacity", {}).get("storage")
            span = _span(claim, _bound(claim) if size else None, self._freed(claim), until)
            if span:
                sums[STORAGE, "0", ""] += int(size.removesuffix("Gi")) * GIB * _seconds(*span)
        return +sums

    def spans(self, model: str) -> Iterator[str]:
        """What each pod of a model is taken to have held its resources for, for people."""
        for pod in self.journal.all("pods", model):
            yield f"{pod.name} from {_scheduled(pod)} to {finished(pod.last)}"

    def _freed(self, claim: Seen) -> datetime | None:
        """When a deleted claim gave its volume back: protection keeps it for the pods of its model, which mount it."""
        ends = [end for pod in self.journal.all("pods", claim.model) if (end := finished(pod.last))]
        return max([claim.deleted, *ends]) if claim.deleted else None

    def _steps(self, start: datetime, end: datetime) -> Iterator[tuple[str, datetime, datetime]]:
        """A span cut where the price of a GPU changes."""
        moments = sorted(self.gpu_prices)
        for moment, following in zip(moments, [*moments[1:], end], strict=True):
            first, last = max(start, moment), min(end, following) if following != end else end
            if first < last:
                yield self.gpu_prices[moment], first, last


def of_items(used: Used) -> dict[str, int]:
    """Sums without regard to the price."""
    sums = {GPU: 0, REPLICA: 0, STORAGE: 0}
    for (item, *_), units in used.items():
        sums[item] += units
    return sums


def _span(
    seen: Seen, start: datetime | None, end: datetime | None, until: datetime | None
) -> tuple[datetime, datetime] | None:
    if start is None or (until is not None and start >= until):
        return None
    ends = [moment for moment in (end, until) if moment is not None]
    if not ends:
        raise Unended(seen.name)
    return (start, min(ends)) if min(ends) > start else None


def _scheduled(pod: Seen) -> datetime | None:
    for condition in pod.last["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "True":
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None


def _bound(claim: Seen) -> datetime:
    """When the claim got its volume: the entry of its phase moves on with its condition Unused."""
    return min(
        datetime.fromisoformat(entry["time"])
        for entry in claim.last["metadata"]["managedFields"]
        if "f:volumeName" in entry["fieldsV1"].get("f:spec", {})
    )


def _gpus(pod: Object) -> int:
    return sum(
        int(entry["resources"].get("requests", {}).get("nvidia.com/gpu", 0)) for entry in pod["spec"]["containers"]
    )


def _seconds(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds())
