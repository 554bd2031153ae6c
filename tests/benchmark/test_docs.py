"""The example of docs/benchmark.md agrees with itself, and with what is computed of it."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import yaml

from modelmeter.api.resources import model_deployment
from modelmeter.benchmark.search import Point
from modelmeter.meter.performance import cost_per_1000, text
from modelmeter.provision.benchmark import config_hash

DOCS: Final = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text(encoding="utf-8")
CORE_PER_HOUR, GIB_PER_HOUR = Fraction("0.04048"), Fraction("0.004445")


def spec() -> dict[str, Any]:
    """What is applied."""
    (block,) = re.findall(r"^    spec:\n(?:      .*\n)+", DOCS, re.MULTILINE)
    return dict(yaml.safe_load(block)["spec"])


def shown() -> dict[str, str]:
    """What the status says."""
    (block,) = re.findall(r"^    (\{.*\n     .*\})$", DOCS, re.MULTILINE)
    return dict(json.loads(block))


def table() -> list[list[str]]:
    """What the command by hand prints."""
    _, block = DOCS.split("BATCH   KEEPS\n", 1)
    return [line.split() for line in block.split("    one replica", 1)[0].splitlines()]


def test_the_status_is_that_of_the_run_by_hand() -> None:
    kept = [row for row in table() if row[-1] == "yes"]
    best = max(kept, key=lambda row: float(row[0]))
    assert [shown()[field] for field in ("inferencesPerSecond", "p95Milliseconds", "batch")] == [
        best[0],
        best[1],
        best[3],
    ]


def test_its_points_are_such_as_the_search_makes() -> None:
    asked = spec()["benchmark"]
    seconds, limit = asked["secondsPerPoint"], asked["p95Milliseconds"] * 1000
    for rate, p95, _, _, keeps in table():
        requests = Fraction(rate) * seconds
        assert requests.denominator == 1
        point = Point(int(requests), seconds, round(float(p95) * 1000))
        assert (point.keeps(limit), point.misses(limit)) == (keeps == "yes", keeps == "no")


def test_its_hash_and_cost_are_computed_of_its_spec_and_rate() -> None:
    metadata = {"namespace": "search", "name": "search-intent", "uid": "u", "generation": 1}
    asked = spec()
    assert shown()["configHash"] == config_hash(model_deployment({"metadata": metadata, "spec": asked}), "")
    requests = asked["serving"]["resources"]["requests"]
    hour = requests["cpu"] * CORE_PER_HOUR + int(requests["memory"].removesuffix("Gi")) * GIB_PER_HOUR
    assert str(float(CORE_PER_HOUR)) in DOCS
    assert str(float(GIB_PER_HOUR)) in DOCS
    assert shown()["costPer1000AtSlo"] == text(cost_per_1000(hour, Fraction(shown()["inferencesPerSecond"])))
