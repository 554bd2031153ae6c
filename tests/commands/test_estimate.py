"""What `modelmeter estimate` prints where a price is missing."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from modelmeter.commands import estimate

MODEL = {
    "apiVersion": "modelmeter.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "intent"},
    "spec": {"model": {"source": "pvc://models/minilm"}},
}
RATE = {"per": "hour", "from": "2026-01-01T00:00:00Z"}
BOOK = {
    "apiVersion": "modelmeter.dev/v1alpha1",
    "kind": "PriceBook",
    "metadata": {"name": "default"},
    "spec": {
        "currency": "USD",
        "rates": [
            {**RATE, "item": "cpu", "price": "0.03"},
            {**RATE, "item": "memory", "price": "0.004", "per": "GiB-hour"},
            {**RATE, "item": "storage", "price": "0.0001", "per": "GiB-hour"},
        ],
    },
}


def test_a_sum_says_what_it_is_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(yaml.safe_dump_all([MODEL, BOOK]))
    parser = argparse.ArgumentParser()
    estimate.add_parser(parser.add_subparsers())
    options = parser.parse_args(["estimate", str(file)])
    assert options.run(options) == 0
    shown = capsys.readouterr().out
    (month,) = (line for line in shown.splitlines() if line.startswith("per month"))
    assert month.endswith(" USD without gpu")
