"""What a user of Triton sends, and what comes back."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, NamedTuple

import numpy as np
from tritonclient import grpc

from tests.cluster.triton import Triton


class Answer(NamedTuple):
    """The HTTP status, and the body."""

    status: int
    body: dict[str, Any]


class Asked(NamedTuple):
    """One row: how well does the label fit the text?"""

    model: str
    text: str
    label: str

    @property
    def body(self) -> bytes:
        """That of a request to /generate."""
        return json.dumps({"text": self.text, "label": self.label}).encode()


def generate(url: str, asked: Asked) -> Answer:
    """POST /v2/models/MODEL/generate."""
    return post(url, f"{asked.model}/generate", asked.body)


def post(url: str, path: str, body: bytes) -> Answer:
    """POST /v2/models/PATH."""
    request = urllib.request.Request(f"{url}/v2/models/{path}", body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, json.load(response))
    except urllib.error.HTTPError as error:
        return Answer(error.code, json.load(error))


def together(url: str, cases: Iterable[Asked]) -> list[Answer]:
    """Ask all at the same moment, each from a connection of its own; the answers in the order of the cases."""
    cases = list(cases)
    start = Barrier(len(cases))

    def one(asked: Asked) -> Answer:
        start.wait()
        return generate(url, asked)

    with ThreadPoolExecutor(len(cases)) as pool:
        return list(pool.map(one, cases))


def infer(server: Triton, model: str, texts: list[str], labels: list[str]) -> tuple[Any, Any]:
    """Scores and probabilities of a batch, by gRPC; each of shape (rows, 1)."""
    with grpc.InferenceServerClient(f"127.0.0.1:{server.ports.grpc}") as client:
        answer = client.infer(model, [_strings("text", texts), _strings("label", labels)])
    return answer.as_numpy("score"), answer.as_numpy("probability")


def executions(url: str, model: str) -> int:
    """How often a model's encoder ran."""
    with urllib.request.urlopen(f"{url}/v2/models/{model}-bert/stats", timeout=10) as response:
        return int(json.load(response)["model_stats"][0]["execution_count"])


def _strings(name: str, values: list[str]) -> grpc.InferInput:
    """A tensor of one string per row."""
    tensor = grpc.InferInput(name, [len(values), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value.encode()] for value in values], dtype=np.object_))
    return tensor
