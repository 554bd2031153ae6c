"""BERT and its kin once more, as slowly and plainly as the papers put it: the loader's forward pass must agree.

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


# What the parts of a layer, in the order of BERT's, are called by DistilBERT.
BERT_PARTS = (
    "attention.self.query", "attention.self.key", "attention.self.value",
    "attention.output.dense", "attention.output.LayerNorm",
    "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip
DISTILBERT_PARTS = (
    "attention.q_lin", "attention.k_lin", "attention.v_lin",
    "attention.out_lin", "sa_layer_norm",
    "ffn.lin1", "ffn.lin2", "output_layer_norm",
)  # fmt: skip


class Reference:
    """A checkpoint's files, computed by the book."""

    def __init__(self, folder: Path, max_tokens: int = 128) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.weights: dict[str, Vector] = {}
        for name, array in load_file(folder / "model.safetensors").items():
            plain = re.sub(r"^(bert|distilbert|roberta)\.", "", name)
            plain = re.sub("gamma$", "weight", re.sub("beta$", "bias", plain))
            self.weights[plain] = array.astype(np.float64)
        config = self.config
        self.kind = config["model_type"]
        distilled = self.kind == "distilbert"
        self.layers = [
            f"transformer.layer.{i}" if distilled else f"encoder.layer.{i}"
            for i in range(config["n_layers" if distilled else "num_hidden_layers"])
        ]
        self.parts = DISTILBERT_PARTS if distilled else BERT_PARTS
        self.heads = config["n_heads" if distilled else "num_attention_heads"]
        self.activation = ACTIVATIONS[config["activation" if distilled else "hidden_act"]]
        self.epsilon = 1e-12 if distilled else config["layer_norm_eps"]
        # fairseq counts positions from the padding token's number on.
        self.first_position = config["pad_token_id"] + 1 if "roberta" in self.kind else 0
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(max_tokens)
        self.means: dict[str, Vector] = {}

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
        """The classifier's two layers over the first token."""
        first = self.states(text)[0]
        if self.kind == "bert":
            return self._linear("classifier", np.tanh(self._linear("pooler.dense", first)))
        if self.kind == "distilbert":
            return self._linear("classifier", np.maximum(self._linear("pre_classifier", first), 0.0))
        return self._linear("classifier.out_proj", np.tanh(self._linear("classifier.dense", first)))

    def mean(self, text: str) -> Vector:
        """Mean of the last layer's states."""
        if text not in self.means:
            states = self.states(text)
            total = np.zeros_like(states[0])
            for state in states:
                total += state
            self.means[text] = total / len(states)
        return self.means[text]

    def states(self, text: str) -> list[Vector]:
        """The last layer's state of each token."""
        w = self.weights
        states = []
        for position, token in enumerate(self.tokenizer.encode(text).ids):
            vector = w["embeddings.word_embeddings.weight"][token]
            vector = vector + w["embeddings.position_embeddings.weight"][self.first_position + position]
            if self.kind != "distilbert":
                vector = vector + w["embeddings.token_type_embeddings.weight"][0]
            states.append(self._norm("embeddings.LayerNorm", vector))
        for layer in self.layers:
            states = self._layer([f"{layer}.{part}" for part in self.parts], states)
        return states

    def _layer(self, parts: list[str], states: list[Vector]) -> list[Vector]:
        query, key, value, attention, attention_norm, up, down, norm = parts
        contexts = self._attention(query, key, value, states)
        output = []
        for state, context in zip(states, contexts, strict=True):
            attended = self._linear(attention, context)
            middle = self._norm(attention_norm, state + attended)
            inner = self._linear(up, middle)
            outer = self._linear(down, np.array([self.activation(x) for x in inner]))
            output.append(self._norm(norm, middle + outer))
        return output

    def _attention(self, query_name: str, key_name: str, value_name: str, states: list[Vector]) -> list[Vector]:
        queries = [self._linear(query_name, state) for state in states]
        keys = np.array([self._linear(key_name, state) for state in states])
        values = np.array([self._linear(value_name, state) for state in states])
        size = len(states[0]) // self.heads
        contexts = []
        for query in queries:
            parts = []
            for head in range(self.heads):
                cut = slice(head * size, (head + 1) * size)
                exponents = np.exp(keys[:, cut] @ query[cut] / math.sqrt(size))
                parts.append(exponents / exponents.sum() @ values[:, cut])
            contexts.append(np.concatenate(parts))
        return contexts

    def _linear(self, name: str, vector: Vector) -> Vector:
        return self.weights[f"{name}.weight"] @ vector + self.weights[f"{name}.bias"]

    def _norm(self, name: str, vector: Vector) -> Vector:
        mean = sum(vector) / len(vector)
        variance = sum((vector - mean) ** 2) / len(vector)
        scaled = (vector - mean) / math.sqrt(variance + self.epsilon)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
