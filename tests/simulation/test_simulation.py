"""Thousands of random histories: the ledger is exact to the second, whatever fails.

A failure shrinks, and is printed as `History(...)`: `play(History(...)).difference()` acts it out again, always in
the same way. A whole run comes again with `pytest tests/simulation --hypothesis-seed=N`; the header names N.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.simulation.histories import History, histories
from tests.simulation.run import play

HISTORIES = 2000


@settings(max_examples=HISTORIES, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(histories)
def test_any_history_is_exact(history: History) -> None:
    assert play(history).difference() == []
