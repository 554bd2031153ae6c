"""Sequences of different length, stacked for a forward pass of padded rows.

Tokens are int arrays, padded with -1 on the right: a token below 0 is no token.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]

# Tokens, padding included, of one pass through the layers: more make its arrays outgrow the processor's caches
# (MiniLM, 32 texts of 128 tokens: 0.53 s with 1024, 0.61 s with 4096, one thread), fewer make its products small.
PASS_TOKENS: Final = 1024


def passes(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group row numbers into passes of similar length, so that little is spent on padding.

    >>> list(passes([3, 100, 4]))
    [[0, 2], [1]]
    """
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        too_many = (len(rows) + 1) * lengths[row] > PASS_TOKENS
        if rows and (too_many or lengths[row] > 2 * lengths[rows[0]]):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def pad(sequences: Sequence[Ints], lengths: Sequence[int] = ()) -> npt.NDArray[np.int32]:
    """Stack sequences of different length into [n, t], with -1 where there is no token.

    t is the longest one's length, or the first of `lengths`, which ascend, that holds it.
    """
    longest = max(map(len, sequences))
    t = next((length for length in lengths if length >= longest), longest)
    stacked = np.full((len(sequences), t), -1, np.int32)
    for row, sequence in enumerate(sequences):
        stacked[row, : len(sequence)] = sequence
    return stacked
