"""The files that all three run, read as the usual way and the floor need them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

NAME: Final = "bench"
LABELS: Final = ("shoes", "phones", "books", "garden")
INPUTS: Final = ("text_tokens", "label_tokens", "label_index")
OUTPUTS: Final = ("score", "probability")


def tokenizer(repository: Path) -> Tokenizer:
    """The tokenizer, which cuts and does not pad."""
    folder = repository / f"{NAME}-tokenizer" / "1"
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.no_padding()
    made.enable_truncation(json.loads((folder / "settings.json").read_text())["max_sequence_length"])
    return made


def session(repository: Path) -> Any:
    """The encoder under onnxruntime's own settings: a thread for each processor."""
    file = repository / f"{NAME}-bert" / "1" / "model.onnx"
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def run(running: Any, rows: list[list[int]], labels: list[str]) -> tuple[Any, Any]:
    """Scores and probabilities of rows of tokens, padded to the longest, for labels that are known."""
    tokens = np.full((len(rows), max(map(len, rows))), -1, np.int32)
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = row
    places = np.array([[LABELS.index(label)] for label in labels], np.int32)
    inputs = (tokens, np.zeros((len(rows), 1), np.int32), places)
    score, probability = running.run(OUTPUTS, dict(zip(INPUTS, inputs, strict=True)))
    return score[:, 0], probability[:, 0]
