"""Triton model: text and label -> tokens (int32, padded with -1) and the label's place among the known."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils

from .batching import pad

# WordPiece takes longer words for unknown, and the tokens of other kinds are shorter on average: so many characters,
# a space among them, hold a token. The rest of a text would be cut anyway, and to look at 10 MB of it takes 10 s that
# other requests wait.
CHARACTERS_PER_TOKEN: Final = 101


class TritonPythonModel:
    """Loaded by Triton's Python backend from `1/model.py`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the tokenizer that lies beside this file."""
        folder = Path(__file__).parent
        # The stock image has no tokenizers: the loader put it here. An installed one is preferred.
        sys.path.append(str(folder / "vendor"))
        from tokenizers import Tokenizer

        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(settings["max_sequence_length"])
        self.characters_limit: int = CHARACTERS_PER_TOKEN * settings["max_sequence_length"]
        self.label_index = {label: index for index, label in enumerate(settings["labels"])}
        self.lengths: list[int] = settings["lengths"]
        self.only_known_labels: bool = settings["scorer"] != "similarity"

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself: its rows already form a batch."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        texts, labels = _strings(request, "text"), _strings(request, "label")
        unknown = sorted(set(labels) - self.label_index.keys())
        if self.only_known_labels and unknown:
            known = ", ".join(self.label_index)
            message = f"label {unknown[0]!r} is not one of the model's classes: {known}"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
        index = np.array([[self.label_index.get(label, -1)] for label in labels], np.int32)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("text_tokens", self._tokens(texts)),
                pb_utils.Tensor("label_tokens", self._tokens(labels)),
                pb_utils.Tensor("label_index", index),
            ]
        )

    def _tokens(self, strings: list[str]) -> Any:
        cut = [string[: self.characters_limit] for string in strings]
        return pad([np.array(encoding.ids, np.int32) for encoding in self.tokenizer.encode_batch(cut)], self.lengths)


def _strings(request: Any, name: str) -> list[str]:
    raw = pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
    return [value.decode("utf-8", errors="replace") for value in raw]
