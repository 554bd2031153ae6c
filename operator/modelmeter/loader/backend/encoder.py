"""BERT's forward pass in numpy, written from the equations of the papers.

Vaswani et al. 2017 (attention, eq. 1), Devlin et al. 2018 (embeddings, pooler), Hendrycks & Gimpel 2016
(GELU), Ba et al. 2016 (layer norm). Dropout is the identity when serving. Shapes: n sequences, t tokens,
h hidden size, a heads of d = h / a.

Arithmetic is in float32, and in place where an array is ours: a big one costs more to make than to fill.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .batching import Ints, pad, passes

Floats = npt.NDArray[np.float32]

# erf(x) = x P(x^2) / Q(x^2) on [-4, 4]: numerator and denominator, highest power first, as in Eigen and XLA.
ERF_NUMERATOR: Final = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
ERF_DENOMINATOR: Final = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)


def erf(x: Floats) -> Floats:
    """Return the error function, off by less than 1e-6.

    numpy has none, and scipy is not in Triton's image.
    """
    x = np.clip(x, np.float32(-4.0), np.float32(4.0))
    square = x * x
    x *= _polynomial(ERF_NUMERATOR, square)
    x /= _polynomial(ERF_DENOMINATOR, square)
    return x


def gelu(x: Floats) -> Floats:
    """Return x times the normal distribution function of x, exact (erf) form."""
    share = erf(x * np.float32(0.5**0.5))
    share += np.float32(1.0)
    share *= np.float32(0.5)
    share *= x
    return share


def gelu_tanh(x: Floats) -> Floats:
    """Return the tanh form of GELU that `gelu_new` and `gelu_pytorch_tanh` name."""
    inner: Floats = np.float32((2.0 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x * x * x)
    halves: Floats = np.tanh(inner)
    return np.float32(0.5) * x * (np.float32(1.0) + halves)


def relu(x: Floats) -> Floats:
    """Return max(x, 0)."""
    return np.maximum(x, np.float32(0.0))


ACTIVATIONS: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": relu,
}


def layer_norm(x: Floats, weight: Floats, bias: Floats, epsilon: float) -> Floats:
    """Shift and scale the last axis to mean 0 and variance 1, then by weight and bias."""
    x = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(x).mean(axis=-1, keepdims=True)
    x /= np.sqrt(variance + np.float32(epsilon))
    x *= weight
    x += bias
    return x


def softmax(x: Floats) -> Floats:
    """Return the softmax over the last axis; -inf has the share 0."""
    x = x - x.max(axis=-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=-1, keepdims=True)
    return x


@dataclass(frozen=True)
class Shape:
    """What the weights alone do not say about an encoder."""

    layers: int
    heads: int
    layer_norm_epsilon: float
    activation: str
    pooling: str


class Encoder:
    """An encoder of one checkpoint; weights as `modelmeter.loader.bert` names and lays them out."""

    def __init__(self, shape: Shape, weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self.shape = shape
        # fp32 weights stay mapped from the file; others are widened here, once.
        self.weights = {name: np.asarray(weight, dtype=np.float32) for name, weight in weights.items()}
        self.activation = ACTIVATIONS[shape.activation]
        self.hidden_size = self.weights["embeddings.word"].shape[1]

    def embed(self, sequences: Sequence[Ints]) -> Floats:
        """Return unit sentence embeddings [n, h]."""
        pooled = self._pool(sequences, self.mean if self.shape.pooling == "mean" else self.first)
        unit: Floats = pooled / np.maximum(np.linalg.norm(pooled, axis=-1, keepdims=True), np.float32(1e-12))
        return unit

    def classify(self, sequences: Sequence[Ints]) -> Floats:
        """Return the classifier's logits [n, classes]."""
        return self._project(np.tanh(self._project(self._pool(sequences, self.first), "pooler")), "classifier")

    def hidden(self, tokens: Ints) -> Floats:
        """Return the last layer's states [n, t, h] for padded tokens [n, t].

        Between the layers they are [n t, h], so that each projection is one product and not one a sequence.
        """
        w = self.weights
        mask = np.where(tokens >= 0, np.float32(0.0), np.float32(-np.inf))[:, None, None, :]
        # Sentences alone have token type 0 throughout; the loader has added its row to the positions.
        x = w["embeddings.word"][np.maximum(tokens, 0)] + w["embeddings.position"][: tokens.shape[1]]
        x = x.reshape(-1, self.hidden_size)
        x = self._norm(x, "embeddings.norm")
        for layer in range(self.shape.layers):
            x = self._layer(x, mask, f"layer.{layer}")
        return x.reshape(*tokens.shape, self.hidden_size)

    @staticmethod
    def mean(hidden: Floats, tokens: Ints) -> Floats:
        """Return the mean of the tokens' states: [n, t, h], [n, t] -> [n, h]."""
        present = (tokens >= 0).astype(np.float32)
        mean: Floats = np.einsum("nth,nt->nh", hidden, present) / present.sum(axis=1, keepdims=True)
        return mean

    @staticmethod
    def first(hidden: Floats, tokens: Ints) -> Floats:
        """Return the state of the first token, [CLS]."""
        return hidden[:, 0]

    def _layer(self, x: Floats, mask: Floats, prefix: str) -> Floats:
        context = self._attend(self._project(x, f"{prefix}.qkv"), mask)
        x = self._norm(x + self._project(context, f"{prefix}.attention"), f"{prefix}.attention.norm")
        inner = self.activation(self._project(x, f"{prefix}.up"))
        return self._norm(x + self._project(inner, f"{prefix}.down"), f"{prefix}.norm")

    def _project(self, x: Floats, name: str) -> Floats:
        """x W + b."""
        projected: Floats = x @ self.weights[f"{name}.weight"]
        projected += self.weights[f"{name}.bias"]
        return projected

    def _norm(self, x: Floats, name: str) -> Floats:
        return layer_norm(
            x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], self.shape.layer_norm_epsilon
        )

    def _attend(self, qkv: Floats, mask: Floats) -> Floats:
        """softmax(q k^T / sqrt(d)) v for each head: [n t, 3h], mask [n, 1, 1, t] -> [n t, h]."""
        n, t = mask.shape[0], mask.shape[-1]
        heads, h = self.shape.heads, self.hidden_size
        q, k, v = qkv.reshape(n, t, 3, heads, h // heads).transpose(2, 0, 3, 1, 4)
        scores = (q * np.float32((h // heads) ** -0.5)) @ k.swapaxes(-1, -2)
        scores += mask
        context: Floats = softmax(scores) @ v
        return context.transpose(0, 2, 1, 3).reshape(n * t, h)

    def _pool(self, sequences: Sequence[Ints], pool: Callable[[Floats, Ints], Floats]) -> Floats:
        pooled = np.empty((len(sequences), self.hidden_size), np.float32)
        for rows in passes([len(sequence) for sequence in sequences]):
            tokens = pad([sequences[row] for row in rows])
            pooled[rows] = pool(self.hidden(tokens), tokens)
        return pooled


def _polynomial(coefficients: Sequence[float], x: Floats) -> Floats:
    """Evaluate by Horner's rule, highest power first, in float32."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += np.float32(coefficient)
    return total
