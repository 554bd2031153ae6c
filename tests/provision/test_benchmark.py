"""When a benchmark Job is made, which are deleted, and what condition Benchmarked says."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from modelmeter.__main__ import main
from modelmeter.api.benchmark import Outcome
from modelmeter.api.resources import ModelDeployment
from modelmeter.errors import SpecError
from modelmeter.provision.benchmark import JobFacts, config_hash, current, job, newest, superfluous, wanted
from modelmeter.provision.checks import PROBLEMS
from modelmeter.provision.labels import selector_labels
from modelmeter.provision.observed import BenchmarkFacts
from modelmeter.provision.readiness import conditions, reason
from tests.provision.builders import FULL, MEASURED, NOW, model, seen

L4, T4 = "NVIDIA-L4", "Tesla-T4"
FOUND = Outcome(inferences_per_second="96.40", p95_milliseconds="48.21", fails_at_per_second="101.20")


def changed(section: str, **fields: Any) -> ModelDeployment:
    """MEASURED with some fields of a section changed."""
    spec = copy.deepcopy(MEASURED)
    spec[section] |= fields
    return model(spec)


def made(of: ModelDeployment, product: str = L4, **facts: Any) -> JobFacts:
    """A Job of a model as it was."""
    manifest = job(of, "loader:1", product)["metadata"]
    return JobFacts(manifest["name"], "u", config_hash(of, product), product, **facts)


def test_its_pod_is_metered_and_is_no_replica() -> None:
    of = model(MEASURED)
    template = job(of, "loader:1", L4)["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert (labels["modelmeter.dev/model"], labels["modelmeter.dev/stage"]) == ("intent", "evaluation")
    assert labels["modelmeter.dev/model-uid"] == of.uid
    assert template["metadata"]["finalizers"] == ["modelmeter.dev/metering"]
    assert not selector_labels(of).items() <= labels.items()
    pod = template["spec"]
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "gpu" not in json.dumps(container["resources"])


def test_a_pod_that_a_drain_ended_is_no_failure() -> None:
    """`backoffLimit` 0 ends the Job at the first failure; one that is ignored makes another pod."""
    made_of = job(model(MEASURED), "loader:1", L4)["spec"]
    assert made_of["template"]["spec"]["restartPolicy"] == "Never", "the API server takes the policy only so"
    assert made_of["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]


@pytest.mark.parametrize(("limit", "most"), [(50, 300), (5_000, 300), (7_500, 480), (60_000, 3_600)])
def test_it_has_time_for_rates_that_are_tried_for_longer(limit: int, most: int) -> None:
    """40 times the limit fit in, whatever is asked for."""
    made_of = job(changed("benchmark", p95Milliseconds=limit), "loader:1", L4)["spec"]
    assert f"--most-seconds={most}" in made_of["template"]["spec"]["containers"][0]["args"]
    assert made_of["activeDeadlineSeconds"] == most + 900
    assert most > 40 * limit / 1000


def test_its_name_fits_whatever_the_model_s() -> None:
    assert len(job(replace(model(MEASURED), name="m" * 50), "loader:1", L4)["metadata"]["name"]) == 63


def test_the_command_reads_what_the_operator_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kubelet passes it on: it expands $(NAME), and reads $$ as $."""
    given = []
    monkeypatch.setattr("modelmeter.commands.benchmark.run", lambda arguments: given.append(arguments) or 0)
    arguments = job(model(MEASURED), "loader:1", L4)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert main([argument.replace("$$", "$") for argument in arguments]) == 0
    (read,) = given
    assert (read.address, read.model) == ("intent.search.svc:8001", "intent")
    assert (read.p95_milliseconds, read.seconds_per_point, read.most_seconds) == (50, 5, 300)
    assert (read.text, read.words, read.label) == (["--text $(HOME)"], [8], ["phones", "$(books) $$"])


def test_without_texts_some_are_made_up() -> None:
    asked = model({**FULL, "benchmark": {"p95Milliseconds": 50}}).spec.benchmark
    assert asked is not None
    assert asked.effective_text_words() == (2, 4, 8, 16, 32, 64)


@pytest.mark.parametrize("field", [{"p95Milliseconds": 0}, {}, {"p95Milliseconds": 5, "secondsPerPoint": 1}], ids=str)
def test_what_cannot_be_measured_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"spec\.benchmark\."):
        model({**FULL, "benchmark": field})


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (changed("serving", replicas=7), True),
        (changed("pricing", priceBook="us"), True),
        (changed("serving", image="triton:2"), False),
        (changed("serving", batching={"maxBatchSize": 9}), False),
        (changed("benchmark", p95Milliseconds=60), False),
        (changed("benchmark", texts=[]), False),
    ],
)
def test_what_is_another_configuration(other: ModelDeployment, same: bool) -> None:
    assert (config_hash(other, L4) == config_hash(model(MEASURED), L4)) is same
    assert config_hash(other, L4) != config_hash(other, T4)


def test_nothing_is_wanted_where_nobody_knows_what_would_answer() -> None:
    assert wanted(model(MEASURED), ()) is None
    assert wanted(model(MEASURED), (L4, T4)) is None
    assert wanted(model(FULL), (L4,)) is None
    assert wanted(model(MEASURED), ("",)) == config_hash(model(MEASURED), "")


