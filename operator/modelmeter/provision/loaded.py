"""What the load of a pod came to, by what its loader wrote at its end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from modelmeter.provision.observed import PodFacts
from modelmeter.readable import duration, size


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
