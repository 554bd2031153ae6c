"""Texts as a shop's search gets them: short queries, titles of products, now and then a description."""

from __future__ import annotations

import random
from math import log
from typing import Final

from tokenizers import Tokenizer

WORDS: Final = """
    black white red blue green small large new men women kids leather cotton steel wood glass phone camera
    case screen battery charger cable light lamp table chair desk bed box bag shoes boots shirt jacket dress
    hat watch ring book music game toy ball bike car garden kitchen coffee tea water wine food dog cat set
    pack with for and in of the to size high quality soft strong fast free best home office travel summer
    winter sport running
""".split()  # noqa: SIM905
SHORTEST: Final = 4
LONGEST: Final = 128
MIDDLE: Final = 16
SPREAD: Final = 0.8
"""Of the logarithm of the length: two of three texts have 7 to 36 tokens."""


def texts(number: int, seed: int = 1) -> list[str]:
    """So many texts of 4 to 128 tokens, the same for the same seed."""
    source = random.Random(seed)
    lengths = [min(LONGEST, max(SHORTEST, round(source.lognormvariate(log(MIDDLE), SPREAD)))) for _ in range(number)]
    # Each word is one token; two more are added at the ends.
    return [" ".join(source.choices(WORDS, k=length - 2)) for length in lengths]


def shown(tokenizer: Tokenizer, given: list[str]) -> str:
    """How long they are."""
    lengths = sorted(len(encoding.ids) for encoding in tokenizer.encode_batch(given))
    parts = ", ".join(f"p{share} {lengths[share * (len(lengths) - 1) // 100]}" for share in (5, 25, 50, 75, 95))
    return f"{len(given)} texts of {lengths[0]} to {lengths[-1]} tokens ({parts})"
