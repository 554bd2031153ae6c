"""What a model's Deployments are to be, decided from what the watches show of it, and what no apply does for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

import msgspec

from modelmeter.api.resources import ModelDeployment
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.control.accounts import Account
from modelmeter.control.belongings import children, deployments
from modelmeter.control.facts import observed, track_state
from modelmeter.control.view import View
from modelmeter.errors import Conflict, NotFound
from modelmeter.meter.objects import Bare, Deployment, Metadata
from modelmeter.provision.config_map import config_map_name
from modelmeter.provision.plan import Plan, TrackState, straight
from modelmeter.provision.rollout import decide
from modelmeter.provision.track import CANARY, STABLE, Track
from modelmeter.provision.workload import deployment_name, template_hash


class Rollouts:
    """Decides anew each time it is asked."""

    def __init__(self, client: Client, view: View, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._view = view
        self._clock = clock

    def plan(self, account: Account, model: ModelDeployment) -> Plan:
        """What the model's Deployments are to be now."""
        wanted = template_hash(model)
        stable, canary = (_state(self.deployment(model, track)) for track in (STABLE, CANARY))
        failed = stable is not None and stable.failed_hash
        if model.spec.serving.rollout is None and canary is None and not failed:
            return straight(model, wanted)
        pods, claims = children(self._view.pods, model), children(self._view.claims, model)
        seen = replace(observed(account, pods, claims, self._clock()), template_hash=wanted)
        return decide(model, stable, canary, seen)

    def deployment(self, model: ModelDeployment, track: Track = STABLE) -> Deployment | None:
        """One of the model's Deployments, if it is there."""
        name = deployment_name(model, track)
        return next((child for child in deployments(self._view, model) if child.metadata.name == name), None)

    async def keep(self, model: ModelDeployment, plan: Plan) -> Metadata | None:
        """Write to the stable Deployment what no apply does: notes, and for a template that stays the replicas.

        Its metadata, if something was written.
        """
        there = self.deployment(model)
        if there is None:
            return None
        scale = {} if plan.renews_stable else {"spec": {"replicas": plan.stable_replicas}}
        if not plan.notes and (not scale or there.spec.replicas == plan.stable_replicas):
            return None
        metadata = {"uid": there.metadata.uid, **({"annotations": dict(plan.notes)} if plan.notes else {})}
        where = path("Deployment", model.namespace, there.metadata.name)
        try:
            answer = await self._client.merge_patch(where, {"metadata": metadata, **scale})
        except (NotFound, Conflict):
            # It is gone, or another one by now: a watch will show it.
            return None
        return msgspec.json.decode(answer, type=Bare).metadata

    def superseded(self, model: ModelDeployment, plan: Plan) -> Iterator[tuple[str, Metadata]]:
        """Kind and metadata of what is left of a canary and is to go; what its pods need goes after them."""
        canary = self.deployment(model, CANARY)
        if canary is not None and plan.removes_canary:
            yield "Deployment", canary.metadata
        if canary is None and plan.canary_replicas is None:
            name = config_map_name(model, CANARY)
            found = (child.metadata for child in children(self._view.children["ConfigMap"], model))
            yield from (("ConfigMap", metadata) for metadata in found if metadata.name == name)


def _state(deployment: Deployment | None) -> TrackState | None:
    return track_state(deployment) if deployment else None
