"""What there is of a model with its two Deployments, and the room that each has beside the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from modelmeter.api.rollout import but_one
from modelmeter.api.serving import Serving
from modelmeter.provision.observed import OVERDUE, Observed, PodFacts
from modelmeter.provision.plan import CANARIES, TrackState


@dataclass(frozen=True, slots=True)
class Room:
    """Of a model whose spec asks for the revision `wanted`, at one moment."""

    wanted: str
    serving: Serving
    stable: TrackState
    canary: TrackState | None
    seen: Observed

    @property
    def replicas(self) -> int:
        """All that are asked for."""
        return self.serving.replicas

    @property
    def current(self) -> TrackState | None:
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
        return but_one(self.asked, self.replicas)

    @property
    def notes(self) -> dict[str, str]:
        """What is noted on the canary."""
        return {CANARIES: str(self.asked)}

    def of(self, canary: bool) -> list[PodFacts]:
        """One Deployment's pods that are here to stay and of the current spec."""
        return [pod for pod in self.seen.held() if pod.canary is canary and pod.template_hash == self.wanted]

    def waits_for_more(self) -> bool:
        """Whether an autoscaler may bring the replicas that a canary needs, while the revision before has some.

        Not by what is ready: a moment's failure of its probe would give the only replica to a revision on no trial.
        """
        scaled = self.serving.autoscaling
        return scaled is not None and scaled.max > 1 and min(self.stable.replicas, self.replicas) > 0

    def deadline_from(self) -> datetime | None:
        """When the youngest of the canary's pods was made; None while one is still to be made, unless it is refused."""
        made = [pod.created for pod in self.of(canary=True) if pod.created]
        if len(made) < self.canaries:
            if self.canary is None or self.canary.refused_since is None:
                return None
            made.append(self.canary.refused_since)
        return max(made)

    def ended(self) -> list[PodFacts]:
        """Pods of the canary that ended by themselves (evicted, say) and were replaced."""
        pods = (pod for pod in self.seen.pods if pod.canary and pod.template_hash == self.wanted)
        ended = [pod for pod in pods if pod.ended and not pod.deleting]
        return sorted(ended, key=lambda pod: (pod.created is not None, pod.created, pod.name))

    def beside(self, canary: bool) -> int:
        """Replicas that one Deployment may have beside the other one's.

        Pods hold their GPUs up to their end, also a canary's that somebody deleted; those to come count as well.
        """
        other = self.stable if canary else self.canary
        pods = [pod for pod in self.seen.pods if pod.holds(self.seen.now)]
        theirs = [pod for pod in pods if pod.canary is not canary]
        asked = other.replicas if other and not other.deleting else 0
        to_come = max(0, asked - sum(pod.stays for pod in theirs))
        orphans = sum(pod.canary for pod in pods) if canary and self.canary is None else 0
        return max(0, self.replicas - len(theirs) - to_come - orphans)

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
