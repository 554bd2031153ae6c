"""From the encoder's output to (score, probability) of a label, as ONNX operators.

similarity: for sentence encoders. score = cosine of the unit embeddings of text and label.
    probability = softmax over the labels of score / TEMPERATURE. A label that is not among the known ones
    joins them for that softmax. Where no labels are known the rival is an unrelated label, whose cosine is 0:
    the softmax of (score, 0), which is the logistic function of score / TEMPERATURE.
softmax, sigmoid: for checkpoints with a classifier. score = the label's logit; probability = softmax over the
    classes, or, for one class or several that do not exclude each other, the logistic function of the logit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import spox.opset.ai.onnx.v17 as op
from spox import Var

from modelmeter.loader.backend.batching import pad, passes
from modelmeter.loader.bert import Bert
from modelmeter.loader.layout import MASKED, Layout, Padded, floats, integers

# Sentence encoders are trained with the softmax of 20 times the cosine (sentence-transformers' scale).
SCALE: Final = 20.0


class Encoder(Protocol):
    """A forward pass: that of graph.py, or that of an ONNX file of the source."""

    bert: Bert

    def embed(self, texts: Layout) -> Var:
        """Return unit sentence embeddings [n, h]."""

    def classify(self, texts: Layout) -> Var:
        """Return the classifier's logits [n, classes]."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of n texts and labels as tokens, and each label's place among the known ones [n, 1].

    The place is -1 for a label that is not known; the tokens of a known one are not looked at.
    """

    texts: Layout
    labels: Layout
    label_index: Var


@dataclass(frozen=True, slots=True)
class Scores:
    """score and probability, both [n, 1]."""

    score: Var
    probability: Var


def score(encoder: Encoder, rows: Rows, known_labels: Sequence[Sequence[int]]) -> Scores:
    """Add the scorer that the checkpoint's description names."""
    if encoder.bert.scorer == "similarity":
        return _similarity(encoder, rows, known_labels)
    return _classifier(encoder, rows, exclusive=encoder.bert.scorer == "softmax")


def _similarity(encoder: Encoder, rows: Rows, known_labels: Sequence[Sequence[int]]) -> Scores:
    texts = encoder.embed(rows.texts)
    if not known_labels:
        cosine = _cosine(texts, encoder.embed(rows.labels))
        return Scores(cosine, op.sigmoid(op.mul(cosine, floats(SCALE))))
    known = _known(encoder, known_labels)
    cosine = _cosine(texts, _labels(encoder, rows, known))
    rivals = op.mul(op.matmul(texts, op.transpose(known, perm=[1, 0])), floats(SCALE))
    # The given label stands first; where it is also among the known ones it must count once.
    places = op.const(np.arange(len(known_labels), dtype=np.int32))
    others = op.where(op.equal(rows.label_index, places), floats(MASKED), rivals)
    shares = op.softmax(op.concat([op.mul(cosine, floats(SCALE)), others], axis=1), axis=1)
    return Scores(cosine, op.slice(shares, integers(0), integers(1), integers(1)))


def _labels(encoder: Encoder, rows: Rows, known: Var) -> Var:
    """Return the labels' embeddings [n, h]; the encoder runs only if one of the batch is not known."""
    zero = op.const(np.int32(0))
    looked_up = op.gather(known, op.squeeze(op.max([rows.label_index, zero]), integers(1)))

    def computed() -> list[Var]:
        return [op.where(op.greater_or_equal(rows.label_index, zero), looked_up, encoder.embed(rows.labels))]

    all_known = op.greater_or_equal(op.reduce_min(rows.label_index, keepdims=False), zero)
    (labels,) = op.if_(all_known, then_branch=lambda: [op.identity(looked_up)], else_branch=computed)
    return labels


def _known(encoder: Encoder, labels: Sequence[Sequence[int]]) -> Var:
    """Return the known labels' embeddings [k, h]: of constants only, so they are computed when a session starts."""
    tokens = [np.array(label, np.int32) for label in labels]
    groups = list(passes([len(label) for label in labels]))
    parts = [encoder.embed(Padded(op.const(pad([tokens[row] for row in rows])))) for rows in groups]
    order = np.argsort(np.concatenate(groups))
    return op.gather(op.concat(parts, axis=0), integers(*order.tolist()))


def _cosine(a: Var, b: Var) -> Var:
    """Return the cosine of unit vectors, [n, 1]; rounding may carry that of equal ones past 1."""
    cosine = op.reduce_sum(op.mul(a, b), integers(1), keepdims=True)
    return op.clip(cosine, floats(-1.0), floats(1.0))


def _classifier(encoder: Encoder, rows: Rows, exclusive: bool) -> Scores:
    """Every label must be known."""
    logits = encoder.classify(rows.texts)
    logit = op.gather_elements(logits, rows.label_index, axis=1)
    if exclusive:
        return Scores(logit, op.gather_elements(op.softmax(logits, axis=1), rows.label_index, axis=1))
    return Scores(logit, op.sigmoid(logit))
