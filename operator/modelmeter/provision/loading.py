"""How far the loader of a pod is, and what its load came to, in words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelmeter.readable import duration, size

if TYPE_CHECKING:
    from modelmeter.provision.observed import PodFacts


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """What a pod's loader answered.

    phase: what it does, in its own word. file: what the bytes are of, where it is one file.
    arrived_bytes: None where nothing is fetched just now. total_bytes: None where the source has not said it.
    trouble: why the last attempt at a download failed, while the next has not succeeded.
    """

    pod: str
    phase: str
    file: str = ""
    arrived_bytes: int | None = None
    total_bytes: int | None = None
    trouble: str = ""

    @property
    def percent(self) -> int | None:
        """Whole percents, rounded down; None where they are not known."""
        if self.arrived_bytes is None or not self.total_bytes:
            return None
        return min(100, self.arrived_bytes * 100 // self.total_bytes)

    def step(self) -> tuple[object, ...]:
        """What is worth a write when it changes: a tenth of the bytes, or of what has no total a doubling."""
        tenth = None if self.percent is None else self.percent // 10
        doubled = (self.arrived_bytes or 0).bit_length() if tenth is None else 0
        return self.pod, self.phase, self.file, tenth, doubled, bool(self.trouble)


def in_words(load: LoadProgress) -> str:
    """How far it is, without the pod's name.

    >>> in_words(LoadProgress("a", "fetching", "model.onnx", 3 << 29, 2 << 30))
    'fetching model.onnx, 1.5 GiB of 2.0 GiB (75 %)'
    """
    said = " ".join(filter(None, (load.phase, load.file)))
    if load.percent is not None:
        said += f", {size(load.arrived_bytes or 0)} of {size(load.total_bytes or 0)} ({load.percent} %)"
    elif load.arrived_bytes:
        said += f", {size(load.arrived_bytes)} so far (the source does not say of how much)"
    return f"{said}; {load.trouble}, it tries again" if load.trouble else said


def loader_report(pod: PodFacts) -> dict[str, Any]:
    """What the loader wrote at its end; empty where it could not, or the container ended otherwise."""
    try:
        report = json.loads(pod.loader_message)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def loaded(pod: PodFacts) -> dict[str, Any]:
    """The report of a load that went well, with its bytes and sha256; empty where there is none."""
    report = loader_report(pod) if pod.loader_exit_code == 0 else {}
    return report if "sha256" in report and type(report.get("bytes")) is int else {}


def outcome(pods: Iterable[PodFacts]) -> str | None:
    """What the loads of these pods came to: bytes and time; None where no loader said it."""
    told = [(pod, report) for pod in pods if (report := loaded(pod))]
    if not told:
        return None
    # Of replicas that share a volume one loads, and the others find its work.
    pod, report = min(told, key=lambda entry: bool(entry[1].get("reused")))
    if report.get("reused"):
        return f"{pod.name}: its volume holds the model already ({size(report['bytes'])})"
    seconds = report.get("seconds")
    took = f" in {duration(seconds)}" if isinstance(seconds, int) else ""
    return f"{pod.name}: loaded {size(report['bytes'])}{took}, sha256 {report['sha256']}"
