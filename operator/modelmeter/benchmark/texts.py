"""The texts of a load: those that are given, and made-up ones of given lengths; the same at every run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Final

SEED: Final = 2026
VARIANTS: Final = 8
"""How many different texts of each length are made up; few enough for a response cache to answer nearly all."""
WORDS: Final = (
    "phone", "laptop", "charger", "cable", "camera", "lens", "bag", "shoes", "jacket", "dress", "cotton",
    "leather", "wireless", "battery", "screen", "black", "white", "red", "blue", "small", "large", "new", "cheap",
    "light", "heavy", "water", "steel", "glass", "kitchen", "knife", "lamp", "table", "chair", "garden", "book",
    "story", "children", "game", "puzzle", "coffee", "tea", "organic", "fresh", "delivery", "size", "men", "women",
    "running", "winter", "summer", "travel", "kit", "set", "with", "for", "and", "in", "of", "the", "best", "gift",
)  # fmt: skip


def made_up(lengths: Iterable[int]) -> list[str]:
    """Texts of so many words each, all lengths equally often.

    >>> [len(text.split()) for text in made_up((2, 3))[:4]]
    [2, 3, 2, 3]
    """
    random, sizes = Random(SEED), tuple(lengths)
    return [" ".join(random.choices(WORDS, k=size)) for _ in range(VARIANTS) for size in sizes]


def mixed(given: Sequence[str], lengths: Sequence[int]) -> list[str]:
    """All texts in a mixed order; each given one as often as each length of the others."""
    texts = [*(text for _ in range(VARIANTS if lengths else 1) for text in given), *made_up(lengths)]
    Random(SEED).shuffle(texts)
    return texts
