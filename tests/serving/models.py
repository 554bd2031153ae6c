"""The models that are served here, each with its reference: what the papers' equations answer."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from modelmeter.loader.load import load
from modelmeter.loader.spec import LoadSpec
from tests.cluster.triton import minilm_directory
from tests.loader.checkpoints import CLASSIFIERS, tiny
from tests.loader.exports import export
from tests.loader.reference import Reference

LABELS: Final = ("sports", "cooking", "other")
ENCODER: Final = "sentences"
ON_A_GPU: Final = "on-a-gpu"
"""The same, written for Triton's own onnxruntime backend; a stand-in for it runs it here."""
AS_IT_IS: Final = "as-it-is"
"""The same as an ONNX file of the source, under our model.py."""
TOKENS: Final = 128


class Scored(NamedTuple):
    """What is served of a row."""

    score: float
    probability: float


@dataclass(frozen=True)
class Model:
    """A checkpoint and the name under which it is served; export: an ONNX file of it, which is served in its place."""

    name: str
    checkpoint: Path
    labels: tuple[str, ...]
    backend: str = "python"
    export: Path | None = None

    def load(self, folder: Path, queue_delay_microseconds: int = 20_000) -> Path:
        """Let the loader write the repository; a long delay, so that requests do share batches."""
        spec = LoadSpec(
            self.name,
            labels=self.labels,
            max_sequence_length=TOKENS,
            max_queue_delay_microseconds=queue_delay_microseconds,
            backend=self.backend,
        )
        load(f"file://{self.export or self.checkpoint}", folder / self.name, spec)
        return folder / self.name

    @property
    def reference(self) -> Reference:
        """The checkpoint, by the book."""
        return _reference(self.checkpoint)

    def expected(self, text: str, label: str) -> Scored:
        """What must be answered."""
        return _expected(self, text, label)


@cache
def _expected(model: Model, text: str, label: str) -> Scored:
    reference = model.reference
    if model.checkpoint == minilm_directory():
        return Scored(reference.score(text, label), reference.probability(text, label, list(model.labels)))
    logits = reference.logits(text)
    place = model.labels.index(label)
    return Scored(logits[place], math.exp(logits[place]) / sum(map(math.exp, logits)))


@cache
def _reference(checkpoint: Path) -> Reference:
    return Reference(checkpoint, TOKENS)


def encoders() -> tuple[Model, ...]:
    """The real 6-layer BERT, for either backend."""
    folder, labels = minilm_directory(), LABELS[:2]
    return Model(ENCODER, folder, labels), Model(ON_A_GPU, folder, labels, "onnxruntime")


def exported(folder: Path) -> Model:
    """The real 6-layer BERT as an ONNX file of the source, in a folder."""
    shutil.copytree(minilm_directory(), folder / AS_IT_IS)
    return Model(AS_IT_IS, minilm_directory(), LABELS[:2], export=export(folder / AS_IT_IS, "onnx/model.onnx"))


def classifier(family: str, folder: Path) -> Model:
    """A tiny classifier of a family, as fine-tuning would leave it, in a folder."""
    checkpoint = tiny(
        folder / family,
        family=family,
        architectures=[CLASSIFIERS[family]],
        id2label={str(number): label for number, label in enumerate(LABELS)},
        max_position_embeddings=TOKENS + 2,
    )
    return Model(family, checkpoint, LABELS)
