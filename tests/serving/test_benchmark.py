"""`modelmeter benchmark` against a real Triton: what it says it did is what the server counted."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from modelmeter.__main__ import main
from modelmeter.api.benchmark import Outcome
from tests.cluster.triton import Triton

pytestmark = pytest.mark.e2e

MODEL = "distilbert"


def benchmark(server: Triton, log: Path, *options: str, model: str = MODEL) -> tuple[int, Outcome]:
    """Run the command as a Job would; its exit status, and what the kubelet would read."""
    address = f"127.0.0.1:{server.ports.grpc}"
    status = main(
        ["benchmark", address, "--model", model, "--seconds-per-point=2", "--termination-log", str(log), *options]
    )
    return status, Outcome.model_validate_json(log.read_text())


def counted(server: Triton, model: str) -> dict[str, Any]:
    """What Triton counted of a model."""
    with urllib.request.urlopen(f"{server.url}/v2/models/{model}/stats", timeout=10) as response:
        return dict(json.load(response)["model_stats"][0])


def test_the_highest_rate_of_a_real_server_is_found(
    server: Triton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No label is given: they are the classifier's own, and it refuses all others."""
    before = int(counted(server, MODEL)["inference_count"])
    status, found = benchmark(server, tmp_path / "log", "--p95-milliseconds=200", "--most-seconds=8", "-o", "json")
    assert status == 0
    assert found.failures == 0
    assert found.inferences_per_second is not None
    assert float(found.inferences_per_second) >= 1
    assert float(found.p95_milliseconds or 0) <= 200
    assert float(found.batch or 0) >= 1
    printed = json.loads(capsys.readouterr().out)
    kept = [point for point in printed["points"] if point["keeps"] == "yes"]
    assert (
        printed["inferencesPerSecond"]
        == found.inferences_per_second
        == max((point["perSecond"] for point in kept), key=float)
    )
    # All that was planned at rates that were kept was really asked: 2 s each, beside the warm-up.
    planned = sum(2 * float(point["perSecond"]) for point in kept)
    assert int(counted(server, MODEL)["inference_count"]) - before >= planned


def test_a_limit_that_no_rate_keeps_is_said(server: Triton, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--p95-milliseconds=1", "--words=64", "--most-seconds=30")
    status, found = benchmark(server, tmp_path / "log", *options, model="sentences")
    assert (status, found.inferences_per_second, found.fails_at_per_second) == (1, None, "1.00")
    assert "no rate keeps a p95 of 1 ms: at 1.00 a second it is" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "model", "says", "remedy"),
    [
        (("--label=weather",), MODEL, "label 'weather' is not one of the model's classes", "spec.model.labels"),
        ((), "nothing", "model nothing is not ready", "gRPC port (8001)"),
    ],
)
def test_what_cannot_be_measured_is_told_with_a_remedy(
    server: Triton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], model: str, says: str,
    remedy: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("modelmeter.benchmark.server.CONNECT_PAUSE_SECONDS", 0)
    status, found = benchmark(server, tmp_path / "log", "--p95-milliseconds=100", *options, model=model)
    assert status == 1
    assert says in found.error
    assert remedy in found.remedy
