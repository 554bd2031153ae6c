"""What Triton answers to a request that cannot be answered: a status, and a text that says what is wrong.

4xx where Triton looks at the request's tensors. A body that its front end cannot parse gives 500: Triton takes it for
an error of its own (triton-inference-server/server#8762), and no gateway of ours stands before it.
"""

from __future__ import annotations

import json

import pytest

from tests.cluster.triton import Triton
from tests.serving.client import Asked, generate, post
from tests.serving.models import ENCODER

pytestmark = pytest.mark.e2e

GOOD = Asked(ENCODER, "goal", "sports")


def tensors(data_type: str = "BYTES", text: object = ("goal",), rows: int = 1, label_rows: int = 1) -> bytes:
    """A body for /infer."""
    label = {"name": "label", "shape": [label_rows, 1], "datatype": "BYTES", "data": ["sports"] * label_rows}
    texts = {"name": "text", "shape": [rows, 1], "datatype": data_type, "data": text}
    return json.dumps({"inputs": [texts, label]}).encode()


GENERATE = [
    ({}, 400, "missing required input(s) ['text','label']"),
    ({"label": "sports"}, 400, "missing required input(s) ['text']"),
    ({"text": "goal"}, 400, "missing required input(s) ['label']"),
    ({"text": [], "label": []}, 400, "expected 1 string elements"),
    ({"text": ["goal", "salt"], "label": "sports"}, 400, "input 'text' batch size does not match other inputs"),
    ({"text": 5, "label": "sports"}, 500, "attempt to access JSON non-string as string"),
    ({"text": None, "label": "sports"}, 500, "attempt to access JSON non-string as string"),
    ({"text": "goal", "label": {"name": "sports"}}, 500, "attempt to access JSON non-string as string"),
    ([], 500, "attempt to get members for non-object"),
    (b"", 500, "failed to parse the request JSON buffer: The document is empty"),
    (b"text=goal", 500, "failed to parse the request JSON buffer: Invalid value"),
    (b'{"text": "goal"', 500, "failed to parse the request JSON buffer: Missing a comma or '}'"),
    (b'{"text": "\\ud800", "label": "sports"}', 500, "The surrogate pair in string is invalid"),
]
INFER = [
    (tensors("INT32", [4]), 400, "input 'text' data-type is 'INT32', but model 'sentences' expects 'BYTES'"),
    (tensors(rows=2, text=["goal"]), 400, "batch size does not match other inputs"),
    (tensors(rows=2, text=["goal", "salt"]), 400, "batch size does not match other inputs"),
    (tensors(rows=33, label_rows=33, text=["goal"] * 33), 400, "batch-size must be <= 32"),
    (tensors(text=[4]), 500, "attempt to access JSON non-string as string"),
    (b"inputs", 500, "failed to parse the request JSON buffer"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [*((f"{ENCODER}/generate", *row) for row in GENERATE), *((f"{ENCODER}/infer", *row) for row in INFER)],
)
def test_a_bad_request_is_told_what_is_wrong(server: Triton, path: str, body: object, status: int, says: str) -> None:
    answer = post(server.url, path, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert says in answer.body["error"]
    assert answer.status == status
    assert generate(server.url, GOOD).status == 200


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "xlm-roberta"])
def test_a_classifier_answers_for_its_classes_only(server: Triton, name: str) -> None:
    answer = generate(server.url, Asked(name, "goal pasta", "weather"))
    assert "label 'weather' is not one of the model's classes: sports, cooking, other" in answer.body["error"]
    assert answer.status == 400


def test_one_bad_row_of_a_batch_refuses_its_request_alone(server: Triton) -> None:
    rows = {"text": ["goal", "salt"], "label": ["sports", "weather"]}
    assert post(server.url, "bert/generate", json.dumps(rows).encode()).status == 400
    rows["label"][1] = "cooking"
    assert post(server.url, "bert/generate", json.dumps(rows).encode()).status == 200


def test_a_model_that_is_not_there_is_not_found(server: Triton) -> None:
    answer = generate(server.url, Asked("nothing", "goal", "sports"))
    assert (answer.status, answer.body["error"]) == (404, "Request for unknown model: 'nothing' is not found")


def test_what_is_no_unicode_is_answered(server: Triton) -> None:
    assert post(server.url, f"{ENCODER}/generate", b'{"text": "\xff\xfe", "label": "sports"}').status == 200
