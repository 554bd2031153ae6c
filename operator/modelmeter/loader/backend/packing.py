"""Texts of any length laid side by side in rows, so that next to nothing is spent on padding.

A pass costs what its tokens cost, padding included, and as much as 16 tokens more. How they are divided into rows
counts for little while rows are short, for only attention looks along them.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .batching import Ints

# Tokens of one pass: more make its arrays outgrow the processor's caches (MiniLM, 32 texts of a shop's search, one
# thread: 2.9 ms each with 384 or 512, 3.1 ms with 1024), fewer make it read all weights more often.
PASS_TOKENS: Final = 512
# A row holds several texts up to this length; a longer text has a row of its own length.
ROW_TOKENS: Final = 128
# MiniLM: 256 tokens in 2 rows of 128 cost 8 % more than in 8 rows of 32.
ATTENTION_PER_TOKEN: Final = 1 / 1200
# How wide rows are tried, as multiples of the longest text.
WIDTHS: Final = (1.0, 1.5, 2.0, 3.0)
Grid = npt.NDArray[np.int32]


class Rows(NamedTuple):
    """Texts in rows: of each token [r, t] its id, its position in its text and its text's number.

    Where there is no token they are -1, 0 and -1.
    """

    tokens: Grid
    places: Grid
    owners: Grid


def pack(texts: Sequence[Ints]) -> Rows:
    """Lay texts side by side, in rows of such a number and width that a pass over them costs the least."""
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]), reverse=True)
    bins = _bins([len(texts[number]) for number in order])
    width = max(sum(len(texts[order[at]]) for at in one) for one in bins)
    tokens, owners = (np.full((len(bins), width), -1, np.int32) for _ in range(2))
    places = np.zeros_like(tokens)
    for row, one in enumerate(bins):
        begin = 0
        for number in (order[at] for at in one):
            end = begin + len(texts[number])
            tokens[row, begin:end] = texts[number]
            places[row, begin:end] = np.arange(end - begin)
            owners[row, begin:end] = number
            begin = end
    return Rows(tokens, places, owners)


def groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group a batch's numbers into passes, the longest first; short texts do not share rows with very long ones.

    >>> list(groups([3, 400, 4, 120]))
    [[1], [3, 2, 0]]
    """
    group: list[int] = []
    total = 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[number]
        if group and (total + length > PASS_TOKENS or 2 * length < lengths[group[0]] > ROW_TOKENS):
            yield group
            group, total = [], 0
        group.append(number)
        total += length
    if group:
        yield group


def _bins(lengths: Sequence[int]) -> list[list[int]]:
    """Divide numbers, whose lengths descend, among rows so that a pass costs the least.

    >>> _bins([60, 40, 30, 30])
    [[0], [1], [2, 3]]
    """
    total, longest = max(1, sum(lengths)), max(1, lengths[0])
    widest = max(ROW_TOKENS, longest)
    widths = {widest, *(min(widest, width * longest) for width in WIDTHS)}
    numbers = {min(len(lengths), math.ceil(total / width) + more) for width in widths for more in (0, 1)}
    return min((_level(lengths, number) for number in sorted(numbers)), key=lambda bins: _cost(lengths, bins))


def _cost(lengths: Sequence[int], bins: list[list[int]]) -> float:
    """Return the cost of all rows, in tokens of short ones."""
    width = max(sum(lengths[at] for at in one) for one in bins)
    return len(bins) * width * (1 + width * ATTENTION_PER_TOKEN)


def _level(lengths: Sequence[int], number: int) -> list[list[int]]:
    """Give each to the emptiest of so many rows: they end up about equally long."""
    bins: list[list[int]] = [[] for _ in range(number)]
    filled = [0] * number
    for at, length in enumerate(lengths):
        emptiest = filled.index(min(filled))
        bins[emptiest].append(at)
        filled[emptiest] += length
    return bins
