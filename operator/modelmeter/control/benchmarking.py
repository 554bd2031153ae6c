"""Makes a model's benchmark Job once it is Ready, notes on the Job what came of it, and says so to the status.

What came of it must outlive the pod and this process: it is an annotation on the Job, and the status is made of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from modelmeter.api.benchmark import Outcome, Performance
from modelmeter.api.names import BENCHMARK_OUTCOME, CONFIG_HASH
from modelmeter.api.resources import ModelDeployment
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path, path_of
from modelmeter.cluster.present import present
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.facts import benchmark_outcome, job_facts, pod_facts
from modelmeter.control.refusals import REFUSED_RETRY_SECONDS, Refused, refusal_of, taken
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.errors import Conflict, NotFound
from modelmeter.meter.holding import Holding
from modelmeter.meter.lifetime import TERMINAL
from modelmeter.meter.objects import Job, Pod
from modelmeter.meter.performance import cost_per_1000, replica_per_hour, text
from modelmeter.meter.prices import Tariff
from modelmeter.meter.profiles import captured
from modelmeter.meter.requests import gpu_resources
from modelmeter.provision.benchmark import CONTAINER, JobFacts, current, job, newest, superfluous, wanted
from modelmeter.provision.checks import READY
from modelmeter.provision.labels import is_child_of
from modelmeter.provision.observed import BenchmarkFacts
from modelmeter.provision.workload import template_hash

JOB_UID: Final = "batch.kubernetes.io/controller-uid"
"""Label that the Job controller puts on a Job's pods: a Job of the same name may be another one."""
LOST: Final = "its pod was gone before anybody could read what it had found"