NOW_MODEL, BEFORE = model(MEASURED), changed("serving", image="triton:0")
ERROR = Outcome(error="the first requests are not answered: no", remedy="see the pod's log")
NONE = Outcome(p95_milliseconds="71.00", fails_at_per_second="1.00")
RUNS, DONE = made(NOW_MODEL), made(NOW_MODEL, outcome=FOUND)
OLD_RUNS, OLD_DONE = made(BEFORE), made(BEFORE, outcome=FOUND)


@pytest.mark.parametrize(
    ("jobs", "products", "deleted"),
    [
        # What has been measured is not measured again, whoever looks, and when.
        ([DONE], (L4,), []),
        ([DONE], (), []),
        ([RUNS], (L4,), []),
        ([RUNS], (), []),
        # A rollout: what runs measures a mixture; what was found stays until there is something new.
        ([OLD_RUNS], (), [OLD_RUNS]),
        ([OLD_DONE], (), []),
        ([OLD_DONE, RUNS], (L4,), []),
        ([OLD_DONE, DONE], (L4,), [OLD_DONE]),
        ([OLD_DONE, made(NOW_MODEL, ended="Failed")], (L4,), [OLD_DONE]),
        # Replicas moved to another GPU product.
        ([made(NOW_MODEL, T4)], (L4,), [made(NOW_MODEL, T4)]),
        ([made(NOW_MODEL, T4, outcome=FOUND)], (L4,), []),
    ],
)
def test_which_jobs_are_deleted(jobs: list[JobFacts], products: tuple[str, ...], deleted: list[JobFacts]) -> None:
    assert superfluous(NOW_MODEL, jobs, wanted(NOW_MODEL, products)) == deleted


def test_all_jobs_are_deleted_where_nothing_is_asked_for() -> None:
    assert superfluous(model(FULL), [RUNS, OLD_DONE], None) == [RUNS, OLD_DONE]


def test_the_job_of_the_model_as_it_is() -> None:
    assert current(NOW_MODEL, [OLD_DONE, DONE], wanted(NOW_MODEL, (L4,))) == DONE
    assert current(NOW_MODEL, [OLD_DONE, DONE], None) == DONE
    assert current(NOW_MODEL, [OLD_DONE], None) is None


def test_what_was_measured_last_is_shown_until_what_is_wanted_is_measured() -> None:
    moments = [FOUND.model_copy(update={"measured_at": f"2026-11-10T12:0{n}:00Z"}) for n in range(2)]
    before, later = made(BEFORE, outcome=moments[1]), made(NOW_MODEL, outcome=moments[0])
    config = config_hash(NOW_MODEL, L4)
    assert newest([before, later], config) == (later, moments[0].figures)
    assert newest([before, RUNS], config) == (before, moments[1].figures)
    assert newest([before, later], None) == (before, moments[1].figures)
    assert newest([RUNS, made(NOW_MODEL, outcome=NONE), DONE], config) is None  # DONE has no moment yet


ASKED = BenchmarkFacts(50, gpu_products=(L4,))
CASES = [
    (ASKED, "Unknown", "BenchmarkWaiting", "once the model is Ready"),
    (replace(ASKED, job="j"), "Unknown", "BenchmarkRunning", "kubectl describe job j"),
    (replace(ASKED, gpu_products=(L4, T4)), "False", "ProductsDiffer", "NVIDIA-L4, Tesla-T4"),
    (replace(ASKED, gpu_products=(L4, T4)), "False", "ProductsDiffer", "set spec.serving.gpu.product"),
    (
        replace(ASKED, refused="the Job cannot be made: Forbidden: exceeded quota: x"),
        "False",
        "BenchmarkRefused",
        "the Job cannot be made: Forbidden: exceeded quota: x; raise the namespace's ResourceQuota",
    ),
    (
        replace(
            ASKED, refused="what Job j found cannot be noted on it: Forbidden: admission webhook denied the request"
        ),
        "False",
        "BenchmarkRefused",
        "found cannot be noted on it: Forbidden: admission webhook denied the request; change",
    ),
    (replace(ASKED, job="j", outcome=ERROR), "False", "BenchmarkFailed", "no; see the pod's log; to measure again"),
    (
        replace(ASKED, job="j", unscheduled="3 had taints."),
        "Unknown",
        "BenchmarkUnscheduled",
        "256Mi left",
    ),
    (replace(ASKED, job="j", ended="was active longer than"), "False", "BenchmarkFailed", "kubectl delete job j"),
    (replace(ASKED, job="j", outcome=NONE), "False", "LimitNotMet", "at 1.00 a second it is 71.00 ms; raise p95Mill"),
    (replace(ASKED, job="j", outcome=FOUND), "True", "Measured", "one replica answers 96.40 texts a second"),
]


@pytest.mark.parametrize(("facts", "status", "why", "words"), CASES)
def test_the_condition(facts: BenchmarkFacts, status: str, why: str, words: str) -> None:
    found = {entry.type: entry for entry in conditions(seen(benchmark=facts), (), NOW)}
    assert (found["Benchmarked"].status, found["Benchmarked"].reason) == (status, why)
    assert words in found["Benchmarked"].message
    assert found["Ready"].status == "True"
    assert reason(found.values()) == "Ready"
    assert (why in PROBLEMS) is (status == "False")


def test_no_condition_where_nothing_is_asked_for() -> None:
    assert "Benchmarked" not in {entry.type for entry in conditions(seen(), (), NOW)}
