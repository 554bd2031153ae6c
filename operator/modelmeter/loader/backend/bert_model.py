"""Triton model: tokens -> score and probability."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from . import tensors
from .encoder import Encoder, Shape
from .scoring import Rows, make_scorer


class TritonPythonModel:
    """Loaded by Triton's Python backend from `1/model.py`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Map the weights that lie beside this file and embed the known labels."""
        folder = Path(__file__).parent
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        stored = tensors.read(folder / "weights.safetensors")
        encoder = Encoder(Shape(**settings["shape"]), {name: tensor.make() for name, tensor in stored.items()})
        known_labels = [np.array(tokens, np.int32) for tokens in settings["label_tokens"]]
        self.score = make_scorer(settings["scorer"], encoder, known_labels)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all requests of a dynamic batch at once, whatever their lengths."""
        inputs = [[_input(request, name) for request in requests] for name in INPUTS]
        texts, labels = (_sequences(batch) for batch in inputs[:2])
        scores = self.score(Rows(texts, labels, np.concatenate([index[:, 0] for index in inputs[2]])))
        ends = np.cumsum([len(index) for index in inputs[2]])[:-1]
        columns = [np.split(values[:, None], ends) for values in (scores.score, scores.probability)]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("score", score), pb_utils.Tensor("probability", probability)])
            for score, probability in zip(*columns, strict=True)
        ]


INPUTS = ("text_tokens", "label_tokens", "label_index")


def _input(request: Any, name: str) -> Any:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


def _sequences(batches: list[Any]) -> list[Any]:
    """Return the rows of all batches without their padding."""
    return [row[row >= 0] for batch in batches for row in batch]
