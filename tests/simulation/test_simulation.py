"""Thousands of random histories: the ledger is exact to the second, whatever fails."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.simulation.histories import History, histories
from tests.simulation.run import play


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories)
def test_any_history_is_exact(history: History) -> None:
    assert play(history).difference() == []
