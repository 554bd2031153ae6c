"""Thousands of random histories: the ledger is exact to the second, whatever fails.

A failure shrinks for a while, and is printed as `History(...)`: `play(History(...)).difference()` acts it out again,
always in the same way. A whole run comes again with `pytest tests/simulation --hypothesis-seed=N`; the header names N.
"""

from __future__ import annotations

import time
from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings

from tests.simulation.histories import BEGINNINGS, HOUR, ClaimStory, History, PodStory, Trouble, histories
from tests.simulation.run import play

HISTORIES = 2000
UNDISTURBED = 200
SHRINKING_SECONDS = 40.0
"""After the first failure; what is smallest by then is shown."""

BRIEF = PodStory(created=1, scheduled=0, length=0, ending="finished", reported=0)
RESIZED_WHILE_THE_WATCH_IS_LATE = History(
    BEGINNINGS[0],
    HOUR,
    pods=(BRIEF, replace(BRIEF, length=61, resized=60)),
    trouble=Trouble(writes=((1, "busy"),), lags=(("pods", 1, 60, 60),)),
)
"""What the pod held at first was noted, and noted again a moment later, when it was resized."""

FINISHED_LONG_BEFORE_IT_WAS_DELETED = History(
    BEGINNINGS[0],
    HOUR,
    pods=(replace(BRIEF, length=60, reported=5 * HOUR),),
    trouble=Trouble(outages=((5 * HOUR, 120),)),
)
"""Both are seen at once."""
A_DELETION_CONFLICTS = History(BEGINNINGS[0], HOUR, trouble=Trouble(writes=((10, "conflict"), (11, "conflict"))))
"""Twice that of the claim, the last of the children: then nothing else tells that it is still there."""


class Shrinking:
    """Ends it in time: long after the first failure, what is not known to fail counts as exact, unseen."""

    def __init__(self) -> None:
        self._failed: set[History] = set()
        self._until = float("inf")

    def over(self, history: History) -> bool:
        """Whether there is no time left to see whether this one fails."""
        return time.monotonic() > self._until and history not in self._failed

    def failed(self, history: History) -> None:
        """Note a history that is not exact."""
        self._until = min(self._until, time.monotonic() + SHRINKING_SECONDS)
        self._failed.add(history)


shrinking = Shrinking()


A_CLAIM_WHOSE_DELETION_IS_SEEN_AFTER_ITS_POD_IS_GONE = History(
    BEGINNINGS[0],
    9999,
    pods=(replace(BRIEF, created=5608, length=7878, gpus=1, pulling=400, claim=0),),
    claims=(ClaimStory(created=254, bound=400, gibibytes=30, resized=None, deleted=None, storage_class="fast"),),
    trouble=Trouble(lags=(("persistentvolumeclaims", 92, 14490, 256),)),
)
"""The claim held its storage until the pod that mounts it had ended, which nobody can tell once the pod is gone."""


A_CLAIM_WHOSE_DELETION_IS_SEEN_WHILE_A_PAGE_IS_WRITTEN = replace(
    A_CLAIM_WHOSE_DELETION_IS_SEEN_AFTER_ITS_POD_IS_GONE,
    trouble=Trouble(pages=((5, "slow"),), lags=(("persistentvolumeclaims", 1, 8 * HOUR, 5),)),
)
"""Its end is known when the pod is let go of, and was not when the page was made."""

A_POD_THAT_NEVER_HAD_A_NODE_MOUNTS_A_DELETED_CLAIM = History(
    BEGINNINGS[0],
    5 * HOUR,
    pods=(replace(BRIEF, created=958, scheduled=None, length=400, claim=0),),
    claims=(ClaimStory(created=670, bound=0, gibibytes=49, resized=None, deleted=400, storage_class="standard"),),
    trouble=Trouble(skews=((1, -299),)),
)
"""The claim is not kept for it; by a clock that is behind, both ends are seen at once."""

RESIZED_LONG_BEFORE_THE_WATCH_SHOWS_IT = History(
    BEGINNINGS[0],
    8117,
    pods=(replace(BRIEF, scheduled=400, length=1094, resized=60), *4 * [BRIEF]),
    trouble=Trouble(lags=(("pods", 1, 3435, 1758),)),
)
"""What the pod held at first was noted, and the watch shows its end before the note."""

A_POD_OUTLIVES_ITS_DEPLOYMENT_AND_IS_SEEN_LATE = History(
    BEGINNINGS[0],
    11090,
    pods=(replace(BRIEF, created=10304),),
    trouble=Trouble(lags=(("pods", 54, 14768, 1762),)),
)
"""The model has no other children by then."""

AN_OUTAGE_BEGINS_WHEN_ALL_IS_OVER = History(BEGINNINGS[0], HOUR, trouble=Trouble(outages=((5400, 120),)))
"""In the second in which the simulation ends: it has to end then."""


@settings(max_examples=HISTORIES, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(histories)
@example(A_CLAIM_WHOSE_DELETION_IS_SEEN_AFTER_ITS_POD_IS_GONE)
@example(RESIZED_WHILE_THE_WATCH_IS_LATE)
@example(FINISHED_LONG_BEFORE_IT_WAS_DELETED)
@example(A_DELETION_CONFLICTS)
@example(A_CLAIM_WHOSE_DELETION_IS_SEEN_WHILE_A_PAGE_IS_WRITTEN)
@example(A_POD_THAT_NEVER_HAD_A_NODE_MOUNTS_A_DELETED_CLAIM)
@example(RESIZED_LONG_BEFORE_THE_WATCH_SHOWS_IT)
@example(A_POD_OUTLIVES_ITS_DEPLOYMENT_AND_IS_SEEN_LATE)
@example(AN_OUTAGE_BEGINS_WHEN_ALL_IS_OVER)
def test_any_history_is_exact(history: History) -> None:
    if shrinking.over(history):
        return
    try:
        assert play(history).difference() == []
    except BaseException:
        shrinking.failed(history)
        raise


@settings(max_examples=UNDISTURBED, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(histories)
def test_an_operator_that_is_not_disturbed_writes_all_that_servers_told_it(history: History) -> None:
    calm = replace(history, trouble=Trouble(writes=((7, "conflict"), (19, "lost"))))
    assert calm.trouble.undisturbed
    assert play(calm).difference() == []
