"""From an account to the status of its ModelDeployment: recomputed, compared, written only where it differs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from modelmeter.api.model_deployment_status import ModelDeploymentStatus, Replicas
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.cluster.present import present
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.benchmarking import Benchmarking
from modelmeter.control.facts import observed
from modelmeter.control.metering import Metering
from modelmeter.control.pace import Pace
from modelmeter.control.rollouts import Rollouts
from modelmeter.control.telling import Telling
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import ClusterError, LedgerError, NotFound
from modelmeter.meter import inference, publish
from modelmeter.meter.account import NO_TARIFF, live_page, tariff_of
from modelmeter.provision.autoscaler import wakes
from modelmeter.provision.labels import selector
from modelmeter.provision.readiness import conditions, model_status, reason
from modelmeter.provision.service import endpoints

log = logging.getLogger(__name__)

REST_SECONDS: Final = 1.0
"""How often one status is written at the most."""
GONE_STATUSES: Final = (409, 422)
"""What the API server answers where another object has the name: our UID does not fit."""


class Publishing:
    """Writes statuses, at most `writes_per_second` for the whole cluster; `gone` hears of models that vanished."""

    def __init__(
        self,
        client: Client,
        accounts: Accounts,
        belongings: Belongings,
        metering: Metering,
        benchmarking: Benchmarking,
        rollouts: Rollouts,
        clock: Callable[[], datetime],
        writes_per_second: float,
        gone: Callable[[str], None],
    ) -> None:
        self._client = client
        self._accounts = accounts
        self._belongings = belongings
        self._metering = metering
        self._benchmarking = benchmarking
        self._rollouts = rollouts
        self._clock = clock
        self._pace = Pace(writes_per_second)
        self._gone = gone
        self._telling = Telling(client, belongings, clock)
        self.queue = WorkQueue("publish", self._publish, REST_SECONDS)

    async def _publish(self, uid: str) -> None:
        account = self._accounts.get(uid)
        if account is None or account.gone:
            return
        before = account.published
        status = self.status(account)
        self._benchmarking.judged(account)
        if before is not None and _same(before, status):
            return
        await self._pace.turn()
        if not await self._write(account, status):
            return
        account.published = status
        await self._telling.tell(account, before, status)

    def status(self, account: Account) -> ModelDeploymentStatus:
        """The status as of now."""
        now = self._clock()
        model = account.model
        plan = self._rollouts.plan(account, model) if model else None
        try:
            facts = self._metering.facts(account)
            page = live_page(account.page, facts) if account.page else None
        except LedgerError:
            # Its pass says why.
            facts, page = self._metering.facts(account, blind=True), None
        tariff = tariff_of(page, facts.tariff) if page else NO_TARIFF
        pods = (pod for pod in self._belongings.pods(account) if is_child(pod.metadata))
        claims = (claim for claim in self._belongings.claims(account) if is_child(claim.metadata))
        seen = replace(
            observed(account, pods, claims, now),
            template_hash=plan.serving_hash if plan else "",
            spec_error=account.spec_error,
            apply_error="; ".join(filter(None, (account.apply_error, account.extras_error))) or None,
            pods_error=account.pods_error,
            triton=account.triton,
            load=account.load,
            metering_error=account.metering_error,
            ledger_error=account.ledger_error,
            ledger_lost=account.ledger_lost,
            metered=page is not None,
            price_book=model.spec.pricing.price_book if model else "",
            price_book_found=facts.tariff is not NO_TARIFF,
            price_book_error=facts.tariff.error,
            price_book_currency=facts.tariff.currency,
            currency=page.currency if page else "",
            unpriced=publish.unpriced_items(page, facts.holdings, tariff, now) if page else (),
            deleting=account.deleted is not None,
            benchmark=self._benchmarking.facts(account),
            wakes=model is not None and wakes(model),
            canary=plan.canary if plan else None,
            canary_stuck=plan is not None and plan.canary_stuck,
            rolled_back=plan.rolled_back if plan else None,
        )
        account.conditions = conditions(seen, account.conditions, now)
        shown = account.published
        if account.metering_error and shown is not None:
            # A page that breaks an invariant is no source of figures: the last good ones stay, with their moment.
            page = None
        return ModelDeploymentStatus(
            observed_generation=account.generation,
            conditions=list(account.conditions),
            replicas=sum(1 for _ in seen.held()),
            ready_replicas=seen.ready,
            ready=f"{seen.ready}/{seen.desired}",
            reason=reason(account.conditions),
            selector=selector(model) if model else "",
            endpoints=endpoints(model) if model else None,
            model=model_status(seen) or (account.published.model if account.published else None),
            usage=publish.usage(page) if page else shown.usage if shown else None,
            cost=publish.cost_of(
                page,
                publish.per_hour(page, facts.holdings, tariff, now),
                Replicas(desired=seen.desired, ready=seen.ready),
                max(now, page.posted_through),
            )
            if page
            else shown.cost
            if shown
            else None,
            inference=inference.status(page) if page else shown.inference if shown else None,
            performance=self._benchmarking.performance(account, facts.holdings, tariff, now),
        )

    async def _write(self, account: Account, status: ModelDeploymentStatus) -> bool:
        body = {
            "metadata": {"uid": account.ref.uid},
            "status": status.model_dump(mode="json", by_alias=True),
        }
        try:
            await self._client.merge_patch(
                path("ModelDeployment", account.ref.namespace, account.ref.name, "status"), body
            )
        except NotFound:
            self._gone(account.ref.uid)
            return False
        except ClusterError as error:
            if error.status not in GONE_STATUSES or await self._is_there(account):
                raise
            self._gone(account.ref.uid)
            return False
        return True

    async def _is_there(self, account: Account) -> bool:
        there = await present(self._client, path("ModelDeployment", account.ref.namespace, account.ref.name))
        return there is not None and there.uid == account.ref.uid


def _same(before: ModelDeploymentStatus, after: ModelDeploymentStatus) -> bool:
    """True where nothing but the moment differs."""
    if before.cost is None or after.cost is None:
        return before == after
    same_moment = after.cost.model_copy(update={"as_of": before.cost.as_of})
    return before == after.model_copy(update={"cost": same_moment})
