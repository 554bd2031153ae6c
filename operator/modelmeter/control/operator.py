"""The operator without kopf: who is told of what, and what runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modelmeter.api.names import LEDGER_FINALIZER
from modelmeter.api.resources import model_deployment
from modelmeter.api.scalars import instant
from modelmeter.cluster.client import Client
from modelmeter.cluster.clock import Clock
from modelmeter.cluster.finalizers import remove_finalizer
from modelmeter.cluster.paths import path
from modelmeter.cluster.statements import Statements
from modelmeter.control import startup
from modelmeter.control.accounts import Account, Accounts, account_of, priced_since
from modelmeter.control.adopting import Adopting
from modelmeter.control.belongings import Belongings
from modelmeter.control.benchmarking import Benchmarking
from modelmeter.control.capturing import Capturing
from modelmeter.control.counting import Counting
from modelmeter.control.extras import Extras
from modelmeter.control.guarding import Guarding
from modelmeter.control.loading import Loading
from modelmeter.control.metering import Metering
from modelmeter.control.probing import Probing
from modelmeter.control.profiling import Profiling
from modelmeter.control.provisioning import Provisioning
from modelmeter.control.publishing import Publishing
from modelmeter.control.retaining import Retaining
from modelmeter.control.rollouts import Rollouts
from modelmeter.control.sharing import Sharing
from modelmeter.control.ticking import Ticking
from modelmeter.control.view import View
from modelmeter.errors import SpecError
from modelmeter.meter.objects import Bare, Claim, Pod
from modelmeter.settings import Settings

log = logging.getLogger(__name__)


class Operator:
    """Everything that runs in one operator process; `changed` and `gone` are told of ModelDeployments."""

    def __init__(self, client: Client, clock: Clock, settings: Settings) -> None:
        self._client = client
        self._clock = clock
        self._settings = settings
        self.accounts = Accounts()
        self.statements = Statements(client, settings.namespace)
        self.view = View(client, self._usage_changed, self._child_changed)
        self.belongings = Belongings(self.view, self.accounts)
        profiling = Profiling(self.view, clock)
        sharing = Sharing(self.view, self.belongings, profiling, clock)
        self.metering = Metering(
            client, self.view, self.accounts, self.belongings, sharing, self.statements, clock, self._news, self._ended
        )
        self.benchmarking = Benchmarking(
            client, self.view, self.accounts, self.belongings, settings.loader_image, self._news
        )
        rollouts = Rollouts(client, self.view, clock)
        self.publishing = Publishing(
            client,
            self.accounts,
            self.belongings,
            self.metering,
            self.benchmarking,
            rollouts,
            clock,
            settings.status_writes_per_second,
            self.gone,
        )
        self.provisioning = Provisioning(
            client,
            self.view,
            self.accounts,
            rollouts,
            clock,
            settings.loader_image,
            self._news,
            self.metering.queue.add,
        )
        self.extras = Extras(client, self.accounts, self._news)
        self.capturing = Capturing(client, self.view, self.accounts, self.belongings, profiling)
        self.adopting = Adopting(client, self.view, self.belongings, clock)
        self.probing = Probing(self.belongings, self.accounts, self._news)
        self.loading = Loading(self.belongings, self.accounts, self.publishing.queue.add)
        self.counting = Counting(self.view, self.belongings, clock, self.metering.count)
        self.guarding = Guarding(self.statements, self.accounts, self.metering.queue.add)
        self.retaining = Retaining(self.statements, self.accounts, clock, settings.retention_months)
        self.ticking = Ticking(self.accounts, self.metering, self.publishing, clock)

    async def prepare(self, patience_seconds: float | None = None) -> datetime:
        """Know all that exists before anything is written; consistently, for somebody else may have written last.

        Answers the moment up to which that is all there is to know; ClusterError after `patience_seconds`.
        """
        known = await startup.load(
            self._client, self.view, self.statements, self.accounts, self.changed, self._clock, patience_seconds
        )
        self.view.when_prices_change(self._repriced)
        for account in self.accounts:
            suspected = account.ledger_lost and account.page is not None and not account.page.lost
            if suspected and self.metering.covers(account):
                account.ledger_lost = None
            self._everything(account)
        return known

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (
                self.view.run(),
                self.metering.queue.run(self._settings.metering_workers),
                self.provisioning.queue.run(self._settings.apply_workers),
                self.extras.queue.run(self._settings.apply_workers),
                self.capturing.queue.run(self._settings.capture_workers),
                self.adopting.queue.run(self._settings.adopt_workers),
                self.probing.queue.run(self._settings.apply_workers),
                self.counting.run(self._settings.read_workers),
                self.benchmarking.queue.run(self._settings.adopt_workers),
                self.loading.run(self._settings.read_workers),
                self.publishing.queue.run(1),
                self.retaining.run(),
                self.guarding.run(),
                self.ticking.run(),
            ):
                group.create_task(work)

    def changed(self, body: Mapping[str, Any]) -> None:
        """A ModelDeployment was added or changed; also called again with what is known, and by a watch that is late."""
        metadata = body["metadata"]
        account = self.accounts.get(metadata["uid"])
        if account is not None and metadata["generation"] < account.generation:
            return
        news = account is None
        if account is None:
            account = account_of(body)
            self.accounts.add(account)
        account.finalizers = tuple(metadata.get("finalizers", ()))
        if account.generation != metadata["generation"] or account.model is None:
            news |= account.generation != metadata["generation"]
            account.generation = metadata["generation"]
            account.priced_since = priced_since(metadata)
            try:
                account.model, account.spec_error = model_deployment(body), None
            except SpecError as error:
                account.model, account.spec_error = None, str(error)
        deleted = metadata.get("deletionTimestamp")
        if deleted and account.deleted is None:
            account.deleted, news = instant(deleted), True
        if news:
            self._everything(account)
        elif account.deleted is None and LEDGER_FINALIZER not in account.finalizers:
            self.provisioning.queue.add(account.ref.uid)
        elif account.deleted is not None and account.page is not None and account.page.ended:
            self.metering.queue.add(account.ref.uid)

    def gone(self, uid: str) -> None:
        """A ModelDeployment is no longer there; its account stays until the last page is closed."""
        account = self.accounts.get(uid)
        if account is None or account.gone:
            return
        account.gone = True
        account.deleted = account.deleted or self._clock()
        self.metering.queue.add(uid)

    async def _ended(self, account: Account) -> None:
        """The last page is written: the ModelDeployment may go, and when it is gone, its account."""
        ref = account.ref
        if account.gone:
            left = list(self.belongings.objects(account))
            self.accounts.remove(account)
            self.ticking.forget(ref.uid)
            for kind, item in left:
                self.adopting.changed(self.belongings.owner(item.metadata), kind, item)
        elif LEDGER_FINALIZER in account.finalizers:
            where = path("ModelDeployment", ref.namespace, ref.name)
            await remove_finalizer(self._client, where, ref.uid, account.finalizers, LEDGER_FINALIZER)

    def _everything(self, account: Account) -> None:
        uid = account.ref.uid
        self.metering.queue.add(uid)
        for kind, item in self.belongings.objects(account):
            self._usage_changed(kind, item, gone=False)
        if not account.gone:
            self.provisioning.queue.add(uid)
            self.extras.queue.add(uid)
            self.publishing.queue.add(uid, urgent=True)

    def _usage_changed(self, kind: str, item: Pod | Claim, gone: bool) -> None:
        account = self.belongings.owner(item.metadata)
        if gone:
            self.adopting.gone(item.metadata.uid)
        else:
            self.adopting.changed(account, kind, item)
        if account is not None:
            self.metering.queue.add(account.ref.uid)
            if isinstance(item, Pod):
                self.capturing.pod_changed(account, item)
                self.provisioning.pod_changed(account)
                self.probing.pod_changed(account, item, gone)
                self.loading.pod_changed(account, item, gone)
                self.counting.pod_changed(item, gone)
                self.benchmarking.pod_changed(account, item)

    def _child_changed(self, kind: str, child: Bare | Claim, gone: bool) -> None:
        self.provisioning.child_changed(kind, child, gone)
        account = self.belongings.owner(child.metadata)
        if kind == "Job" and account is not None:
            self.benchmarking.queue.add(account.ref.uid)
            self._news(account.ref.uid)

    def _news(self, uid: str) -> None:
        self.publishing.queue.add(uid, urgent=True)

    def _repriced(self) -> None:
        for account in self.accounts:
            self.metering.queue.add(account.ref.uid)