class Benchmarking:
    """Keeps each model's benchmark Jobs; `changed` hears of models whose conditions may differ."""

    def __init__(
        self,
        client: Client,
        view: View,
        accounts: Accounts,
        belongings: Belongings,
        image: str,
        changed: Callable[[str], None],
    ) -> None:
        self._client = client
        self._view = view
        self._accounts = accounts
        self._belongings = belongings
        self._image = image
        self._changed = changed
        self.queue = WorkQueue("benchmark", self._work)

    def judged(self, account: Account) -> None:
        """The model's conditions are known anew."""
        if (account.model and account.model.spec.benchmark) or self._jobs(account):
            self.queue.add(account.ref.uid)

    def pod_changed(self, account: Account, pod: Pod) -> None:
        """A pod of the model changed; what it found is kept at once, for it may be gone at the next moment."""
        job_uid = _job_uid(pod)
        if job_uid and pod.status.phase in TERMINAL and (found := benchmark_outcome(pod)):
            account.benchmarks[job_uid] = found
            self.queue.add(account.ref.uid)

    def facts(self, account: Account) -> BenchmarkFacts | None:
        """What condition Benchmarked is made of; None where nothing is to be measured."""
        model = account.model
        if model is None or model.spec.benchmark is None:
            return None
        products = self._products(account, model)
        now = current(model, map(job_facts, self._jobs(account)), wanted(model, products))
        facts = BenchmarkFacts(model.spec.benchmark.p95_milliseconds, products, refused=account.benchmark_error or "")
        if now is None:
            return facts
        # A Job may be over a moment before its pod's end is seen, or noted; one that was drained tells no end.
        pods = [pod for pod in self._belongings.pods(account) if _job_uid(pod) == now.uid]
        tell = any(pod.status.phase not in TERMINAL or benchmark_outcome(pod) for pod in pods)
        unread = now.uid in account.benchmarks or tell
        ended = now.ended_message or LOST if now.ended and not unread else ""
        own = map(pod_facts, pods)
        waits = next((pod.scheduling_message for pod in own if pod.stays and not pod.scheduled), "")
        return replace(facts, job=now.name, outcome=now.outcome, ended=ended, unscheduled=waits)

    def performance(
        self, account: Account, held: Iterable[Holding], tariff: Tariff, now: datetime
    ) -> Performance | None:
        """What was measured last, and what that costs where replicas of what was measured run."""
        model = account.model
        if model is None or model.spec.benchmark is None:
            return None
        config = wanted(model, self._products(account, model))
        last = newest(map(job_facts, self._jobs(account)), config)
        if last is None:
            return None
        entry, found = last
        fits = entry.config_hash == config
        replicas = {pod.metadata.uid for pod in self._replicas(account, model) if fits}
        per_hour = replica_per_hour([holding for holding in held if holding.uid in replicas], tariff, now)
        rate = Fraction(found.inferences_per_second)
        return Performance(
            **found._asdict(),
            gpu_product=entry.gpu_product,
            config_hash=entry.config_hash,
            cost_per1000_at_slo=None if per_hour is None else text(cost_per_1000(per_hour, rate)),
        )

    async def _work(self, uid: str) -> None:
        account = self._accounts.get(uid)
        if account is None or account.gone or account.deleted is not None or account.model is None:
            return
        error = None
        try:
            await self._reconcile(account, account.model)
        except Refused as refused:
            error = str(refused)
            self.queue.add_later(uid, REFUSED_RETRY_SECONDS)
        if error != account.benchmark_error:
            account.benchmark_error = error
            self._changed(uid)

    async def _reconcile(self, account: Account, model: ModelDeployment) -> None:
        jobs = [job_facts(entry) for entry in self._jobs(account)]
        for entry in jobs:
            if entry.outcome is None and (found := account.benchmarks.get(entry.uid)):
                await self._note(account, entry, found)
        # A Job that is not there may be one that a late watch has yet to show; then its pod is there.
        known = {entry.uid for entry in jobs} | self._jobs_of_pods(account)
        noted = {entry.uid for entry in jobs if entry.outcome is not None}
        account.benchmarks = {uid: found for uid, found in account.benchmarks.items() if uid in known - noted}
        products = self._products(account, model)
        config = wanted(model, products)
        for entry in superfluous(model, jobs, config):
            with refusal_of(f"Job {entry.name} cannot be deleted"), suppress(Conflict):
                await self._client.delete(path("Job", account.ref.namespace, entry.name), entry.uid)
        if config and _is_ready(account) and all(entry.config_hash != config for entry in jobs):
            with refusal_of("the Job cannot be made"):
                await self._make(account, job(model, self._image, products[0]))

    async def _make(self, account: Account, manifest: dict[str, Any]) -> None:
        """Never applied again: nobody may change a Job's template, and another operator has another image."""
        where = path_of(manifest)
        try:
            await self._client.create(where.rpartition("/")[0], manifest)
        except Conflict:
            # It is our own where the watch is late.
            there = await present(self._client, where)
            if there is not None and not is_child_of(account.ref.uid, there.labels):
                raise taken(manifest, "so nothing is measured") from None

    async def _note(self, account: Account, entry: JobFacts, outcome: Outcome) -> None:
        body = {
            "metadata": {
                "uid": entry.uid,
                "annotations": {BENCHMARK_OUTCOME: outcome.model_dump_json(by_alias=True, exclude_defaults=True)},
            }
        }
        where = path("Job", account.ref.namespace, entry.name)
        try:
            with refusal_of(f"what Job {entry.name} found cannot be noted on it"), suppress(NotFound, Conflict):
                await self._client.merge_patch(where, body)
        except Refused:
            # The UID of another Job of this name is refused as if it were to be changed.
            there = await present(self._client, where)
            if there is not None and there.uid == entry.uid:
                raise

    def _jobs(self, account: Account) -> list[Job]:
        """The model's benchmark Jobs that are not being deleted."""
        ref = account.ref
        found = self._view.children["Job"].of(ref.namespace, ref.name, ref.uid)
        return [
            entry
            for entry in found
            if isinstance(entry, Job)
            and CONFIG_HASH in entry.metadata.annotations
            and entry.metadata.deletion_timestamp is None
        ]

    def _jobs_of_pods(self, account: Account) -> set[str]:
        """UIDs of the Jobs of which there are pods."""
        return {uid for pod in self._belongings.pods(account) if (uid := _job_uid(pod))}

    def _replicas(self, account: Account, model: ModelDeployment) -> list[Pod]:
        """Pods that answer, of the current spec."""
        template = template_hash(model)
        pods = ((pod, pod_facts(pod)) for pod in self._belongings.pods(account) if is_child(pod.metadata))
        return [pod for pod, facts in pods if facts.ready and not facts.deleting and facts.template_hash == template]

    def _products(self, account: Account, model: ModelDeployment) -> tuple[str, ...]:
        """GPU products of the replicas, empty for one without GPUs; none at all until all of them are known."""
        replicas = self._replicas(account, model)
        known = [captured(pod) for pod in replicas]
        if not all(known):
            return ()
        return tuple(
            sorted(
                {
                    found.profile.gpu_product if gpu_resources(pod) or pod.spec.resource_claims else ""
                    for pod, found in zip(replicas, known, strict=True)
                    if found
                }
            )
        )


def _is_ready(account: Account) -> bool:
    """Whether all replicas of the current spec answer, as the status says."""
    return any(
        entry.type == READY and entry.status == "True" and entry.observed_generation == account.generation
        for entry in account.conditions
    )


def _job_uid(pod: Pod) -> str:
    """UID of the benchmark Job that a pod is of; empty where it is of none."""
    labels = pod.metadata.labels
    return labels.get(JOB_UID, "") if labels.get("app.kubernetes.io/component") == CONTAINER else ""
