"""What is asked of every served model, however it is served, and when an answer is right."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from tests.serving.client import Answer, Asked
from tests.serving.models import LABELS, Model

TOLERANCE: Final = 1e-4
CHARACTERS: Final = 10_000
TEXTS: Final = [
    "The striker scored twice in the final.",
    "Boil the pasta in salted water.",
    "",
    "足球 ⚽ naïve café 意大利",
    "👩‍👩‍👧‍👦🇮🇹",
    "goal " * (CHARACTERS // 5),
    "a" * CHARACTERS,
    "足球" * (CHARACTERS // 2),
]
CONCURRENT: Final = 64


def check(model: Model, asked: Asked, answer: Answer) -> None:
    """The answer is right."""
    assert answer.status == 200, answer
    expected = model.expected(asked.text, asked.label)
    assert answer.body["score"] == pytest.approx(expected.score, abs=TOLERANCE), asked
    assert answer.body["probability"] == pytest.approx(expected.probability, abs=TOLERANCE), asked


def mixed(name: str, number: int = CONCURRENT) -> list[Asked]:
    """Texts of 2 to 128 tokens and more, of few kinds that a plain reference need not compute too often."""
    random = np.random.default_rng(5)
    words = ["goal", "striker", "sports", "cooking", "pasta", "salt", "意", "⚽"]
    texts = [" ".join(random.choice(words, size)) for size in (0, 1, 2, 5, 11, 30, 60, 200)]
    return [Asked(name, texts[at % len(texts)], LABELS[at // len(texts) % 2]) for at in range(number)]
