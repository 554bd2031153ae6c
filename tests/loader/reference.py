"""BERT once more, as slowly and plainly as the papers put it: the loader's forward pass must agree.

One sequence at a time, no padding, no mask, float64, the checkpoint's own names. Shares nothing with the product.
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Vector = npt.NDArray[np.float64]

# One step of the softmax that the encoders were trained with: 20 times the cosine.
SCALE = 20.0


ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "gelu": lambda x: x * 0.5 * (1.0 + math.erf(x / math.sqrt(2.0))),
    "gelu_new": lambda x: 0.5 * x * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))),
}


class Reference:
    """A checkpoint's files, computed by the book."""

    def __init__(self, folder: Path, max_tokens: int = 128) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        stored = load_file(folder / "model.safetensors")
        self.weights = {
            re.sub("gamma$", "weight", re.sub("beta$", "bias", name.removeprefix("bert."))): array.astype(np.float64)
            for name, array in stored.items()
        }
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)

    def score(self, text: str, label: str) -> float:
        """Cosine of the two mean-pooled sentence embeddings."""
        a, b = self.mean(text), self.mean(label)
        return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))

    def probability(self, text: str, label: str, labels: list[str]) -> float:
        """Softmax over the labels, the given one included."""
        scores = {name: self.score(text, name) for name in {*labels, label}}
        if not labels:
            return 1.0 / (1.0 + math.exp(-SCALE * scores[label]))
        return math.exp(SCALE * scores[label]) / sum(math.exp(SCALE * score) for score in scores.values())

    def logits(self, text: str) -> Vector:
        """The classifier over tanh of the pooler over [CLS]."""
        pooled = np.tanh(self._linear("pooler.dense", self.states(text)[0]))
        return self._linear("classifier", pooled)

    def mean(self, text: str) -> Vector:
        """Mean of the last layer's states."""
        states = self.states(text)
        total = np.zeros_like(states[0])
        for state in states:
            total += state
        return total / len(states)

    def states(self, text: str) -> list[Vector]:
        """The last layer's state of each token."""
        w = self.weights
        states = []
        for position, token in enumerate(self.tokenizer.encode(text).ids):
            vector = w["embeddings.word_embeddings.weight"][token]
            vector = vector + w["embeddings.position_embeddings.weight"][position]
            vector = vector + w["embeddings.token_type_embeddings.weight"][0]
            states.append(self._norm("embeddings.LayerNorm", vector))
        for layer in range(self.config["num_hidden_layers"]):
            states = self._layer(f"encoder.layer.{layer}", states)
        return states

    def _layer(self, prefix: str, states: list[Vector]) -> list[Vector]:
        contexts = self._attention(f"{prefix}.attention.self", states)
        output = []
        for state, context in zip(states, contexts, strict=True):
            attended = self._linear(f"{prefix}.attention.output.dense", context)
            middle = self._norm(f"{prefix}.attention.output.LayerNorm", state + attended)
            inner = self._linear(f"{prefix}.intermediate.dense", middle)
            activation = ACTIVATIONS[self.config["hidden_act"]]
            outer = self._linear(f"{prefix}.output.dense", np.array([activation(x) for x in inner]))
            output.append(self._norm(f"{prefix}.output.LayerNorm", middle + outer))
        return output

    def _attention(self, prefix: str, states: list[Vector]) -> list[Vector]:
        queries = [self._linear(f"{prefix}.query", state) for state in states]
        keys = [self._linear(f"{prefix}.key", state) for state in states]
        values = [self._linear(f"{prefix}.value", state) for state in states]
        size = self.config["hidden_size"] // self.config["num_attention_heads"]
        contexts = []
        for query in queries:
            parts = []
            for head in range(self.config["num_attention_heads"]):
                cut = slice(head * size, (head + 1) * size)
                exponents = [math.exp(query[cut] @ key[cut] / math.sqrt(size)) for key in keys]
                shares = [exponent / sum(exponents) for exponent in exponents]
                parts.append(sum(share * value[cut] for share, value in zip(shares, values, strict=True)))
            contexts.append(np.concatenate(parts))
        return contexts

    def _linear(self, name: str, vector: Vector) -> Vector:
        return self.weights[f"{name}.weight"] @ vector + self.weights[f"{name}.bias"]

    def _norm(self, name: str, vector: Vector) -> Vector:
        mean = sum(vector) / len(vector)
        variance = sum((vector - mean) ** 2) / len(vector)
        scaled = (vector - mean) / math.sqrt(variance + self.config["layer_norm_eps"])
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
