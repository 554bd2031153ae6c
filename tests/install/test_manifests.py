"""The committed examples and prices: they parse, they can be estimated, and their arithmetic is right."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
import yaml

from modelmeter.__main__ import main
from modelmeter.api.model_deployment import ModelDeploymentSpec
from tests.generate import ROOT

MANIFESTS = ROOT / "manifests"
PRICES = MANIFESTS / "pricebook.yaml"
EXAMPLES = sorted((MANIFESTS / "examples").iterdir())
GPU_OF = {
    "g4dn.xlarge": "Tesla-T4",
    "g6.xlarge": "NVIDIA-L4",
    "g5.xlarge": "NVIDIA-A10G",
    "p4d.24xlarge": "NVIDIA-A100-SXM4-40GB",
    "p5.48xlarge": "NVIDIA-H100-80GB-HBM3",
}


def estimate(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What `modelmeter estimate -o json` prints."""
    assert main(["estimate", *arguments, "-o", "json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_the_worked_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert estimate(capsys, str(MANIFESTS / "worked-example.yaml")) == {
        "compute": "0.1",
        "storage": "0.0002",
        "labour": "3650",
        "operations": "3600",
        "total": "7250.1002",
    }


def test_the_examples_cost_what_the_price_book_says(capsys: pytest.CaptureFixture[str]) -> None:
    costs = {path.stem: estimate(capsys, str(path), "--prices", str(PRICES)) for path in EXAMPLES}
    # The smallest names no GPU product, so only its node will tell the price.
    assert {name: cost["unpriced"] for name, cost in costs.items()} == {
        "1-smallest": ["gpu"],
        "2-search-intent": [],
        "3-full": [],
    }
    # 2 x (0.57176 + 0.04048 + 2 x 0.004445), 7300 a month x 0.1, a quarter of an hour a day at 40
    hour = costs["2-search-intent"]["perHour"]
    assert (hour["compute"], hour["labour"]) == ("1.24226", "1")
    assert hour["operations"].startswith("0.41666")


def test_what_autoscaling_may_cost_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(MANIFESTS / "examples/3-full.yaml")
    cost = estimate(capsys, file, "--prices", str(PRICES))
    hour = {name: Decimal(amount) for name, amount in cost["perHour"].items()}
    # 3 replicas are asked for, 0 to 6 are allowed.
    low, high = (Decimal(cost["perHourAutoscaled"][name]) for name in ("min", "max"))
    assert low == pytest.approx(hour["total"] - hour["compute"])
    assert high == pytest.approx(hour["total"] + hour["compute"])
    assert main(["estimate", file, "--prices", str(PRICES)]) == 0
    assert "spec.serving.autoscaling lets an hour cost between 4" in capsys.readouterr().out


def test_the_full_example_has_every_field() -> None:
    spec = yaml.safe_load((MANIFESTS / "examples/3-full.yaml").read_text())["spec"]
    every = ModelDeploymentSpec.model_validate(spec).model_dump(by_alias=True)
    assert {name: set(part) for name, part in spec.items()} == {name: set(part) for name, part in every.items()}
    for part in ("gpu", "resources", "batching", "autoscaling", "disruptionBudget"):
        assert set(spec["serving"][part]) == set(every["serving"][part])
    assert set(spec["serving"]["autoscaling"]["keda"]) == set(every["serving"]["autoscaling"]["keda"])


@pytest.mark.parametrize("instance", GPU_OF)
def test_models_that_fill_an_instance_pay_its_price(instance: str) -> None:
    row = re.search(rf"^#   {re.escape(instance)} .*$", PRICES.read_text(), re.MULTILINE)
    assert row is not None
    price, cpus, _, memory, _, _, gpus, _ = (Decimal(text) for text in row[0].split()[2:])
    rates = yaml.safe_load(PRICES.read_text())["spec"]["rates"]
    unit = {(rate["item"], rate.get("match", {}).get("gpuProduct")): Decimal(rate["price"]) for rate in rates}
    assert cpus * unit["cpu", None] + memory * unit["memory", None] + gpus * unit["gpu", GPU_OF[instance]] == price
