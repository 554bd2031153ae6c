"""Asks one ready pod of each model whether its Triton answers; when its ready pods change, and now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modelmeter.cluster.triton import model_ready
from modelmeter.control.accounts import Account, Accounts
from modelmeter.control.belongings import Belongings, is_child
from modelmeter.control.facts import pod_facts
from modelmeter.control.workqueue import WorkQueue
from modelmeter.meter.objects import Pod
from modelmeter.provision.service import PORTS

WELL_SECONDS: Final = 60.0
"""How often a model that answers is asked again."""
REST_SECONDS: Final = 1.0
"""How often one is asked at the most, however many pods become ready."""
ILL_SECONDS: Final = 5.0
"""How often one that does not answer is asked again, at first; up to WELL_SECONDS."""


class Probing:
    """Keeps `account.triton`; `changed` is called with a model's UID where the answer differs from the last."""

    def __init__(self, belongings: Belongings, accounts: Accounts, changed: Callable[[str], None]) -> None:
        self._belongings = belongings
        self._accounts = accounts
        self._changed = changed
        self._asked: dict[str, frozenset[str]] = {}
        self._ill: dict[str, int] = {}
        self.queue = WorkQueue("probe", self._probe, REST_SECONDS)

    def pod_changed(self, account: Account, pod: Pod, gone: bool = False) -> None:
        """Ask anew where the pod has become ready, or is no longer."""
        uid = account.ref.uid
        if (pod.status.pod_ip in self._asked.get(uid, ())) != (not gone and _is_ready(pod)):
            self.queue.add(uid)

    async def _probe(self, uid: str) -> None:
        account = self._accounts.get(uid)
        if account is None or account.gone or account.deleted is not None:
            self._asked.pop(uid, None)
            self._ill.pop(uid, None)
            return
        addresses = self._ready(account)
        self._asked[uid] = frozenset(addresses)
        answer = await model_ready(addresses[0], PORTS["http"], account.ref.name) if addresses else None
        self._ill[uid] = 0 if answer is None or answer[0] else self._ill.get(uid, 0) + 1
        if answer is not None:
            ill = self._ill[uid]
            self.queue.add_later(uid, min(WELL_SECONDS, ILL_SECONDS * ill) if ill else WELL_SECONDS)
        if answer != account.triton:
            account.triton = answer
            self._changed(uid)

    def _ready(self, account: Account) -> list[str]:
        """Addresses of the pods that are ready, the newest first: what a rollout brings is asked first."""
        ready = [pod for pod in self._belongings.pods(account) if _is_ready(pod)]
        ready.sort(key=lambda pod: (str(pod.metadata.creation_timestamp), pod.metadata.name), reverse=True)
        return [pod.status.pod_ip for pod in ready]


def _is_ready(pod: Pod) -> bool:
    return is_child(pod.metadata) and bool(pod.status.pod_ip) and pod_facts(pod).ready
