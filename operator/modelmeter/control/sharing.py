"""ResourceClaims that several pods use at once, of one model or of several: each pod bears an equal part.

The part that a pod bears follows from all pods that exist. So a pod that has ended stays until every page that still
counts on the claim has passed its end; whoever is posted up to there no longer needs to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from modelmeter.control.accounts import Account
from modelmeter.control.belongings import Belongings
from modelmeter.control.profiling import Profiling
from modelmeter.control.view import View
from modelmeter.meter.devices import sharing
from modelmeter.meter.holding import Holding
from modelmeter.meter.lifetime import ended_at
from modelmeter.meter.objects import Pod
from modelmeter.meter.observe import pod_holding
from modelmeter.meter.page import Page
from modelmeter.meter.profiles import captured


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
        steps = {}
        for claim_uid in _claims(pod):
            uses = (
                pod_holding(user, self._view.nodes, self._view.lost) for user in self._view.devices.users(claim_uid)
            )
            steps[claim_uid] = sharing((use.start, use.end) for use in uses if use)
        return pod_holding(pod, self._view.nodes, self._view.lost, steps)

    def must_pass(self, account: Account) -> bool:
        """Whether T has to pass the end of a pod that shared a claim with one of the model's: it is about to go."""
        through = account.page.posted_through if account.page else account.created
        return any(
            (end := ended_at(other, self._view.lost)[0]) is not None and through < end <= self._clock()
            for pod in self._belongings.pods(account)
            for _, other in self._sharers(pod)
        )

    def awaited(self, pod: Pod) -> frozenset[str]:
        """UIDs of the models whose pages have yet to pass the end of a pod that shared a claim with theirs."""
        end, _ = ended_at(pod, self._view.lost)
        return frozenset(
            owner.ref.uid
            for owner, other in self._sharers(pod)
            if owner.page is None or (end is not None and _unposted(owner.page, other, end))
        )

    def _sharers(self, pod: Pod) -> Iterator[tuple[Account, Pod]]:
        """Other pods that use a claim of this one, and whose they are."""
        for claim_uid in _claims(pod):
            for other in self._view.devices.users(claim_uid):
                owner = self._belongings.owner(other.metadata)
                if owner is not None and other.metadata.uid != pod.metadata.uid:
                    yield owner, other


def _claims(pod: Pod) -> Iterator[str]:
    known = captured(pod)
    yield from known.claims if known else ()


def _unposted(page: Page, pod: Pod, until: datetime) -> bool:
    """Whether a page has yet to hold what a pod used up to a moment."""
    return not page.ended and page.posted_through < until and pod.metadata.uid not in page.settled
