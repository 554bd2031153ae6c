"""Triton model: tokens -> score and probability, by the ONNX file that lies beside this file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .session import OUTPUTS, Session, use_vendored

INPUTS = ("text_tokens", "label_tokens", "label_index")


class TritonPythonModel:
    """Loaded by Triton's Python backend from `1/model.py`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start a session."""
        folder = Path(__file__).parent
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        use_vendored(folder / "vendor", settings["python"])
        self.session = Session(folder / "model.onnx", settings["instances"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run all requests of a dynamic batch at once, whatever their lengths."""
        inputs = [[_input(request, name) for request in requests] for name in INPUTS]
        texts, labels = (_sequences(batch) for batch in inputs[:2])
        columns = self.session.score(texts, labels, np.concatenate(inputs[2]))
        ends = np.cumsum([len(index) for index in inputs[2]])[:-1]
        answers = zip(*(np.split(column, ends) for column in columns), strict=True)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(OUTPUTS, answer, strict=True)])
            for answer in answers
        ]


def _input(request: Any, name: str) -> Any:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy()


def _sequences(batches: list[Any]) -> list[Any]:
    """Return the rows of all batches without their padding."""
    return [row[row >= 0] for batch in batches for row in batch]
