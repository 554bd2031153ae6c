"""What a benchmark's Job and pod say about themselves, as the Job controller and the kubelet write it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from modelmeter.api.benchmark import Outcome
from modelmeter.control.facts import benchmark_outcome, job_facts
from modelmeter.meter.objects import Job, Pod

ENDED = "2026-11-10T12:00:00Z"
FOUND = Outcome(inferences_per_second="96.40", p95_milliseconds="48.21")


def pod(phase: str = "Failed", disrupted: str = "", **terminated: Any) -> Pod:
    """The pod of a benchmark that has ended so; `disrupted` is the condition's status."""
    states = [{"name": "benchmark", "state": {"terminated": {"finishedAt": ENDED, **terminated}}}] if terminated else []
    conditions = [{"type": "DisruptionTarget", "status": disrupted}] if disrupted else []
    status = {"phase": phase, "containerStatuses": states, "conditions": conditions}
    return msgspec.convert({"metadata": {"name": "p", "uid": "u"}, "status": status}, type=Pod)


def job(outcome: str = "", *conditions: dict[str, str]) -> Job:
    """A benchmark's Job."""
    notes = {"modelmeter.dev/config-hash": "abc", "modelmeter.dev/gpu-product": "NVIDIA-L4"}
    more = {"modelmeter.dev/benchmark-outcome": outcome} if outcome else {}
    metadata = {"name": "j", "uid": "u", "annotations": {**notes, **more}}
    return msgspec.convert({"metadata": metadata, "status": {"conditions": list(conditions)}}, type=Job)


def test_what_was_found_is_taken_as_it_is_with_its_moment() -> None:
    found = benchmark_outcome(pod(exitCode=0, message=FOUND.model_dump_json(by_alias=True, exclude_none=True)))
    assert found is not None
    assert found == FOUND.model_copy(update={"measured_at": ENDED})
    kept = job_facts(job(found.model_dump_json(by_alias=True, exclude_defaults=True)))
    assert (kept.outcome, kept.config_hash, kept.gpu_product, kept.over) == (found, "abc", "NVIDIA-L4", True)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (pod(exitCode=137, reason="OOMKilled"), "pod p ended with exit code 137 (OOMKilled) and without a result"),
        (pod(exitCode=0, message='{"inferencesPerSecond": "9'), "ended with exit code 0 and without a result"),
        (pod(exitCode=0, message='{"inferencesPerSecond": "many"}'), "without a result"),
        (pod(), "ended with no container having run"),
    ],
)
def test_an_end_without_a_result_says_how_it_ended(ended: Pod, words: str) -> None:
    found = benchmark_outcome(ended)
    assert found is not None
    assert words in found.error
    assert "kubectl describe pod p" in found.remedy
    assert found.inferences_per_second is None


def test_an_end_by_a_drain_says_nothing_for_another_pod_comes() -> None:
    assert benchmark_outcome(pod(disrupted="True", exitCode=143)) is None
    assert benchmark_outcome(pod(disrupted="True")) is None
    assert benchmark_outcome(pod(disrupted="False", exitCode=143)) is not None
    written = FOUND.model_dump_json(by_alias=True, exclude_none=True)
    found = benchmark_outcome(pod(phase="Succeeded", disrupted="True", exitCode=0, message=written))
    assert found is not None
    assert found.inferences_per_second == "96.40", "it was done before the drain came"


def test_a_job_is_over_once_its_controller_says_so() -> None:
    assert not job_facts(job()).over
    assert not job_facts(job("", {"type": "Failed", "status": "False"})).over
    assert not job_facts(job("", {"type": "Suspended", "status": "True"})).over
    failed = job_facts(job("", {"type": "Failed", "status": "True", "message": "was active longer than"}))
    assert (failed.over, failed.ended_message) == (True, "was active longer than")
    assert job_facts(job("not JSON")).outcome is None
