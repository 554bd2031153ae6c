"""From what exists and what is kept of a model to the facts that its conditions are made of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import ValidationError

from modelmeter.api.benchmark import Outcome
from modelmeter.api.names import BENCHMARK_OUTCOME, CONFIG_HASH, GPU_PRODUCT, TEMPLATE_HASH
from modelmeter.api.scalars import rfc3339
from modelmeter.control.accounts import Account
from modelmeter.meter.lifetime import TERMINAL
from modelmeter.meter.objects import Claim, Condition, ContainerStatus, Deployment, Job, Pod, Terminated, Waiting
from modelmeter.provision.benchmark import CONTAINER, DISRUPTED, JobFacts
from modelmeter.provision.claim import one_node
from modelmeter.provision.observed import ClaimFacts, Observed, PodFacts
from modelmeter.provision.plan import CANARIES, FAILED_HASH, FAILURE, TrackState
from modelmeter.provision.pod import LOADER, source_claim, source_image
from modelmeter.provision.track import TRACK_LABEL


def observed(account: Account, pods: Iterable[Pod], claims: Iterable[Claim], now: datetime) -> Observed:
    """What a model asks for, and what its pods and claims say; the rest is for others to add."""
    model = account.model
    facts = map(claim_facts, claims)
    return Observed(
        generation=account.generation,
        desired=model.spec.serving.replicas if model else 0,
        now=now,
        source_claim=source_claim(model) if model else "",
        source_image=source_image(model) if model else "",
        pods=tuple(map(pod_facts, pods)),
        claim=min(facts, key=lambda claim: claim.phase == "Bound", default=None),
        one_node=model is not None and one_node(model),
    )


def pod_facts(pod: Pod) -> PodFacts:
    """What a pod says about itself."""
    status = pod.status
    conditions = {condition.type: condition for condition in status.conditions}
    scheduled = conditions.get("PodScheduled")
    ready = conditions.get("Ready")
    container, waiting = next(
        (
            (entry.name, entry.state.waiting)
            for entry in (*status.init_container_statuses, *status.container_statuses)
            if entry.state.waiting is not None and entry.state.waiting.reason not in ("", "PodInitializing")
        ),
        ("", Waiting()),
    )
    loader = next((entry for entry in status.init_container_statuses if entry.name == LOADER), ContainerStatus())
    exit_code, message = _loader_end(loader)
    restarted, last = _last_end(status.container_statuses)
    ended = status.phase in TERMINAL
    is_ready = ready is not None and ready.status == "True" and not ended
    return PodFacts(
        name=pod.metadata.name,
        template_hash=pod.metadata.annotations.get(TEMPLATE_HASH, ""),
        scheduled=bool(pod.spec.node_name),
        scheduling_message=scheduled.message if scheduled else "",
        created=pod.metadata.creation_timestamp,
        ready=is_ready,
        ready_since=ready.last_transition_time if ready and is_ready else None,
        canary=TRACK_LABEL in pod.metadata.labels,
        deleting=pod.metadata.deletion_timestamp is not None,
        ends_by=pod.metadata.deletion_timestamp,
        ended=ended,
        waiting_container=container,
        waiting_reason=waiting.reason,
        waiting_message=waiting.message,
        restarts=restarted.restart_count,
        ended_container=restarted.name,
        ended_reason=last.reason,
        ended_exit_code=last.exit_code,
        loader_running=loader.state.running is not None,
        loader_exit_code=exit_code,
        loader_message=message,
    )


def claim_facts(claim: Claim) -> ClaimFacts:
    """What a claim says about itself."""
    return ClaimFacts(
        claim.metadata.name,
        claim.status.phase,
        claim.spec.storage_class_name,
        deleting=claim.metadata.deletion_timestamp is not None,
    )


def job_facts(entry: Job) -> JobFacts:
    """What a benchmark Job says about itself; an outcome that cannot be read is none."""
    annotations = entry.metadata.annotations
    try:
        outcome = Outcome.model_validate_json(annotations[BENCHMARK_OUTCOME])
    except (KeyError, ValidationError):
        outcome = None
    ends = [condition for condition in entry.status.conditions if condition.type in ("Complete", "Failed")]
    end = next((condition for condition in ends if condition.status == "True"), None)
    return JobFacts(
        name=entry.metadata.name,
        uid=entry.metadata.uid,
        config_hash=annotations.get(CONFIG_HASH, ""),
        gpu_product=annotations.get(GPU_PRODUCT, ""),
        outcome=outcome,
        ended=end.type if end else "",
        ended_message=end.message if end and end.type == "Failed" else "",
    )


def benchmark_outcome(pod: Pod) -> Outcome | None:
    """What a pod that has ended found, by its termination message; why it found nothing where there is none.

    None where a drained node or a pod of higher priority ended it: its Job makes another.
    """
    disrupted = any(entry.type == DISRUPTED and entry.status == "True" for entry in pod.status.conditions)
    if disrupted and pod.status.phase != "Succeeded":
        return None
    status = next((entry for entry in pod.status.container_statuses if entry.name == CONTAINER), ContainerStatus())
    end = status.state.terminated or Terminated()
    at = rfc3339(end.finished_at) if end.finished_at else None
    try:
        found = Outcome.model_validate_json(end.message)
    except ValidationError:
        how = f"exit code {end.exit_code}" if end.finished_at else "no container having run"
        why = f" ({end.reason})" if end.reason else ""
        found = Outcome(
            error=f"pod {pod.metadata.name} ended with {how}{why} and without a result",
            remedy=f"see kubectl describe pod {pod.metadata.name}, and its log",
        )
    return found.model_copy(update={"measured_at": at})


def track_state(deployment: Deployment) -> TrackState:
    """What a Deployment says about itself and the revision that its pods are of."""
    metadata = deployment.metadata
    canaries = metadata.annotations.get(CANARIES, "")
    refusal = _refusal(deployment)
    return TrackState(
        template_hash=metadata.annotations.get(TEMPLATE_HASH, ""),
        replicas=deployment.spec.replicas,
        canaries=int(canaries) if canaries.isdecimal() else 0,
        deleting=metadata.deletion_timestamp is not None,
        failed_hash=metadata.annotations.get(FAILED_HASH, ""),
        failure=metadata.annotations.get(FAILURE, ""),
        pods_error=refusal.message if refusal else None,
        refused_since=refusal.last_transition_time or metadata.creation_timestamp if refusal else None,
    )


def refused_pods(deployment: Deployment) -> str | None:
    """Why pods of a Deployment cannot be created; None where they can."""
    refusal = _refusal(deployment)
    return refusal.message if refusal else None


def _refusal(deployment: Deployment) -> Condition | None:
    failures = (entry for entry in deployment.status.conditions if entry.type == "ReplicaFailure")
    return next((entry for entry in failures if entry.status == "True"), None)


def _last_end(statuses: Iterable[ContainerStatus]) -> tuple[ContainerStatus, Terminated]:
    """The container that has ended and not started again, and how it ended the last time; nothing where none has."""
    for entry in statuses:
        # Past its startup probe an old end explains nothing.
        for state in (entry.state, *(() if entry.started or entry.ready else (entry.last_state,))):
            if state.terminated is not None:
                return entry, state.terminated
    return ContainerStatus(), Terminated()


def _loader_end(loader: ContainerStatus) -> tuple[int | None, str]:
    """How the init container ended, the last time that it did."""
    for state in (loader.state, loader.last_state):
        if state.terminated is not None:
            return state.terminated.exit_code, state.terminated.message
    return None, ""
