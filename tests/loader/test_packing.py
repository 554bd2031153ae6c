"""Packed rows hold each token once, with its text's number and its place there, and little else."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmeter.loader.backend import packing
from modelmeter.loader.backend.packing import PASS_TOKENS, ROW_TOKENS, groups, pack

LENGTHS = st.lists(st.one_of(st.integers(1, 20), st.integers(1, 128), st.integers(1, 700)), min_size=1, max_size=40)


def texts(lengths: list[int]) -> list[np.ndarray]:
    """Texts whose tokens tell which they are."""
    return [np.arange(length, dtype=np.int32) + 1000 * number for number, length in enumerate(lengths)]


@given(LENGTHS)
def test_every_text_is_there_once(lengths: list[int]) -> None:
    given = texts(lengths)
    tokens, places, owners = pack(given)
    assert (tokens >= 0).sum() == (owners >= 0).sum() == sum(lengths)
    for number, text in enumerate(given):
        mine = owners == number
        assert tokens[mine].tolist() == text.tolist()
        assert places[mine].tolist() == list(range(len(text)))
        assert len(set(np.nonzero(mine)[0])) == 1  # only what lies in one row sees each other
    assert tokens.shape[1] < max(ROW_TOKENS, *lengths) + max(lengths)


@given(LENGTHS)
def test_groups_are_bounded(lengths: list[int]) -> None:
    found = list(groups(lengths))
    assert sorted(number for group in found for number in group) == list(range(len(lengths)))
    for group in found:
        longest = max(lengths[number] for number in group)
        assert sum(lengths[number] for number in group) <= max(PASS_TOKENS, longest)
        assert longest <= max(ROW_TOKENS, 2 * min(lengths[number] for number in group))


@pytest.mark.parametrize("seed", range(5))
def test_a_usual_batch_has_little_padding(seed: int) -> None:
    lengths = [int(n) for n in np.clip(np.random.default_rng(seed).lognormal(2.8, 0.8, 32), 4, 128)]
    one_a_row = len(lengths) * max(lengths)
    assert pack(texts(lengths)).tokens.size < 1.15 * sum(lengths) < one_a_row / 2


def test_the_examples() -> None:
    assert doctest.testmod(packing).failed == 0
