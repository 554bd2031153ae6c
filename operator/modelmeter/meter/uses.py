"""Who uses one ResourceClaim, since when and until when: those who use it at once each bear an equal part.

A page keeps the uses that it has counted up to T. What turns out later about the time before T (somebody had ended, or
had begun) is then the difference of what it has counted and what is known now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple


class Use(NamedTuple):
    """[start, end) of one pod's use; the end is None while it lasts."""

    start: datetime
    end: datetime | None
    told: bool = True
    """Whether the end was told; False: the pod vanished, and was counted so far."""


Uses = Mapping[str, Use]
"""Pod UID to its use."""
Cut = tuple[datetime, datetime, int]
"""Over [start, end) so many use the claim."""

REMEMBER_USES: Final = timedelta(days=1)
"""How long a page knows who has used a claim after they are gone: another's end may be reported late."""


def sharing(uses: Iterable[Use]) -> tuple[tuple[datetime, int], ...]:
    """From when on how many use a claim.

    Uses over 1-3 h and 2-3 h give 1 from 1 h on, 2 from 2 h on and 0 from 3 h on.
    """
    changes: dict[datetime, int] = {}
    for use in uses:
        changes[use.start] = changes.get(use.start, 0) + 1
        if use.end is not None:
            changes[use.end] = changes.get(use.end, 0) - 1
    among, steps = 0, []
    for at, change in sorted(changes.items()):
        among += change
        steps.append((at, among))
    return tuple(steps)


def cut(uses: Iterable[Use], start: datetime, end: datetime) -> Iterator[Cut]:
    """Cut [start, end) where the number of users changes; what nobody uses is left out."""
    for (since, among), (until, _) in pairwise((*sharing(uses), (end, 0))):
        low, high = max(start, since), min(end, until)
        if low < high and among:
            yield low, high, among


def differences(before: Iterable[Cut], after: Iterable[Cut]) -> Iterator[tuple[datetime, datetime, int, int]]:
    """Where two cuts say otherwise: [start, end), among how many before, among how many after; 0: not at all."""
    changes: dict[datetime, tuple[int, int]] = {}
    for low, high, among in before:
        _change(changes, low, among, 0)
        _change(changes, high, -among, 0)
    for low, high, among in after:
        _change(changes, low, 0, among)
        _change(changes, high, 0, -among)
    was = now = 0
    for (at, (less, more)), (until, _) in pairwise(sorted(changes.items())):
        was, now = was + less, now + more
        if was != now:
            yield at, until, was, now


def known(counted: Uses, through: datetime, existing: Uses) -> dict[str, Use]:
    """All uses as they are known now: of those who exist, and of those who are gone as a page has counted them.

    Who is gone without an end has vanished, and is counted through T and no further. An end that was told once is not
    undone by a view that has yet to show it.
    """
    all_uses = dict(existing)
    for uid, use in counted.items():
        if uid not in existing:
            all_uses[uid] = use if use.end else Use(use.start, through, told=False)
        elif use.end and use.told and existing[uid].end is None:
            all_uses[uid] = use
    return all_uses


def remembered(uses: Uses, existing: Iterable[str], now: datetime) -> dict[str, Use]:
    """Without those who are long gone."""
    there = frozenset(existing)
    return {uid: use for uid, use in uses.items() if uid in there or use.end is None or now - use.end < REMEMBER_USES}


def _change(changes: dict[datetime, tuple[int, int]], at: datetime, before: int, after: int) -> None:
    was, now = changes.get(at, (0, 0))
    changes[at] = was + before, now + after
