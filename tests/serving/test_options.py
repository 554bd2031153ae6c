"""What a server does that was asked for more than the usual: whole numbers, a cache, a queue's end, restricted APIs."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from modelmeter.api.serving import Serving
from modelmeter.cluster.pods import Unread, new_session
from modelmeter.cluster.statistics import read_statistics
from modelmeter.control.counting import _counters
from modelmeter.loader.load import load
from modelmeter.loader.spec import LoadSpec
from modelmeter.meter.counting import Counters
from modelmeter.provision.server_options import KEY_HEADER, KEY_VARIABLE, server_options
from tests.cluster.ports import free_ports
from tests.cluster.triton import Ports, Triton, minilm_directory
from tests.serving.client import Asked, generate, infer, together
from tests.serving.models import LABELS, TOKENS, Model, encoders

pytestmark = pytest.mark.e2e

ROUNDED, IMPATIENT = "rounded", "impatient"
TOLERANCE = 0.15
"""Of probabilities of the real encoder, with weights and states rounded to 7 and 8 bits."""
UID = "0f0f0f0f-1111"
RESTRICTED = ["model-config", "model-repository", "shared-memory", "trace", "logging"]
SERVING = Serving.model_validate({"responseCache": {"size": "4Mi"}, "restrictedApis": RESTRICTED})
TEXTS = ["The striker scored twice in the final.", "Boil the pasta in salted water.", "足球 ⚽ naïve café"]


@pytest.fixture(scope="module")
def model() -> Model:
    """The real encoder, for its reference."""
    return encoders()[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton with the options that the operator gives it, and two models."""
    folder = tmp_path_factory.mktemp("options")
    common = {"labels": LABELS[:2], "max_sequence_length": TOKENS}
    specs = (
        LoadSpec(ROUNDED, precision="int8", instance_count=2, response_cache=True, **common),  # type: ignore[arg-type]
        LoadSpec(IMPATIENT, queue_timeout_milliseconds=1, max_batch_size=1, **common),  # type: ignore[arg-type]
    )
    for spec in specs:
        load(f"file://{minilm_directory()}", folder / spec.name, spec)
    # As the kubelet puts the pod's UID in.
    options = [option.replace(f"$({KEY_VARIABLE})", UID) for option in server_options(SERVING)]
    ports = Ports(*itertools.islice(free_ports(), 3))
    with Triton(folder / "triton", [folder / spec.name for spec in specs], ports, options=options) as running:
        yield running


async def counters(server: Triton) -> Counters:
    """What the operator reads of the rounded model."""
    async with new_session() as session:
        statistics = await read_statistics(session, "127.0.0.1", server.ports.http)
    assert not isinstance(statistics, Unread)
    found = _counters(statistics, ROUNDED)
    assert isinstance(found, Counters)
    return found


def get(server: Triton, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """The status and the body of a GET, or of a POST of the model repository's index."""
    body = b"{}" if path == "repository/index" else None
    request = urllib.request.Request(f"{server.url}/v2/{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("text", TEXTS)
def test_whole_numbers_of_8_bits_answer_near_the_reference(server: Triton, model: Model, text: str) -> None:
    answer = generate(server.url, Asked(ROUNDED, text, "cooking"))
    assert answer.status == 200, answer
    assert answer.body["probability"] == pytest.approx(model.expected(text, "cooking").probability, abs=TOLERANCE)


async def test_what_is_in_the_cache_is_answered_alike_and_counted_as_an_inference(server: Triton) -> None:
    texts = ["of three texts", "in one request", "each is counted"]
    first = infer(server, ROUNDED, texts, ["sports"] * 3)
    before = await counters(server)
    for _ in range(4):
        assert [part.tolist() for part in infer(server, ROUNDED, texts, ["sports"] * 3)] == [
            part.tolist() for part in first
        ]
    after = await counters(server)
    assert (after.answered - before.answered, after.inferences - before.inferences) == (4, 12)
    assert (after.executions, after.executed, after.busy_nanoseconds) == (
        before.executions, before.executed, before.busy_nanoseconds,
    )  # fmt: skip
    # Another order is another question.
    other, _ = infer(server, ROUNDED, texts[::-1], ["sports"] * 3)
    assert (await counters(server)).executions == before.executions + 1
    assert other[:, 0] == pytest.approx(first[0][::-1, 0], abs=TOLERANCE)


def test_who_waited_too_long_is_refused_and_the_others_are_answered_right(server: Triton, model: Model) -> None:
    cases = [Asked(IMPATIENT, "goal " * 60, label) for label in LABELS[:2]] * 4
    answers = together(server.url, cases)
    refused = [answer for answer in answers if answer.status != 200]
    assert 0 < len(refused) < len(cases)
    for answer in refused:
        assert answer.status == 400
        assert "Request timeout expired" in answer.body["error"]
    for asked, answer in zip(cases, answers, strict=True):
        if answer.status == 200:
            assert answer.body["score"] == pytest.approx(model.expected(asked.text, asked.label).score, abs=1e-4)


@pytest.mark.parametrize(
    "path",
    ["repository/index", "systemsharedmemory/status", "cudasharedmemory/status", "logging", "trace/setting",
     f"models/{ROUNDED}/config"],
)  # fmt: skip
def test_a_restricted_api_wants_the_key_of_the_pod(server: Triton, path: str) -> None:
    status, body = get(server, path, {})
    assert status == 403
    assert f"This API is restricted, expecting header '{KEY_HEADER}'" in body["error"]
    assert get(server, path, {KEY_HEADER: "guessed"})[0] == 403
    assert get(server, path, {KEY_HEADER: UID})[0] == 200


def test_over_grpc_it_wants_it_too_and_statistics_stay_open(server: Triton) -> None:
    with grpc.InferenceServerClient(f"127.0.0.1:{server.ports.grpc}") as client:
        with pytest.raises(InferenceServerException, match=f"triton-grpc-protocol-{KEY_HEADER}"):
            client.get_model_repository_index()
        client.get_model_repository_index(headers={f"triton-grpc-protocol-{KEY_HEADER}": UID})
        assert client.get_inference_statistics(ROUNDED).model_stats
        assert client.is_model_ready(ROUNDED)
