"""The simulation finds what is planted: otherwise its silence would mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.simulation.histories import History, histories
from tests.simulation.mutations import MUTATIONS
from tests.simulation.run import play

HISTORIES = 400
"""Within so many histories each is found; most take a handful."""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_it_is_found(mutation: Callable[[], AbstractContextManager[Any]]) -> None:
    @seed(20261124)
    @settings(
        max_examples=HISTORIES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories)
    def any_history_is_exact(history: History) -> None:
        assert play(history).difference() == []

    with mutation(), pytest.raises(AssertionError):
        any_history_is_exact()
