"""What is told as Kubernetes Events when a status changes: problems, that all is well, and a load's begin and end.

The status that was written last says what has been told: neither a restart of the operator nor another pass repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

from modelmeter.api.model_deployment_status import Condition, ModelDeploymentStatus
from modelmeter.cluster.client import Client
from modelmeter.cluster.events import about_model, record
from modelmeter.control.accounts import Account
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.facts import pod_facts
from modelmeter.provision.checks import LOADED, LOADING, MODEL_AVAILABLE, PROBLEMS, READY
from modelmeter.provision.loaded import outcome
from modelmeter.provision.workload import template_hash

TELL_AGAIN: Final = timedelta(minutes=10)
"""How often one reason is told as an event at the most: what comes and goes, as a crash loop does, fills no list."""


class _News(NamedTuple):
    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


class Telling:
    """Writes Events about models."""

    def __init__(self, client: Client, belongings: Belongings, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._belongings = belongings
        self._clock = clock

    async def tell(self, account: Account, before: ModelDeploymentStatus | None, after: ModelDeploymentStatus) -> None:
        """One Event for whatever is new since the status before."""
        now = self._clock()
        if before is None or before.observed_generation != after.observed_generation:
            # Another spec is another load, however soon it follows.
            for reason in (LOADING, LOADED):
                account.told.pop(reason, None)
        for news in (*_states(before, after), *self._load(account, before, after)):
            told = account.told.get(news.reason)
            if not told or now - told >= TELL_AGAIN:
                account.told[news.reason] = now
                await record(self._client, about_model(account.ref), news.kind, news.reason, news.message, now)

    def _load(
        self, account: Account, before: ModelDeploymentStatus | None, after: ModelDeploymentStatus
    ) -> Iterator[_News]:
        """That a load has begun or is done; that it failed is a problem."""
        then, now = _condition(before), _condition(after)
        if now is None:
            return
        if now.reason == LOADING and (then is None or then.reason != LOADING):
            yield _News("Normal", LOADING, now.message)
        # Of a model without a status nobody knows when it was loaded.
        if now.status == "True" and then is not None and then.status != "True":
            yield _News("Normal", LOADED, self._outcome(account) or now.message)

    def _outcome(self, account: Account) -> str | None:
        if account.model is None:
            return None
        current = template_hash(account.model)
        pods = (pod_facts(pod) for pod in self._belongings.pods(account) if is_child(pod.metadata))
        return outcome(pod for pod in pods if pod.template_hash == current)


def _states(before: ModelDeploymentStatus | None, after: ModelDeploymentStatus) -> Iterator[_News]:
    """One Warning for each reason that is new and a problem; one Normal event where all has become well."""
    known = {entry.reason for entry in before.conditions if entry.status != "Unknown"} if before else set()
    for entry in after.conditions:
        if entry.status == "Unknown" or entry.reason in known:
            continue
        if entry.reason in PROBLEMS:
            yield _News("Warning", entry.reason, entry.message)
        elif entry.reason == READY:
            yield _News("Normal", entry.reason, entry.message)


def _condition(status: ModelDeploymentStatus | None) -> Condition | None:
    entries = status.conditions if status else ()
    return next((entry for entry in entries if entry.type == MODEL_AVAILABLE), None)
