"""Reads the statistics of every ready pod now and then, and of one that is told to end until it no longer answers.

Readings wait on the account until its page is written; they hold up neither a write nor a release.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import aiohttp

from modelmeter.api.names import bert_name
from modelmeter.cluster.pods import Unread, new_session
from modelmeter.cluster.statistics import Statistics, read_statistics
from modelmeter.control.accounts import Account
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.pace import Pace, ever_rarer
from modelmeter.control.view import View
from modelmeter.control.workqueue import WorkQueue
from modelmeter.meter.counting import Counters, Reading, base_of, goes_on, latest
from modelmeter.meter.inference import Counts
from modelmeter.meter.lifetime import TERMINAL
from modelmeter.meter.objects import ContainerStatus, Pod
from modelmeter.provision.pod import TRITON
from modelmeter.provision.service import PORTS

log = logging.getLogger(__name__)

SHORTEST_READ_SECONDS: Final = 5.0
LONGEST_READ_SECONDS: Final = 60.0
READ_SECONDS_PER_POD: Final = 0.1
"""How often a pod is read: each pod there is makes it rarer for all, between these two."""
DRAIN_SECONDS: Final = 1.0
"""How often one that was told to end is: it answers until its preStop hook is over."""
READS_PER_SECOND: Final = 50.0
"""Of all pods at the most; those that are told to end come first."""
ILL_SECONDS: Final = 600.0
"""How often one that does not answer is asked at least; at first as soon as any other, then ever more rarely."""


class Counting:
    """Keeps `account.readings`; work is O(1) for each change of a pod."""

    def __init__(
        self,
        view: View,
        belongings: Belongings,
        clock: Callable[[], datetime],
        write: Callable[[Account], None],
        port: int = PORTS["http"],
    ) -> None:
        """`write` is called where readings are not to wait for the next write of a model's page."""
        self._port = port
        self._view = view
        self._write = write
        self._belongings = belongings
        self._clock = clock
        self._failures: dict[str, int] = {}
        """Of the pods that are read: how often in a row one did not answer."""
        self._draining: set[str] = set()
        self._pace = Pace(READS_PER_SECOND)
        self._session: aiohttp.ClientSession | None = None
        self.queue = WorkQueue("count", self._read)

    def unread_pods(self) -> int:
        """Pods that did not answer when they were last asked; not those that are told to end."""
        return sum(failures > 0 and uid not in self._draining for uid, failures in self._failures.items())

    async def run(self, workers: int) -> None:
        """Read until cancelled; a pod that does not answer keeps one of the workers for 2 s."""
        async with new_session() as self._session:
            await self.queue.run(workers)

    def pod_changed(self, pod: Pod, gone: bool = False) -> None:
        """Read a pod that has become ready, and at once one that is told to end."""
        uid = pod.metadata.uid
        if gone or not _answers(pod):
            self._leave(uid)
        elif pod.metadata.deletion_timestamp is not None and uid not in self._draining:
            self._draining.add(uid)
            self._failures[uid] = 0
            self.queue.add(uid, urgent=True)
        elif uid not in self._failures:
            self._failures[uid] = 0
            self.queue.add(uid)

    def _leave(self, uid: str) -> None:
        self._failures.pop(uid, None)
        self._draining.discard(uid)

    async def _read(self, uid: str) -> None:
        await self._pace.turn()
        pod = self._view.find("Pod", uid)
        account = self._belongings.owner(pod.metadata) if pod else None
        if uid not in self._failures or not isinstance(pod, Pod) or account is None:
            self._leave(uid)
            return
        at = self._clock()
        assert self._session is not None
        answer = await read_statistics(self._session, pod.status.pod_ip, self._port)
        counters = answer if isinstance(answer, Unread) else _counters(answer, account.ref.name)
        failures = 0
        if isinstance(counters, Unread):
            failures = self._failures.get(uid, 0) + 1
            log.debug("statistics of pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, counters.reason)
        else:
            self._keep(account, _reading(pod, at, counters))
        if uid not in self._failures:
            return
        self._failures[uid] = failures
        draining = uid in self._draining
        pause = DRAIN_SECONDS if draining else self._read_seconds()
        self.queue.add_later(uid, ever_rarer(pause, failures, ILL_SECONDS), urgent=draining)

    def _keep(self, account: Account, reading: Reading) -> None:
        known, tally = account.readings.get(reading.uid, ()), account.page.tally if account.page else None
        text = tally.bases.get(reading.uid) if tally else None
        base = base_of(text) if text else None
        account.readings[reading.uid] = latest(known, reading, base)
        first = tally is not None and tally.read_at is None
        if first or not goes_on(known[-1] if known else base, reading):
            # Of a run that is over nobody can ask again.
            self._write(account)

    def _read_seconds(self) -> float:
        return min(LONGEST_READ_SECONDS, max(SHORTEST_READ_SECONDS, READ_SECONDS_PER_POD * len(self._failures)))


def counts_of(account: Account, belongings: Belongings) -> Counts:
    """What a pass over a model's page has to know of its servers."""
    pods = [pod for pod in belongings.pods(account) if is_child(pod.metadata)]
    return Counts(
        readings=tuple(reading for readings in account.readings.values() for reading in readings),
        existing=frozenset(pod.metadata.uid for pod in pods),
        served=frozenset(pod.metadata.uid for pod in pods if _began(pod)),
        due=account.counts_due,
    )


def _answers(pod: Pod) -> bool:
    """Whether its Triton may be asked: it is ready, or was told to end and has not."""
    if not is_child(pod.metadata) or not pod.status.pod_ip or pod.status.phase in TERMINAL:
        return False
    ready = any(entry.type == "Ready" and entry.status == "True" for entry in pod.status.conditions)
    return ready or (pod.metadata.deletion_timestamp is not None and _began(pod))


def _began(pod: Pod) -> bool:
    """Whether its server has ever begun; a container that only ever waited has no state before."""
    status = _triton(pod)
    return bool(status.name) and (status.state.waiting is None or status.last_state.terminated is not None)


def _triton(pod: Pod) -> ContainerStatus:
    return next((entry for entry in pod.status.container_statuses if entry.name == TRITON), ContainerStatus())


def _reading(pod: Pod, at: datetime, counters: Counters) -> Reading:
    status = _triton(pod)
    ended = status.last_state.terminated
    return Reading(
        uid=pod.metadata.uid,
        created=pod.metadata.creation_timestamp or at,
        run=status.restart_count,
        run_before_ended=ended.finished_at if ended else None,
        at=at,
        draining=pod.metadata.deletion_timestamp is not None,
        counters=counters,
    )


def _counters(statistics: Iterable[Statistics], model: str) -> Counters | Unread:
    """The counters of the ensemble and of its BERT, each the sum over its versions."""
    found = list(statistics)
    ensemble = [entry for entry in found if entry.name == model]
    bert = [entry for entry in found if entry.name == bert_name(model)]
    if not ensemble or not bert:
        return Unread(f"no statistics of {model} and {bert_name(model)}: they are not loaded")
    return Counters(
        answered=sum(entry.inference_stats.success.count for entry in ensemble),
        failed=sum(entry.inference_stats.fail.count for entry in ensemble),
        inferences=sum(entry.inference_count for entry in ensemble),
        request_nanoseconds=sum(entry.inference_stats.success.ns for entry in ensemble),
        compute_nanoseconds=sum(entry.compute_nanoseconds() for entry in ensemble),
        executions=sum(entry.execution_count for entry in bert),
        executed=sum(entry.inference_count for entry in bert),
        busy_nanoseconds=sum(entry.busy_nanoseconds() for entry in bert),
    )
