"""From what is observed to the conditions of a ModelDeployment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from modelmeter.api.model_deployment_status import Condition, ModelStatus
from modelmeter.api.scalars import rfc3339
from modelmeter.provision.benchmarked import measured
from modelmeter.provision.checks import (
    AVAILABLE,
    BENCHMARK,
    BENCHMARKED,
    CHAIN,
    COST,
    LOADED,
    METERED,
    MODEL_AVAILABLE,
    PRICED,
    PROGRESSING,
    READY,
    SCHEDULED,
    Check,
)
from modelmeter.provision.loaded import loaded
from modelmeter.provision.observed import Observed


def _well(seen: Observed) -> str:
    return f"{seen.ready} of {seen.desired} replicas answer"


def _all_scheduled(seen: Observed) -> bool:
    held = list(seen.held())
    return len(held) >= seen.desired > 0 and all(pod.scheduled for pod in held)


def _some_loaded(seen: Observed) -> bool:
    return any(pod.loader_exit_code == 0 or pod.ready for pod in seen.current())


def _some_answer(seen: Observed) -> bool:
    return seen.ready > 0 and seen.triton is not None and seen.triton[0]


HOLDS: Final[dict[str, tuple[Callable[[Observed], bool], str, Callable[[Observed], str]]]] = {
    MODEL_AVAILABLE: (_some_loaded, LOADED, lambda _: "the model is fetched and its repository written"),
    SCHEDULED: (_all_scheduled, "AllScheduled", lambda seen: f"all {seen.desired} replicas have a node"),
    AVAILABLE: (_some_answer, "Answering", _well),
}
"""When a layer of serving holds, whatever else is wrong: test, reason, message."""


def conditions(seen: Observed, previous: Iterable[Condition], now: datetime) -> tuple[Condition, ...]:
    """All conditions, each with the time since when it has had its status."""
    since = {entry.type: (entry.status, entry.last_transition_time) for entry in previous}

    def condition(kind: str, status: str, reason: str, message: str) -> Condition:
        before = since.get(kind)
        return Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            observed_generation=seen.generation,
            last_transition_time=before[1] if before and before[0] == status else rfc3339(now),
        )

    found = list(_found(CHAIN, seen))
    lowest = found[0] if found else None
    return (
        condition(READY, *_failed(*lowest)) if lowest else condition(READY, "True", READY, _well(seen)),
        *(condition(kind, *_layer(kind, seen, found)) for kind in HOLDS),
        condition(PROGRESSING, *_progress(found)),
        *(condition(kind, *_figures(kind, seen)) for kind in (METERED, PRICED)),
        *((condition(BENCHMARKED, *_benchmarked(seen)),) if seen.benchmark else ()),
    )


def reason(entries: Iterable[Condition]) -> str:
    """The lowest failing layer's reason; what is wrong with the figures where all layers of serving hold."""
    by_type = {entry.type: entry for entry in entries}
    wrong = (by_type[kind] for kind in (READY, METERED, PRICED) if by_type[kind].status != "True")
    first = next(wrong, None)
    return first.reason if first else READY


def model_status(seen: Observed) -> ModelStatus | None:
    """What the loader reported of the current spec's model; None where no loader has."""
    for pod in seen.current():
        if report := loaded(pod):
            return ModelStatus(
                sha256=str(report["sha256"]),
                bytes=report["bytes"],
                revision=str(report.get("revision", "")),
            )
    return None


def _found(checks: Iterable[Check], seen: Observed) -> Iterable[tuple[Check, str]]:
    for check in checks:
        message = check.find(seen)
        if message:
            yield check, message


def _failed(check: Check, message: str) -> tuple[str, str, str]:
    return "False" if check.known else "Unknown", check.reason, message


def _layer(kind: str, seen: Observed, found: list[tuple[Check, str]]) -> tuple[str, str, str]:
    holds, good_reason, good_message = HOLDS[kind]
    if holds(seen):
        return "True", good_reason, good_message(seen)
    own = next((entry for entry in found if entry[0].condition == kind and entry[0].known), None)
    if own is not None:
        return _failed(*own)
    check, message = found[0]
    return "Unknown", check.reason, message


def _progress(found: list[tuple[Check, str]]) -> tuple[str, str, str]:
    """True while something is under way that nobody has to act for."""
    if not found:
        return "False", "UpToDate", "all replicas are of the current spec"
    check, message = next((entry for entry in found if entry[0].condition == PROGRESSING), found[0])
    return "False" if check.problem or check.settled else "True", check.reason, message


def _benchmarked(seen: Observed) -> tuple[str, str, str]:
    found = next(iter(_found(BENCHMARK, seen)), None)
    return _failed(*found) if found else ("True", "Measured", measured(seen))


def _figures(kind: str, seen: Observed) -> tuple[str, str, str]:
    for check, message in _found(COST, seen):
        if check.condition == kind:
            return _failed(check, message)
    return "True", kind, {METERED: "every second is on the ledger", PRICED: "all usage has a price"}[kind]
