"""`modelmeter tune`: what is copied, what is tried, and which setting is told to be best."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from modelmeter.api.benchmark import Performance
from modelmeter.commands.tune import chosen
from modelmeter.control.tuning import Plan, copy_of, own_setting
from modelmeter.errors import SpecError
from modelmeter.report.tuning import Setting, Trial, advice, best, trials_json, trials_table

OWN = Setting(32, 500)
SPEC: dict[str, Any] = {
    "model": {"source": "pvc://models/minilm"},
    "serving": {
        "replicas": 3,
        "autoscaling": {"max": 9},
        "disruptionBudget": {"minAvailable": 1},
        "batching": {"maxBatchSize": 32, "maxQueueDelayMicroseconds": 500},
    },
    "benchmark": {"p95Milliseconds": 50, "texts": ["a"]},
    "pricing": {
        "priceBook": "eu",
        "labour": [{"name": "a", "price": "1", "per": "day"}],
        "operations": [{"name": "b", "price": "1", "per": "day"}],
    },
}
BODY = {"metadata": {"name": "intent", "namespace": "search", "uid": "u", "labels": {"a": "b"}}, "spec": SPEC}


def plan(benchmark: dict[str, Any], *settings: Setting) -> Plan:
    """What a user asks for."""
    return Plan(settings, benchmark, patience_seconds=600, run="5eed")


def trial(batch: int, delay: int, rate: str = "", cost: str | None = None) -> Trial:
    """A setting that was measured, if there is a rate."""
    if not rate:
        return Trial(Setting(batch, delay), "intent-tune-1", note="no rate keeps a p95 of 50 ms")
    found = Performance(
        inferences_per_second=rate, p95_milliseconds="48.00", config_hash="a", measured_at="2026-11-10T12:00:00Z",
        cost_per1000_at_slo=cost,
    )  # fmt: skip
    return Trial(Setting(batch, delay), "intent-tune-2", found, cost="0.0312")


def test_a_copy_is_one_replica_with_another_setting_and_nobody_s_labour() -> None:
    before = copy.deepcopy(BODY)
    made = copy_of(BODY, 2, Setting(8, 0), plan({"secondsPerPoint": 3}))
    assert before == BODY
    assert made["metadata"] == {
        "name": "intent-tune-2",
        "namespace": "search",
        "labels": {"modelmeter.dev/tune-of": "intent", "modelmeter.dev/tune-run": "5eed"},
    }
    assert made["spec"] == {
        "model": SPEC["model"],
        "serving": {"replicas": 1, "batching": {"maxBatchSize": 8, "maxQueueDelayMicroseconds": 0}},
        "benchmark": {"p95Milliseconds": 50, "texts": ["a"], "secondsPerPoint": 3},
        "pricing": {"priceBook": "eu"},
    }


def test_what_cannot_be_copied_says_why() -> None:
    without = {**BODY, "spec": {key: part for key, part in SPEC.items() if key != "benchmark"}}
    assert copy_of(without, 1, OWN, plan({"p95Milliseconds": 9}))["spec"]["benchmark"] == {"p95Milliseconds": 9}
    with pytest.raises(SpecError, match="--p95-milliseconds"):
        copy_of(without, 1, OWN, plan({}))
    with pytest.raises(SpecError, match="more than 50 characters"):
        copy_of({**BODY, "metadata": {"name": "m" * 44, "namespace": "a"}}, 1, OWN, plan({}))


def test_what_is_tried() -> None:
    assert own_setting(BODY) == OWN
    assert chosen([8], [0, 500], OWN) == [OWN, Setting(8, 0), Setting(8, 500)]
    assert chosen(None, None, Setting(16, 0))[:2] == [Setting(16, 0), Setting(16, 500)]
    assert len(chosen(None, None, Setting(16, 0))) == 6
    with pytest.raises(SpecError, match="make 21 settings"):
        chosen([1, 2, 3, 4], [0, 1, 2, 3, 4], OWN)


def test_the_cheapest_is_best_where_all_prices_are_known() -> None:
    trials = [trial(32, 500, "100.00", "0.0030"), trial(64, 500, "90.00", "0.0025"), trial(8, 0)]
    assert best(trials) == (trials[1], "cost per 1,000")
    assert "maxBatchSize: 64\n      maxQueueDelayMicroseconds: 500" in advice(trials)


def test_the_fastest_is_best_where_a_price_is_not_known() -> None:
    trials = [trial(64, 500, "90.00", "0.0025"), trial(32, 2000, "100.00"), trial(32, 0, "100.00")]
    assert best(trials) == (trials[2], "rate, for a price is not known")


def test_where_nothing_was_measured_nothing_is_best() -> None:
    assert best([trial(8, 0)]) is None
    assert advice([trial(8, 0)]) == "No setting could be measured: see NOTE."
    assert trials_json([trial(8, 0)])["recommended"] is None


def test_what_is_unknown_is_no_figure() -> None:
    lines = trials_table([trial(8, 0), trial(32, 0, "100.00", "0.0030")]).splitlines()
    assert lines[1].split()[:7] == ["8", "0", "-", "-", "-", "-", "-"]
    assert lines[1].endswith("no rate keeps a p95 of 50 ms")
    assert lines[2].split() == ["32", "0", "100.00", "48.00", "-", "0.0030", "0.0312", "intent-tune-2"]
    shown = trials_json([trial(32, 0, "100.00", "0.0030")])
    assert shown["trials"][0]["performance"]["costPer1000AtSlo"] == "0.0030"
    assert shown["recommended"] == {"maxBatchSize": 32, "maxQueueDelayMicroseconds": 0, "by": "cost per 1,000"}
