"""From the encoder's output to (score, probability) of a label.

similarity: for sentence encoders. score = cosine of the unit embeddings of text and label.
    probability = softmax over the labels of score / TEMPERATURE. A label that is not among the known ones
    joins them for that softmax. Where no labels are known the rival is an unrelated label, whose cosine is 0:
    the softmax of (score, 0), which is the logistic function of score / TEMPERATURE.
softmax, sigmoid: for checkpoints with a classifier. score = the label's logit; probability = softmax over the
    classes, or, for one class or several that do not exclude each other, the logistic function of the logit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .batching import Ints
from .encoder import Encoder, Floats, softmax

# Sentence encoders are trained with the softmax of 20 times the cosine (sentence-transformers' scale).
TEMPERATURE: Final = np.float32(1.0 / 20.0)
LABELS_CACHED: Final = 1024


@dataclass(frozen=True)
class Rows:
    """A batch: texts and labels as tokens, and each label's place among the known ones (-1: none)."""

    texts: Sequence[Ints]
    labels: Sequence[Ints]
    label_index: Ints


@dataclass(frozen=True)
class Scores:
    """score [n] and probability [n]."""

    score: Floats
    probability: Floats


class Similarity:
    """Scores how well a label's text fits a text."""

    def __init__(self, encoder: Encoder, known_labels: Sequence[Ints]) -> None:
        self.encoder = encoder
        self.known = encoder.embed(known_labels) if known_labels else np.empty((0, encoder.hidden_size), np.float32)
        self.cache: dict[bytes, Floats] = {}

    def __call__(self, rows: Rows) -> Scores:
        """Score a batch."""
        texts = self.encoder.embed(rows.texts)
        labels = self._label_embeddings(rows)
        # Rounding may carry the cosine of equal texts past 1.
        score = np.clip(np.einsum("nh,nh->n", texts, labels), -1.0, 1.0)
        rivals = texts @ self.known.T if len(self.known) else np.zeros((len(texts), 1), np.float32)
        # The given label stands first; where it is also among the known ones it must count once.
        own = np.where(rows.label_index[:, None] == np.arange(rivals.shape[1]), np.float32(-np.inf), rivals)
        shares = softmax(np.concatenate([score[:, None], own], axis=1) / TEMPERATURE)
        return Scores(score.astype(np.float32), shares[:, 0])

    def _label_embeddings(self, rows: Rows) -> Floats:
        """Return [n, h]; known labels are looked up, others computed once and remembered."""
        keys = [sequence.astype(np.int32).tobytes() for sequence in rows.labels]
        unknown = {
            key: sequence
            for key, sequence, index in zip(keys, rows.labels, rows.label_index, strict=True)
            if index < 0 and key not in self.cache
        }
        if len(self.cache) + len(unknown) > LABELS_CACHED:
            self.cache.clear()
            unknown = {
                key: sequence
                for key, sequence, index in zip(keys, rows.labels, rows.label_index, strict=True)
                if index < 0
            }
        if unknown:
            self.cache.update(zip(unknown, self.encoder.embed(list(unknown.values())), strict=True))
        return np.stack(
            [self.known[i] if i >= 0 else self.cache[key] for key, i in zip(keys, rows.label_index, strict=True)]
        )


class Classifier:
    """Scores a text by the checkpoint's own classifier."""

    def __init__(self, encoder: Encoder, exclusive: bool) -> None:
        self.encoder = encoder
        self.exclusive = exclusive

    def __call__(self, rows: Rows) -> Scores:
        """Score a batch; every label must be known."""
        logits = self.encoder.classify(rows.texts)
        score = np.take_along_axis(logits, rows.label_index.astype(np.int64)[:, None], axis=1)
        if self.exclusive:
            shares = np.take_along_axis(softmax(logits), rows.label_index.astype(np.int64)[:, None], axis=1)
        else:
            shares = softmax(np.concatenate([score, np.zeros_like(score)], axis=1))
        return Scores(score[:, 0], shares[:, 0])


Scorer = Similarity | Classifier


def make_scorer(kind: str, encoder: Encoder, known_labels: Sequence[Ints]) -> Scorer:
    """Return the scorer that the module's docstring names."""
    return Similarity(encoder, known_labels) if kind == "similarity" else Classifier(encoder, kind == "softmax")
