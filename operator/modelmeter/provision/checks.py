"""The chain of readiness checks, the lowest layer first: a table of reasons.

A check looks at what is observed and answers a message where it finds its reason to be the case. The lowest
failing check explains all layers above it, so `kubectl get -o wide` shows its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from modelmeter.provision import placement
from modelmeter.provision.observed import Observed, PodFacts, loader_report

READY: Final = "Ready"
MODEL_AVAILABLE: Final = "ModelAvailable"
SCHEDULED: Final = "Scheduled"
AVAILABLE: Final = "Available"
METERED: Final = "Metered"
PRICED: Final = "Priced"

IMAGE_REASONS: Final = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
START_REASONS: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PostStartHookError")
CRASH_LOOP: Final = "CrashLoopBackOff"
LOOP_RESTARTS: Final = 2
"""One restart is none: whatever ended it may have passed."""
OUT_OF_MEMORY: Final = "OOMKilled"
OUT_OF_MEMORY_EXIT: Final = 137


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


def _waiting(seen: Observed, reasons: Iterable[str]) -> PodFacts | None:
    return next((pod for pod in seen.held() if pod.waiting_reason in reasons), None)


def _image_not_pulled(seen: Observed) -> str | None:
    pod = _waiting(seen, IMAGE_REASONS)
    if pod is None:
        return None
    return (
        f"{pod.name}: {pod.waiting_message or pod.waiting_reason};"
        f" check the image of container {pod.waiting_container} and spec.serving.imagePullSecrets"
    )


def _model_load_failed(seen: Observed) -> str | None:
    failed = next((pod for pod in seen.held() if pod.loader_exit_code not in (None, 0)), None)
    if failed is None:
        return None
    report = loader_report(failed)
    if "error" in report:
        return f"{failed.name}: {report['error']}; {report.get('remedy', '')}"
    if failed.loader_exit_code == OUT_OF_MEMORY_EXIT:
        return f"{failed.name}: the loader was killed, most likely for memory; raise spec.serving.resources.limits"
    return (
        f"{failed.name}: the loader ended with exit code {failed.loader_exit_code};"
        f" see kubectl logs {failed.name} -c loader"
    )


def _out_of_memory(seen: Observed) -> str | None:
    pod = next((pod for pod in seen.held() if pod.ended_reason == OUT_OF_MEMORY), None)
    if pod is None:
        return None
    return (
        f"{pod.name}: container {pod.ended_container} was killed for memory;"
        " raise spec.serving.resources.limits.memory, or make requests smaller"
    )


def _crash_looping(seen: Observed) -> str | None:
    """Also while it runs once more: the answer does not change with every attempt."""
    for pod in seen.held():
        if pod.ended_container and (pod.waiting_reason == CRASH_LOOP or pod.restarts >= LOOP_RESTARTS):
            return (
                f"{pod.name}: container {pod.ended_container} ends again and again, last with exit code"
                f" {pod.ended_exit_code}; see kubectl logs {pod.name} -c {pod.ended_container} --previous"
            )
    return None


def _container_not_started(seen: Observed) -> str | None:
    pod = _waiting(seen, START_REASONS)
    if pod is None:
        return None
    return f"{pod.name}: {pod.waiting_reason} in container {pod.waiting_container}: {pod.waiting_message}"


def _model_loading(seen: Observed) -> str | None:
    loading = [pod for pod in seen.held() if pod.scheduled and pod.loader_exit_code is None and not pod.ready]
    return f"{loading[0].name} is fetching the model" if loading else None


def _pods_not_ready(seen: Observed) -> str | None:
    """Only once there is something to start: what keeps pods from getting there has a reason of its own."""
    if seen.ready or not any(pod.loader_exit_code == 0 for pod in seen.held()):
        return None
    return f"0 of {seen.desired} replicas are ready; Triton is starting or its probes fail (kubectl describe pod)"


def _triton_not_answering(seen: Observed) -> str | None:
    if seen.triton is None or seen.triton[0]:
        return None
    return f"Triton does not answer for the model at a ready pod: {seen.triton[1]}; see the pod's log"


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
    Check("Terminating", READY, lambda seen: "it is being deleted" if seen.deleting else None, problem=False),
    Check("ApplyRefused", READY, lambda seen: seen.apply_error),
    Check(
        "ScaledToZero",
        AVAILABLE,
        lambda seen: (
            None if seen.desired or seen.spec_error else "no replicas are asked for; set spec.serving.replicas"
        ),
        problem=False,
        settled=True,
    ),
    Check("SourceClaimNotFound", MODEL_AVAILABLE, placement.source_claim_not_found),
    Check("ClaimPending", MODEL_AVAILABLE, placement.claim_pending),
    Check("SourceClaimPending", MODEL_AVAILABLE, placement.source_claim_pending),
    Check("PodsNotCreated", SCHEDULED, placement.pods_not_created),
    Check("Provisioning", SCHEDULED, placement.no_pods, problem=False, known=False),
    Check("RoomNotFreed", SCHEDULED, placement.room_not_freed, problem=False),
    Check("ClaimOnOneNode", SCHEDULED, placement.claim_on_one_node),
    Check("NoNodeFits", SCHEDULED, placement.no_node_fits),
    Check("Scheduling", SCHEDULED, placement.scheduling, problem=False, known=False),
    Check("ImageNotPulled", AVAILABLE, _image_not_pulled),
    Check("ModelLoadFailed", MODEL_AVAILABLE, _model_load_failed),
    Check("OutOfMemory", AVAILABLE, _out_of_memory),
    Check("CrashLooping", AVAILABLE, _crash_looping),
    Check("ContainerNotStarted", AVAILABLE, _container_not_started),
    Check("ModelLoading", MODEL_AVAILABLE, _model_loading, problem=False),
    Check("PodsNotReady", AVAILABLE, _pods_not_ready, problem=False),
    Check("TritonNotAnswering", AVAILABLE, _triton_not_answering),
    Check("TritonNotAsked", AVAILABLE, _triton_not_asked, problem=False, known=False),
    Check("RollingOut", READY, _rolling_out, problem=False),
)
"""What serving stands on, from the spec upward."""

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

PROBLEMS: Final = frozenset(check.reason for check in (*CHAIN, *COST) if check.problem)
"""Reasons that are told as a Warning event."""
