"""One gRPC connection to a Triton: behind a Service that is one replica, whichever takes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from modelmeter.api.names import bert_name
from modelmeter.errors import BenchmarkError

LABELS: Final = "labels"
"""Parameter of the ensemble's configuration: a JSON list."""
ANY_LABEL: Final = "benchmark"
CONNECT_ATTEMPTS: Final = 10
CONNECT_PAUSE_SECONDS: Final = 2.0
CALL_SECONDS: Final = 10.0
FAILURE_LENGTH: Final = 300


class Executed(NamedTuple):
    """Texts that the BERT step ran, and in how many executions."""

    inferences: int
    executions: int


class Server:
    """Asks one model with texts and labels, in turn; as an async context manager it is connected inside the block."""

    def __init__(self, address: str, model: str, timeout_seconds: float) -> None:
        """`address` is HOST:PORT; a request without an answer after `timeout_seconds` has failed."""
        self._address = address
        self._model = model
        self._timeout = timeout_seconds
        self._requests: list[list[InferInput]] = []

    async def __aenter__(self) -> Self:
        self._client = InferenceServerClient(self._address)
        try:
            await self._wait_ready()
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def prepare(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Ask with these texts from now on; without labels with the model's own, where it has any."""
        known = tuple(labels) or await self._labels() or (ANY_LABEL,)
        self._requests = [
            [_strings("text", text), _strings("label", known[number % len(known)])] for number, text in enumerate(texts)
        ]

    async def ask(self, number: int) -> str:
        """Send a request of one text; answers why there was no answer, or empty."""
        inputs = self._requests[number % len(self._requests)]
        try:
            await self._client.infer(self._model, inputs, client_timeout=self._timeout)
        except InferenceServerException as error:
            return str(error)[:FAILURE_LENGTH]
        return ""

    async def executed(self) -> Executed | None:
        """What its BERT step has done so far; None where it has none, or does not say."""
        try:
            answer = await self._client.get_inference_statistics(
                bert_name(self._model), as_json=True, client_timeout=CALL_SECONDS
            )
        except InferenceServerException:
            return None
        stats = answer.get("model_stats", [])
        return Executed(_sum(stats, "inference_count"), _sum(stats, "execution_count"))

    async def _wait_ready(self) -> None:
        said = ""
        for _ in range(CONNECT_ATTEMPTS):
            try:
                if await self._client.is_model_ready(self._model, client_timeout=CALL_SECONDS):
                    return
                said = f"model {self._model} is not ready"
            except InferenceServerException as error:
                said = str(error)[:FAILURE_LENGTH]
            await asyncio.sleep(CONNECT_PAUSE_SECONDS)
        raise BenchmarkError(
            f"{self._address}: {said}",
            "give the address of Triton's gRPC port (8001) and the model's name, and let a NetworkPolicy pass it",
        )

    async def _labels(self) -> tuple[str, ...]:
        try:
            answer = await self._client.get_model_config(self._model, as_json=True, client_timeout=CALL_SECONDS)
            text = answer["config"]["parameters"][LABELS]["string_value"]
            return tuple(str(label) for label in json.loads(text))
        except (InferenceServerException, KeyError, ValueError):
            # A repository that an older loader wrote says nothing.
            return ()


def _strings(name: str, value: str) -> InferInput:
    tensor = InferInput(name, [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value.encode()]], dtype=np.object_))
    return tensor


def _sum(stats: list[dict[str, Any]], field: str) -> int:
    """Over the model's versions; protobuf's JSON leaves out what is 0, and writes 64 bits as a string."""
    return sum(int(entry.get(field, 0)) for entry in stats)
