"""Real Triton serves what our loader wrote from a real BERT, and its scores are those of the papers' equations."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc

from modelmeter.loader.load import load
from modelmeter.loader.spec import LoadSpec
from tests.cluster.triton import Ports, Triton, minilm_directory
from tests.loader.checkpoints import tiny
from tests.loader.reference import Reference

pytestmark = pytest.mark.e2e

PORTS = Ports(http=18000, grpc=18001, metrics=18002)
TOLERANCE = 1e-4
LABELS = ["sports", "cooking"]
TEXTS = [
    "The striker scored twice in the final.",
    "Boil the pasta in salted water.",
    "",
    "足球 ⚽ naïve café",
    "How do I get to the station, and which platform does the last train of the day leave from?",
]
BACKENDS = {"sentences": "python", "on-a-gpu": "onnxruntime"}
"""Model to the backend that its encoder runs by; the second is a stand-in for Triton's own."""
Answer = tuple[int, dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton of its own, with a sentence encoder under either backend and a classifier."""
    folder = tmp_path_factory.mktemp("served")
    for name, backend in BACKENDS.items():
        spec = LoadSpec(name, labels=tuple(LABELS), max_queue_delay_microseconds=20_000, backend=backend)
        load(f"file://{minilm_directory()}", folder / name, spec)
    classes = {
        "id2label": {"0": "sports", "1": "cooking", "2": "x"},
        "architectures": ["BertForSequenceClassification"],
    }
    checkpoint = tiny(folder / "checkpoint", **classes)
    load(f"file://{checkpoint}", folder / "classes", LoadSpec("classes", max_sequence_length=20))
    repositories = [*(folder / name for name in BACKENDS), folder / "classes"]
    with Triton(folder / "triton", repositories, PORTS) as running:
        yield running


@pytest.fixture(scope="module")
def reference() -> Reference:
    """The real BERT, by the book."""
    return Reference(minilm_directory())


def generate(server: Triton, body: object, model: str = "sentences") -> Answer:
    """POST /v2/models/MODEL/generate."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}/v2/models/{model}/generate", data, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def asked(text: str, label: str) -> dict[str, str]:
    return {"text": text, "label": label}


def strings(name: str, values: list[str]) -> grpc.InferInput:
    """A tensor of one string per row."""
    tensor = grpc.InferInput(name, [len(values), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value.encode()] for value in values], dtype=np.object_))
    return tensor


def infer(texts: list[str], labels: list[str]) -> tuple[Any, Any]:
    """Scores and probabilities of a batch, by gRPC; each of shape (rows, 1)."""
    with grpc.InferenceServerClient(f"127.0.0.1:{PORTS.grpc}") as client:
        answer = client.infer("sentences", [strings("text", texts), strings("label", labels)])
    return answer.as_numpy("score"), answer.as_numpy("probability")


@pytest.mark.parametrize("model", BACKENDS)
@pytest.mark.parametrize("label", [*LABELS, "food"])
def test_generate_answers_as_the_reference(server: Triton, reference: Reference, label: str, model: str) -> None:
    for text in TEXTS:
        status, answer = generate(server, asked(text, label), model)
        assert status == 200, answer
        assert answer["score"] == pytest.approx(reference.score(text, label), abs=TOLERANCE)
        assert answer["probability"] == pytest.approx(reference.probability(text, label, LABELS), abs=TOLERANCE)


def test_a_batch_over_grpc_answers_as_the_reference(server: Triton, reference: Reference) -> None:
    scores, probabilities = infer(TEXTS, ["cooking"] * len(TEXTS))
    assert scores.shape == probabilities.shape == (len(TEXTS), 1)
    assert scores[:, 0] == pytest.approx([reference.score(text, "cooking") for text in TEXTS], abs=TOLERANCE)
    expected = [reference.probability(text, "cooking", LABELS) for text in TEXTS]
    assert probabilities[:, 0] == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("model", BACKENDS)
def test_requests_in_parallel_share_batches_and_change_no_score(server: Triton, model: str) -> None:
    cases = [asked(text, label) for text in TEXTS for label in (*LABELS, "food")] * 4
    alone = {json.dumps(case): generate(server, case, model)[1] for case in cases}
    before = executions(server, model)
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda case: generate(server, case, model), cases))
    assert executions(server, model) - before < len(cases)  # else nothing was batched, and nothing tested
    for case, (status, answer) in zip(cases, together, strict=True):
        assert status == 200, answer
        assert answer["score"] == pytest.approx(alone[json.dumps(case)]["score"], abs=1e-5)
        assert answer["probability"] == pytest.approx(alone[json.dumps(case)]["probability"], abs=1e-5)


def executions(server: Triton, model: str) -> int:
    """How often the encoder ran."""
    with urllib.request.urlopen(f"{server.url}/v2/models/{model}-bert/stats", timeout=10) as response:
        return int(json.load(response)["model_stats"][0]["execution_count"])


def test_a_long_text_is_cut_at_the_model_s_length(server: Triton, reference: Reference) -> None:
    long = "The striker scored twice in the final. " * 2000
    status, answer = generate(server, asked(long, "sports"))
    assert status == 200, answer
    assert answer["score"] == pytest.approx(reference.score(long, "sports"), abs=TOLERANCE)
    # 8 MB cost no more than what is kept of them. By gRPC: at such a body the HTTP front end of Triton 2.51 crashes.
    score, _ = infer([long * 100], ["sports"])
    assert score[:, 0] == pytest.approx([answer["score"]], abs=1e-6)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"label": "sports"}, "text"),
        ({"text": "goal"}, "label"),
        ({"text": 5, "label": "sports"}, "non-string as string"),
        (b"text=goal", "failed to parse the request JSON"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(server: Triton, body: object, says: str) -> None:
    status, answer = generate(server, body)
    assert status in (400, 500), answer  # Triton's front end calls a body that it cannot parse its own fault
    assert says in answer["error"]
    assert generate(server, asked("goal", "sports"))[0] == 200


def test_a_classifier_answers_for_its_classes_only(server: Triton) -> None:
    checkpoint = server.directory.parent / "checkpoint"
    logits = Reference(checkpoint, 20).logits("goal pasta")
    status, answer = generate(server, asked("goal pasta", "cooking"), "classes")
    assert (status, answer["score"]) == (200, pytest.approx(logits[1], abs=TOLERANCE))
    assert answer["probability"] == pytest.approx(np.exp(logits[1]) / np.exp(logits).sum(), abs=TOLERANCE)
    status, answer = generate(server, asked("goal pasta", "weather"), "classes")
    assert status == 400, answer
    assert "label 'weather' is not one of the model's classes: sports, cooking, x" in answer["error"]


def test_a_new_spec_is_served_in_place(server: Triton, tmp_path: Path) -> None:
    source = f"file://{server.directory.parent / 'checkpoint'}"
    for labels in (("a", "b", "c"), ("c", "b", "d")):
        load(source, tmp_path / "repository", LoadSpec("renamed", labels=labels, max_sequence_length=20))
        server.serve(tmp_path / "repository")
        assert generate(server, asked("goal", labels[2]), "renamed")[0] == 200
    assert generate(server, asked("goal", "a"), "renamed")[0] == 400
