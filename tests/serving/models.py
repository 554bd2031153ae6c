"""The models that are served here, each with its reference: what the papers' equations answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from modelmeter.loader.load import load
from modelmeter.loader.spec import LoadSpec
from tests.cluster.triton import minilm_directory
from tests.loader.checkpoints import CLASSIFIERS, tiny
from tests.loader.reference import Reference

LABELS: Final = ("sports", "cooking", "other")
ENCODER: Final = "sentences"
TOKENS: Final = 128


class Scored(NamedTuple):
    """What is served of a row."""

    score: float
    probability: float


@dataclass(frozen=True)
class Model:
    """A checkpoint and the name under which it is served."""

    name: str
    checkpoint: Path
    labels: tuple[str, ...]

    def load(self, folder: Path, queue_delay_microseconds: int = 20_000) -> Path:
        """Let the loader write the repository; a long delay, so that requests do share batches."""
        spec = LoadSpec(
            self.name,
            labels=self.labels,
            max_sequence_length=TOKENS,
            max_queue_delay_microseconds=queue_delay_microseconds,
        )
        load(f"file://{self.checkpoint}", folder / self.name, spec)
        return folder / self.name

    @cached_property
    def reference(self) -> Reference:
        """The checkpoint, by the book."""
        return Reference(self.checkpoint, TOKENS)

    def expected(self, text: str, label: str) -> Scored:
        """What must be answered."""
        if self.name == ENCODER:
            return Scored(self.reference.score(text, label), self.reference.probability(text, label, list(self.labels)))
        logits = self.reference.logits(text)
        place = self.labels.index(label)
        return Scored(logits[place], math.exp(logits[place]) / sum(map(math.exp, logits)))


def encoder() -> Model:
    """The real 6-layer BERT."""
    return Model(ENCODER, minilm_directory(), LABELS[:2])


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
