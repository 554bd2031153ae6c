"""The chain of readiness checks, the lowest layer first: a table of reasons.

A check looks at what is observed and answers a message where it finds its reason to be the case. The lowest
failing check explains all layers above it, so `kubectl get -o wide` shows its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from modelmeter.provision import benchmarked, containers, placement
from modelmeter.provision.observed import Observed
from modelmeter.provision.remedies import APPLY, with_remedy
from modelmeter.provision.service import PORTS

READY: Final = "Ready"
MODEL_AVAILABLE: Final = "ModelAvailable"
SCHEDULED: Final = "Scheduled"
AVAILABLE: Final = "Available"
PROGRESSING: Final = "Progressing"
METERED: Final = "Metered"
PRICED: Final = "Priced"
BENCHMARKED: Final = "Benchmarked"

LOADING: Final = "ModelLoading"
LOADED: Final = "Loaded"
"""Reasons of ModelAvailable that are told as an event, too, though nobody has to act."""

NAMED: Final = 5
"""How many of what is waited for a message names."""


class Check(NamedTuple):
    """A reason: the condition that it belongs to, and how it is found."""

    reason: str
    condition: str
    find: Callable[[Observed], str | None]
    """The message where the reason is the case: what is so, and what to do about it."""
    problem: bool = True
    """Whether somebody has to act; else it passes by itself, or is as it was asked for."""
    known: bool = True
    """False where the check only says that the answer is not known yet; then a lower reason says more."""
    settled: bool = False
    """Whether it is as it was asked for and stays so: nothing is under way."""


def _terminating(seen: Observed) -> str | None:
    if not seen.deleting:
        return None
    if seen.apply_error:
        return f"it is being deleted; its children are not: {with_remedy(seen.apply_error, APPLY)}"
    left = [
        *(f"pod {pod.name}{' (ended, to be settled)' if pod.ended else ''}" for pod in seen.pods),
        *([f"claim {seen.claim.name}"] if seen.claim else []),
    ]
    if not left:
        return "it is being deleted; waits for its last CostStatement"
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return f"it is being deleted; waits for the end of {', '.join(left[:NAMED])}{more}"


def _apply_refused(seen: Observed) -> str | None:
    return with_remedy(seen.apply_error, APPLY) if seen.apply_error else None


def _scaled_to_zero(seen: Observed) -> str | None:
    if seen.desired or seen.spec_error:
        return None
    if seen.wakes:
        return "there are no replicas; KEDA brings one back once spec.serving.autoscaling.keda.wakeQuery is above 0"
    return "no replicas are asked for; set spec.serving.replicas"


def _triton_not_answering(seen: Observed) -> str | None:
    if seen.triton is None or seen.triton[0]:
        return None
    return (
        f"Triton does not answer for the model at a ready pod: {seen.triton[1]}; see the pod's log, or let the"
        f" operator's namespace reach port {PORTS['http']} of the model's pods (NetworkPolicy, strict mTLS)"
    )


def _triton_not_asked(seen: Observed) -> str | None:
    return "Triton has not been asked yet" if seen.triton is None else None


def _rolling_out(seen: Observed) -> str | None:
    current = sum(pod.ready for pod in seen.current())
    held = sum(1 for _ in seen.held())
    if current >= seen.desired and held <= seen.desired:
        return None
    return f"{current} of {seen.desired} replicas of the current spec are ready; {held} pods exist"


def _price_book_not_found(seen: Observed) -> str | None:
    if seen.price_book_found or not seen.price_book:
        return None
    return (
        f"there is no PriceBook {seen.price_book}: usage is kept and priced once you apply it,"
        " or name another in spec.pricing.priceBook"
    )


def _currency_differs(seen: Observed) -> str | None:
    if not seen.currency or seen.price_book_currency in ("", seen.currency):
        return None
    return (
        f"PriceBook {seen.price_book} is in {seen.price_book_currency}, but this model's ledger is in {seen.currency}"
        " and never converts: usage is kept without a price until spec.pricing.priceBook names a book"
        f" in {seen.currency}; for another currency make a new ModelDeployment"
    )


def _no_rate(seen: Observed) -> str | None:
    if not seen.unpriced:
        return None
    return (
        f"no rate of PriceBook {seen.price_book} covers {'; '.join(seen.unpriced)}:"
        " this usage is kept and priced once a rate that covers it is added"
    )


CHAIN: Final = (
    Check("SpecInvalid", READY, lambda seen: seen.spec_error),
    Check("Terminating", READY, _terminating, problem=False),
    Check("ApplyRefused", READY, _apply_refused),
    Check("ScaledToZero", AVAILABLE, _scaled_to_zero, problem=False, settled=True),
    Check("SourceClaimNotFound", MODEL_AVAILABLE, placement.source_claim_not_found),
    Check("ClaimTerminating", SCHEDULED, placement.claim_terminating),
    Check("ClaimPending", MODEL_AVAILABLE, placement.claim_pending),
    Check("SourceClaimPending", MODEL_AVAILABLE, placement.source_claim_pending),
    Check("PodsNotCreated", SCHEDULED, placement.pods_not_created),
    Check("Provisioning", SCHEDULED, placement.no_pods, problem=False, known=False),
    Check("RoomNotFreed", SCHEDULED, placement.room_not_freed, problem=False),
    Check("ClaimOnOneNode", SCHEDULED, placement.claim_on_one_node),
    Check("DeviceClassNotFound", SCHEDULED, placement.device_class_not_found),
    Check("NoNodeFits", SCHEDULED, placement.no_node_fits),
    Check("Scheduling", SCHEDULED, placement.scheduling, problem=False, known=False),
    Check("SourceImageNotPulled", MODEL_AVAILABLE, containers.source_image_not_pulled),
    Check("ImageNotPulled", AVAILABLE, containers.image_not_pulled),
    Check("ModelLoadFailed", MODEL_AVAILABLE, containers.model_load_failed),
    Check("OutOfMemory", AVAILABLE, containers.out_of_memory),
    Check("CrashLooping", AVAILABLE, containers.crash_looping),
    Check("ContainerNotStarted", AVAILABLE, containers.container_not_started),
    Check("PodStarting", AVAILABLE, containers.pod_starting, problem=False),
    Check(LOADING, MODEL_AVAILABLE, containers.model_loading, problem=False),
    Check("PodsNotReady", AVAILABLE, containers.pods_not_ready, problem=False),
    Check("TritonNotAnswering", AVAILABLE, _triton_not_answering),
    Check("TritonNotAsked", AVAILABLE, _triton_not_asked, problem=False, known=False),
    Check("RolledBack", PROGRESSING, lambda seen: seen.rolled_back),
    Check("CanaryStuck", PROGRESSING, lambda seen: seen.canary if seen.canary_stuck else None),
    Check("Canary", PROGRESSING, lambda seen: None if seen.canary_stuck else seen.canary, problem=False),
    Check("RollingOut", READY, _rolling_out, problem=False),
)
"""What serving stands on, from the spec upward."""

BENCHMARK: Final = (
    Check("BenchmarkRefused", BENCHMARKED, benchmarked.refused),
    Check("ProductsDiffer", BENCHMARKED, benchmarked.products_differ),
    Check("BenchmarkWaiting", BENCHMARKED, benchmarked.waiting, problem=False, known=False),
    Check("BenchmarkFailed", BENCHMARKED, benchmarked.failed),
    # A node may come: its Job waits for one for some time.
    Check("BenchmarkUnscheduled", BENCHMARKED, benchmarked.unscheduled, problem=False, known=False),
    Check("BenchmarkRunning", BENCHMARKED, benchmarked.running, problem=False, known=False),
    Check("LimitNotMet", BENCHMARKED, benchmarked.limit_not_met),
)
"""What the measurement that spec.benchmark asks for stands on; no other condition depends on it."""

COST: Final = (
    Check("LedgerBroken", METERED, lambda seen: seen.metering_error),
    Check("LedgerNotWritten", METERED, lambda seen: seen.ledger_error),
    Check("LedgerLost", METERED, lambda seen: seen.ledger_lost),
    Check(
        "NotYetMetered",
        METERED,
        lambda seen: None if seen.metered else "no statement is open yet",
        problem=False,
        known=False,
    ),
    Check("PriceBookNotFound", PRICED, _price_book_not_found),
    Check(
        "PriceBookInvalid",
        PRICED,
        lambda seen: f"PriceBook {seen.price_book}: {seen.price_book_error}" if seen.price_book_error else None,
    ),
    Check("CurrencyDiffers", PRICED, _currency_differs),
    Check("NoRate", PRICED, _no_rate),
)
"""What the figures stand on; serving goes on without."""

PROBLEMS: Final = frozenset(check.reason for check in (*CHAIN, *COST, *BENCHMARK) if check.problem)
"""Reasons that are told as a Warning event."""
