"""What there is of a model with its two Deployments, and the room that each has beside the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from modelmeter.api.scalars import rfc3339
from modelmeter.api.serving import Serving
from modelmeter.provision.observed import OVERDUE, Observed, PodFacts
from modelmeter.provision.plan import CANARIES, INCOMPLETE_SINCE, Revision


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a model whose spec asks for the revision `wanted`, at one moment."""

    wanted: str
    serving: Serving
    stable: Revision
    canary: Revision | None
    seen: Observed

    @property
    def replicas(self) -> int:
        """All that are asked for."""
        return self.serving.replicas

    @property
    def current(self) -> Revision | None:
        """The canary, where it is of the current spec."""
        return self.canary if self.canary and self.canary.template_hash == self.wanted else None

    @property
    def asked(self) -> int:
        """How many replicas a canary was made for, or would be now."""
        rollout = self.serving.rollout
        return (self.current and self.current.canaries) or (rollout.canaries(self.replicas) if rollout else 0)

    @property
    def canaries(self) -> int:
        """How many of the replicas a canary gets; one at least is of the revision before."""
        return max(0, min(self.asked, self.replicas - 1))

    def notes(self, incomplete_since: datetime | None) -> dict[str, str]:
        """What is noted on the canary."""
        since = rfc3339(incomplete_since) if incomplete_since else ""
        return {CANARIES: str(self.asked), INCOMPLETE_SINCE: since}

    def of(self, canary: bool) -> list[PodFacts]:
        """One Deployment's pods that are here to stay and of the current spec."""
        return [pod for pod in self.seen.held() if pod.canary is canary and pod.template_hash == self.wanted]

    def waits_for_more(self) -> bool:
        """Whether an autoscaler may bring the replicas that a canary needs, and something is served until then."""
        scaled = self.serving.autoscaling
        serves = any(pod.ready for pod in self.seen.held() if not pod.canary)
        return scaled is not None and scaled.max > 1 and serves

    def beside(self, canary: bool) -> int:
        """Replicas that one Deployment may have beside the pods of the other, which hold their GPUs up to their end."""
        others = (pod for pod in self.seen.pods if pod.canary is not canary)
        return max(0, self.replicas - sum(pod.holds(self.seen.now) for pod in others))

    def stable_replicas(self, asked: int) -> int:
        """So many as are asked for, as far as there is room; what it has is not taken away for want of room."""
        return max(min(self.stable.replicas, asked), min(asked, self.beside(canary=False)))

    def canary_replicas(self) -> int:
        """As `stable_replicas`, of the canary."""
        has = self.canary.replicas if self.canary else 0
        return max(min(has, self.canaries), min(self.canaries, self.beside(canary=True)))

    @property
    def overdue(self) -> datetime | None:
        """When the next pod that is ending will have held its GPUs for long enough."""
        ends = (pod.ends_by + OVERDUE for pod in self.seen.pods if pod.ends_by and pod.holds(self.seen.now))
        return min(ends, default=None)
