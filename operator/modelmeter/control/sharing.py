"""ResourceClaims that several pods use at once, of one model or of several: each pod bears an equal part.

The part that a pod bears follows from all pods that use the claim. So a pod that has ended stays until every page that
still counts on the claim has counted its end, and keeps that itself from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from modelmeter.control.accounts import Account
from modelmeter.control.belongings import Belongings
from modelmeter.control.profiling import Profiling
from modelmeter.control.view import View
from modelmeter.meter.holding import Holding
from modelmeter.meter.lifetime import ended_at
from modelmeter.meter.objects import Pod
from modelmeter.meter.observe import pod_holding, use_of, was_released
from modelmeter.meter.profiles import captured
from modelmeter.meter.uses import Use


class Sharing:
    """What pods hold, their claims shared; and who waits for whom."""

    def __init__(self, view: View, belongings: Belongings, profiling: Profiling, clock: Callable[[], datetime]) -> None:
        self._view = view
        self._belongings = belongings
        self._profiling = profiling
        self._clock = clock

    def holding(self, pod: Pod, may_wait: bool = True) -> Holding | None:
        """What a pod holds; None while that is not known. It is posted in full later, whatever T is then.

        What a page has counted already waits for nothing: it would count as vanished.
        """
        if may_wait and self._profiling.awaits(pod):
            return None
        uses = {
            claim: {
                user.metadata.uid: use
                for user in self._view.devices.users(claim)
                if (use := use_of(user, self._view.lost)) is not None
            }
            for claim in _claims(pod)
        }
        return pod_holding(pod, self._view.nodes, self._view.lost, uses)

    def must_pass(self, account: Account) -> bool:
        """Whether a pod that shared a claim with one of the model's has ended, and the page has yet to count that."""
        now = self._clock()
        return any(
            self._misses(account, pod, claim, other)
            for pod in self._belongings.pods(account)
            if ended_at(pod, self._view.lost)[0] is None
            for claim, other in self._sharers(pod)
            if (end := ended_at(other, self._view.lost)[0]) is not None and end <= now
        )

    def awaited(self, pod: Pod) -> frozenset[str]:
        """UIDs of the models whose pages have yet to count the end of a pod that shared a claim with theirs."""
        return frozenset(
            owner.ref.uid
            for claim, other in self._sharers(pod)
            if (owner := self._belongings.owner(other.metadata)) and self._misses(owner, other, claim, pod)
        )

    def _sharers(self, pod: Pod) -> Iterator[tuple[str, Pod]]:
        """Other pods that use or used a claim of this one, and the claim."""
        for claim in _claims(pod):
            for other in self._view.devices.users(claim):
                if other.metadata.uid != pod.metadata.uid:
                    yield claim, other

    def _misses(self, account: Account, pod: Pod, claim: str, ended: Pod) -> bool:
        """Whether the page of an account, whose pod uses a claim, has yet to count that another's use of it ended.

        That may have been before the pod's own began, where the page has counted more of it than there was.
        """
        page = account.page
        if page is None:
            return True
        if page.ended or pod.metadata.uid in page.settled or (was_released(pod) and pod.metadata.uid not in page.open):
            return False
        counted = page.uses.get(claim, {}).get(ended.metadata.uid)
        mine, theirs = use_of(pod, self._view.lost), use_of(ended, self._view.lost)
        return counted != theirs and bool(counted or (mine and theirs and _overlap(mine, theirs)))


def _claims(pod: Pod) -> Iterator[str]:
    known = captured(pod)
    yield from known.claims if known else ()


def _overlap(one: Use, other: Use) -> bool:
    return all(end is None or start < end for start, end in ((one.start, other.end), (other.start, one.end)))
