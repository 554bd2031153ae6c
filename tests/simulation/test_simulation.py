"""Thousands of random histories: the ledger is exact to the second, whatever fails.

A failure shrinks, and is printed as `History(...)`: `play(History(...)).difference()` acts it out again, always in
the same way. A whole run comes again with `pytest tests/simulation --hypothesis-seed=N`; the header names N.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings

from tests.simulation.histories import BEGINNINGS, HOUR, History, PodStory, Trouble, histories
from tests.simulation.run import play

HISTORIES = 2000

BRIEF = PodStory(created=1, scheduled=0, length=0, ending="finished", reported=0)
RESIZED_WHILE_THE_WATCH_IS_LATE = History(
    BEGINNINGS[0],
    HOUR,
    pods=(BRIEF, replace(BRIEF, length=61, resized=60)),
    trouble=Trouble(writes=((1, "busy"),), lags=(("pods", 1, 60, 60),)),
)
"""What the pod held at first was noted, and noted again a moment later, when it was resized."""


@settings(max_examples=HISTORIES, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(histories)
@example(RESIZED_WHILE_THE_WATCH_IS_LATE)
def test_any_history_is_exact(history: History) -> None:
    assert play(history).difference() == []
