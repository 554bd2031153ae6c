"""Every kopf decorator. kopf owns the watch of ModelDeployments and the process' life; the work is elsewhere.

The handler is level-triggered: it tells the operator what a ModelDeployment is now. So kopf keeps no progress
on the resource, and the ledger's finalizer, which must leave only after the last statement, is not kopf's.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

import kopf

from modelmeter.api.names import GROUP, VERSION
from modelmeter.cluster.client import Client
from modelmeter.control.operator import Operator

PLURAL: Final = "modeldeployments"

WORKERS: Final = 16
WORKER_IDLE_SECONDS: Final = 0.05
"""Without a limit a burst of new objects costs a worker each; with kopf's 5 s of idling, 16 would be too few."""
WATCH_SECONDS: Final = 280
REQUEST_SECONDS: Final = 30


class _Undiffed(kopf.DiffBaseStorage):
    """Compares nothing: kopf would copy every object at every event for handlers of changes, and we have none."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise NotImplementedError("nothing is compared, so nothing is kept")


def registry() -> kopf.OperatorRegistry:
    """All handlers, in a registry of their own."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login)
    kopf.on.startup(registry=handlers)(_configure)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=handlers)(_model_event)
    kopf.on.probe(registry=handlers, id="alive")(_alive)
    return handlers


def memo(client: Client, operator: Operator) -> kopf.Memo:
    """What the handlers are given: kopf copies a memo for each resource, but never what it holds."""
    return kopf.Memo(client=client, operator=operator)


async def _login(memo: kopf.Memo, **_: Any) -> kopf.ConnectionInfo:
    """As our own client is logged in: kopf's own logins know no exec plugins, which clouds use."""
    connection = asdict(await memo.client.connection())
    scheme, _, token = connection.pop("authorization").partition(" ")
    return kopf.ConnectionInfo(scheme=scheme or None, token=token or None, **connection)


def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.queueing.worker_limit = WORKERS
    settings.queueing.idle_timeout = WORKER_IDLE_SECONDS
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = WATCH_SECONDS + REQUEST_SECONDS
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _Undiffed()


async def _model_event(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    if event["type"] == "DELETED":
        memo.operator.gone(event["object"]["metadata"]["uid"])
    else:
        memo.operator.changed(event["object"])


def _alive(memo: kopf.Memo, **_: Any) -> str:
    if not memo.operator.ticking.healthy():
        # Permanent: kopf would try anything else again, and answer nobody meanwhile.
        raise kopf.PermanentError("the operator's loop does not turn")
    return "ok"
