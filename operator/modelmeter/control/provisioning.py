"""From a ModelDeployment to its children in the cluster, and back to none when it is deleted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from modelmeter.api.names import TEMPLATE_HASH
from modelmeter.api.resources import ModelDeployment
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import kind_and_name, path_of
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import deployments, owner
from modelmeter.control.facts import refused_pods
from modelmeter.control.holding_on import hold
from modelmeter.control.ownership import not_ours
from modelmeter.control.pruning import prune_templates
from modelmeter.control.refusals import REFUSED_RETRY_SECONDS, said, taken
from modelmeter.control.removing import delete, remove_children
from modelmeter.control.rollouts import Rollouts
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import ClusterError
from modelmeter.meter.objects import Bare, Claim, Metadata
from modelmeter.provision.children import desired, of_canary
from modelmeter.provision.plan import Plan
from modelmeter.provision.workload import loader_image_of, template_hash

log = logging.getLogger(__name__)

LATE_SECONDS: Final = 0.5
"""After its moment a rollout is looked at again."""
LEFT_RETRY_SECONDS: Final = 30.0
"""How often the children of a model that is deleted are looked for, until none is left that could cost; and templates
of an older spec, until no pod needs them."""


class Provisioning:
    """Applies children; `changed` hears of models whose conditions may differ, `emptied` of those without children."""

    def __init__(
        self,
        client: Client,
        view: View,
        accounts: Accounts,
        rollouts: Rollouts,
        clock: Callable[[], datetime],
        loader_image: str,
        changed: Callable[[str], None],
        emptied: Callable[[str], None],
    ) -> None:
        self._client = client
        self._view = view
        self._accounts = accounts
        self._rollouts = rollouts
        self._clock = clock
        self._loader_image = loader_image
        self._changed = changed
        self._emptied = emptied
        self.queue = WorkQueue("provision", self._reconcile)

    def child_changed(self, kind: str, child: Bare | Claim, gone: bool) -> None:
        """Repair drift: a child that is gone, or not as our last apply left it, is applied again."""
        metadata = child.metadata
        account = owner(self._accounts, metadata)
        if account is None:
            return
        self._note_pods(account)
        key = kind, metadata.name
        known = account.applied.get(key)
        now = metadata.uid, _version(metadata)
        if gone:
            account.applied.pop(key, None)
        elif (
            account.deleted is None
            and not _planned(account, kind, metadata)
            and (known in (None, now) or metadata.deletion_timestamp)
        ):
            return
        self.queue.add(account.ref.uid)

    def pod_changed(self, account: Account) -> None:
        """A rollout goes on by what becomes of its pods."""
        if account.rolling:
            self.queue.add(account.ref.uid)

    async def _reconcile(self, uid: str) -> None:
        account = self._accounts.get(uid)
        if account is None or account.gone:
            return
        if account.deleted is not None:
            await self._tear_down(account)
        elif account.model is not None:
            await self._build_up(account, account.model)

    async def _build_up(self, account: Account, model: ModelDeployment) -> None:
        self._note_pods(account)
        generation = account.generation
        plan = self._rollouts.plan(account, model)
        account.rolling = plan.under_way or plan.stable_replicas < model.spec.serving.replicas
        failures: list[ClusterError] = []
        superseded = False
        try:
            if not await hold(self._client, account, generation):
                return
            plan, failures = await self._possible(account, model, plan)
            failures += await self._apply_all(account, model, plan)
            # Those of a revision that serves on though another is asked for stay until the spec changes.
            if not failures and not plan.rolled_back:
                superseded = await prune_templates(self._client, self._view, model)
        except ClusterError as failure:
            failures.append(failure)
        self._note(account, failures)
        if superseded:
            self.queue.add_later(account.ref.uid, LEFT_RETRY_SECONDS)
        if plan.look_again is not None:
            # The later call holds; what is left to prune is looked for then, too.
            self.queue.add_later(account.ref.uid, (plan.look_again - self._clock()).total_seconds() + LATE_SECONDS)
        if (plan.canary, plan.rolled_back) != account.rollout_said:
            account.rollout_said = plan.canary, plan.rolled_back
            self._changed(account.ref.uid)
        passing = next((failure for failure in failures if failure.passing), None)
        if passing is not None:
            raise passing
        if failures:
            self.queue.add_later(account.ref.uid, REFUSED_RETRY_SECONDS)

    async def _possible(self, account: Account, model: ModelDeployment, plan: Plan) -> tuple[Plan, list[ClusterError]]:
        """The plan, and what keeps a canary from being made: then the model's own replicas go on without."""
        if plan.unless_taken is None:
            return plan, []
        manifests = of_canary(model, self._loader_image)
        others = await not_ours(self._client, self._view, account, manifests)
        so = "so the current spec waits for its canary (spec.serving.rollout)"
        return plan.unless_taken if others else plan, [taken(manifest, so) for manifest in others]

    async def _apply_all(self, account: Account, model: ModelDeployment, plan: Plan) -> list[ClusterError]:
        """Apply every child, whatever becomes of the others: a claim that may not grow holds up no rollout.

        Applies nothing where a name is somebody else's: pods must not mount a claim that is not their model's.
        """
        manifests = desired(model, self._loader_image_for(account, model), plan)
        others = await not_ours(self._client, self._view, account, manifests)
        if others:
            return [taken(manifest, "so nothing is applied") for manifest in others]
        failures = []
        # First, and not without: what it notes of a revision that failed is what the rest follows from.
        if kept := await self._rollouts.keep(model, plan):
            account.applied["Deployment", kept.name] = kept.uid, _version(kept)
        steps = [
            *(partial(self._apply, account, manifest) for manifest in manifests),
            *(partial(delete, self._client, kind, child) for kind, child in self._rollouts.superseded(model, plan)),
        ]
        for step in steps:
            try:
                await step()
            except ClusterError as failure:
                failures.append(failure)
        return failures

    def _note(self, account: Account, failures: Sequence[ClusterError]) -> None:
        """Say what failed; what may well succeed the next time is said only if it has failed before."""
        error = said(failures, again=account.apply_failed)
        account.apply_failed = bool(failures)
        if error != account.apply_error:
            account.apply_error = error
            self._changed(account.ref.uid)

    def _note_pods(self, account: Account) -> None:
        """Keep why its Deployment's pods are refused."""
        found = deployments(self._view, account.ref)
        error = next((error for deployment in found if (error := refused_pods(deployment))), None)
        if error != account.pods_error:
            account.pods_error = error
            self._changed(account.ref.uid)

    async def _apply(self, account: Account, manifest: dict[str, Any]) -> None:
        """Apply a child by force, for its fields are ours; what is somebody else's stays theirs."""
        applied = msgspec.json.decode(await self._client.apply(path_of(manifest), manifest), type=Bare)
        account.applied[kind_and_name(manifest)] = applied.metadata.uid, _version(applied.metadata)

    def _loader_image_for(self, account: Account, model: ModelDeployment) -> str:
        """The loader image that an unchanged spec already runs: a new operator restarts nobody's pods."""
        for deployment in deployments(self._view, account.ref):
            annotations = deployment.metadata.annotations
            if annotations.get(TEMPLATE_HASH) == template_hash(model):
                return loader_image_of(annotations) or self._loader_image
        return self._loader_image

    async def _tear_down(self, account: Account) -> None:
        """Remove the children, and say once that none is left that could still cost."""
        try:
            left = await remove_children(self._client, account.ref)
        except ClusterError as failure:
            self._note(account, [failure])
            raise
        self._note(account, [])
        if left:
            # Their ends come by watches, of which one may hang.
            self.queue.add_later(account.ref.uid, LEFT_RETRY_SECONDS)
        elif not account.torn_down:
            account.torn_down = True
            self._emptied(account.ref.uid)


def _planned(account: Account, kind: str, metadata: Metadata) -> bool:
    """Whether a rollout's plan is made of this child: shown by a watch that was late, it may make another one."""
    if account.rolling:
        return True
    return kind == "Deployment" and (account.rollout_said != (None, None) or metadata.name != account.ref.name)


def _version(metadata: Metadata) -> str:
    """What changes when somebody edits a child: its generation, where the kind has none its resourceVersion."""
    return str(metadata.generation or metadata.resource_version)
