"""The forward pass of BERT and its kin as ONNX operators, written from the equations of the papers.

Vaswani et al. 2017 (attention, eq. 1), Devlin et al. 2018 (embeddings, pooler), Hendrycks & Gimpel 2016
(GELU), Ba et al. 2016 (layer norm). Dropout is the identity when serving. Shapes: r rows of t tokens, n texts,
h hidden size, a heads of d = h / a. Arithmetic is in float32, whatever the weights are stored as.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from modelmeter.loader.bert import Bert
from modelmeter.loader.layout import Layout, floats, integers

SCALE: Final = ".scale"
"""Ends the name of the scales of a weight that is stored as whole numbers."""


def gelu(x: Var) -> Var:
    """Return x times the normal distribution function of x; ONNX Runtime fuses just this order of steps."""
    doubled = op.add(op.erf(op.div(x, floats(math.sqrt(2.0)))), floats(1.0))
    return op.mul(op.mul(x, doubled), floats(0.5))


def gelu_tanh(x: Var) -> Var:
    """Return the tanh form of GELU that `gelu_new` and `gelu_pytorch_tanh` name."""
    cube = op.mul(op.mul(x, x), x)
    inner = op.mul(floats(math.sqrt(2.0 / math.pi)), op.add(x, op.mul(floats(0.044715), cube)))
    return op.mul(op.mul(floats(0.5), x), op.add(floats(1.0), op.tanh(inner)))


ACTIVATIONS: Final[Mapping[str, Callable[[Var], Var]]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": op.relu,
    "tanh": op.tanh,
    "": lambda x: x,
}


def pooled(bert: Bert, texts: Layout, states: Var) -> Var:
    """Return the texts' vectors [n, h], made of their tokens' states as the checkpoint says."""
    return texts.mean(states) if bert.pooling == "mean" else texts.first(states)


def unit(vectors: Var) -> Var:
    """Scale vectors to the length 1."""
    # Not ReduceL2, which newer opsets write in another way: spox does not bring two of them to one graph.
    length = op.sqrt(op.reduce_sum(op.mul(vectors, vectors), integers(-1), keepdims=True))
    return op.div(vectors, op.max([length, floats(1e-12)]))


class Encoder:
    """Adds the forward pass of one checkpoint to a graph; weights are named as in weights.py."""

    def __init__(self, bert: Bert, weights: Mapping[str, Var]) -> None:
        self.bert = bert
        self.scales = {name.removesuffix(SCALE): weight for name, weight in weights.items() if name.endswith(SCALE)}
        self.weights = {
            name: weight if name in self.scales else op.cast(weight, to=np.float32) for name, weight in weights.items()
        }

    def embed(self, texts: Layout) -> Var:
        """Return unit sentence embeddings [n, h]."""
        return unit(pooled(self.bert, texts, self.states(texts)))

    def classify(self, texts: Layout) -> Var:
        """Return the classifier's logits [n, classes]."""
        x = texts.first(self.states(texts))
        for number, step in enumerate(self.bert.family.head):
            x = ACTIVATIONS[step.activation](self._project(x, f"head.{number}"))
        return x

    def states(self, texts: Layout) -> Var:
        """Return the last layer's states [r, t, h]."""
        x = self._norm(
            op.add(self._words(texts.tokens), texts.positions(self.weights["embeddings.position"])), "embeddings.norm"
        )
        mask = texts.mask()
        for layer in range(self.bert.layers):
            x = self._layer(x, mask, f"layer.{layer}")
        return x

    def _words(self, tokens: Var) -> Var:
        """Return the tokens' rows of the embeddings; what stands for no token is never looked at."""
        name, present = "embeddings.word", op.max([tokens, op.const(np.int32(0))])
        words = op.gather(self.weights[name], present)
        if name not in self.scales:
            return words
        return op.mul(op.cast(words, to=np.float32), op.gather(self.scales[name], present))

    def _layer(self, x: Var, mask: Var, prefix: str) -> Var:
        context = self._attend(self._project(x, f"{prefix}.qkv"), mask)
        x = self._norm(op.add(x, self._project(context, f"{prefix}.attention")), f"{prefix}.attention.norm")
        inner = ACTIVATIONS[self.bert.activation](self._project(x, f"{prefix}.up"))
        return self._norm(op.add(x, self._project(inner, f"{prefix}.down")), f"{prefix}.norm")

    def _project(self, x: Var, name: str) -> Var:
        """x W + b."""
        weight, bias = f"{name}.weight", self.weights[f"{name}.bias"]
        if weight not in self.scales:
            return op.add(op.matmul(x, self.weights[weight]), bias)
        # ONNX Runtime fuses just these steps: x is rounded by the largest of its numbers, whatever texts they are of.
        rounded, scale, zero = op.dynamic_quantize_linear(x)
        product = op.cast(op.matmul_integer(rounded, self.weights[weight], zero), to=np.float32)
        return op.add(op.mul(product, op.mul(scale, self.scales[weight])), bias)

    def _norm(self, x: Var, name: str) -> Var:
        """Shift and scale the last axis to mean 0 and variance 1, then by weight and bias."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return op.layer_normalization(x, weight, bias, axis=-1, epsilon=self.bert.epsilon)[0]

    def _attend(self, qkv: Var, mask: Var) -> Var:
        """softmax(q k^T / sqrt(d)) v for each head: [r, t, 3h], mask [r, 1, 1 or t, t] -> [r, t, h]."""
        h, a = self.bert.hidden_size, self.bert.heads
        q, k, v = op.split(qkv, integers(h, h, h), outputs_count=3, axis=-1)
        q = op.mul(self._by_head(q, [0, 2, 1, 3]), floats((h // a) ** -0.5))
        scores = op.add(op.matmul(q, self._by_head(k, [0, 2, 3, 1])), mask)
        context = op.matmul(op.softmax(scores, axis=-1), self._by_head(v, [0, 2, 1, 3]))
        return op.reshape(op.transpose(context, perm=[0, 2, 1, 3]), integers(0, 0, h))

    def _by_head(self, x: Var, order: list[int]) -> Var:
        """[r, t, h] -> [r, t, a, d] in another order; 0 keeps what a size is."""
        h, a = self.bert.hidden_size, self.bert.heads
        return op.transpose(op.reshape(x, integers(0, 0, a, h // a)), perm=order)
