"""Asks one pod of each model that loads how far it is; few in a second, for each answer may be a status to write."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import aiohttp

from modelmeter.cluster.load_progress import LoadAnswer, read_progress
from modelmeter.cluster.pods import Unread, new_session
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.pace import Pace, ever_rarer
from modelmeter.control.workqueue import WorkQueue
from modelmeter.meter.objects import Pod
from modelmeter.provision.loading import LoadProgress
from modelmeter.provision.pod import LOADER
from modelmeter.provision.service import PORTS

log = logging.getLogger(__name__)

ASK_SECONDS: Final = 5.0
"""How often a model's loader is asked, where there are not too many."""
ASKS_PER_SECOND: Final = 10.0
"""Of all models at the most: 200 that load at once are asked every 20 s."""
SOON_SECONDS: Final = 1.0
ILL_SECONDS: Final = 60.0
"""One that does not answer is asked again soon, for it may just have begun, and then ever more rarely, up to this."""
SAID_CHARACTERS: Final = 200
"""How much of a loader's words is kept."""


class Loading:
    """Keeps `account.load`; `changed` is called with a model's UID where it has come a step further."""

    def __init__(
        self,
        belongings: Belongings,
        accounts: Accounts,
        changed: Callable[[str], None],
        port: int = PORTS["http"],
    ) -> None:
        self._belongings = belongings
        self._accounts = accounts
        self._changed = changed
        self._port = port
        self._asked: dict[str, str] = {}
        """Model to the pod that is asked."""
        self._failures: dict[str, int] = {}
        """Of that pod, in a row."""
        self._pace = Pace(ASKS_PER_SECOND)
        self._session: aiohttp.ClientSession | None = None
        self.queue = WorkQueue("load", self._ask)

    async def run(self, workers: int) -> None:
        """Ask until cancelled; a pod that does not answer keeps one of the workers for 2 s."""
        async with new_session() as self._session:
            await self.queue.run(workers)

    def pod_changed(self, account: Account, pod: Pod, gone: bool = False) -> None:
        """Ask where a loader has begun, or where the one that was asked has ended; O(1) for all else."""
        asked = self._asked.get(account.ref.uid)
        loads = not gone and _loads(pod)
        if (asked is None) if loads else (asked == pod.metadata.uid):
            self.queue.add(account.ref.uid)

    async def _ask(self, uid: str) -> None:
        account = self._accounts.get(uid)
        pod = next(filter(_loads, self._belongings.pods(account)), None) if account else None
        if account is None or pod is None:
            self._forget(uid, account)
            return
        if self._asked.get(uid) != pod.metadata.uid:
            self._forget(uid, account)
            self._asked[uid] = pod.metadata.uid
        await self._pace.turn()
        assert self._session is not None
        answer = await read_progress(self._session, pod.status.pod_ip, self._port)
        failures = self._failures[uid] = self._failures.get(uid, 0) + 1 if isinstance(answer, Unread) else 0
        if isinstance(answer, Unread):
            log.debug("loader of pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, answer.reason)
        before = account.load
        if not isinstance(answer, Unread):
            account.load = _progress(pod, answer)
        elif failures > 1:
            # Once may be a loader that has its processor taken; what it said longer ago is not how far it is.
            account.load = None
        if (before and before.step()) != (account.load and account.load.step()):
            self._changed(uid)
        self.queue.add_later(uid, ever_rarer(SOON_SECONDS, failures, ILL_SECONDS) if failures else ASK_SECONDS)

    def _forget(self, uid: str, account: Account | None) -> None:
        self._asked.pop(uid, None)
        self._failures.pop(uid, None)
        if account is not None:
            account.load = None


def _loads(pod: Pod) -> bool:
    """Whether its loader runs and may be asked."""
    if not is_child(pod.metadata) or not pod.status.pod_ip or pod.metadata.deletion_timestamp is not None:
        return False
    return any(entry.name == LOADER and entry.state.running is not None for entry in pod.status.init_container_statuses)


def _progress(pod: Pod, answer: LoadAnswer) -> LoadProgress:
    return LoadProgress(
        pod.metadata.name,
        answer.phase[:SAID_CHARACTERS],
        answer.file[:SAID_CHARACTERS],
        answer.bytes,
        answer.total_bytes,
        answer.trouble[:SAID_CHARACTERS],
    )
