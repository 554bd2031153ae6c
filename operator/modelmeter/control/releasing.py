"""Before modelmeter is uninstalled: post what was used so far, then let go of every object.

Models go on serving. Their Deployments lose the finalizer in the pod template, so their pods are replaced once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

from modelmeter.api.names import LABEL_MODEL, LEDGER_FINALIZER, METERING_FINALIZER
from modelmeter.cluster.client import METADATA_LIST, Client
from modelmeter.cluster.finalizers import remove_finalizer
from modelmeter.cluster.listing import items
from modelmeter.cluster.paths import path
from modelmeter.control.operator import Operator
from modelmeter.control.view import OURS
from modelmeter.errors import ClusterError, NotFound
from modelmeter.meter.objects import Bare

log = logging.getLogger(__name__)

ROUNDS: Final = 60
PAUSE_SECONDS: Final = 1.0


async def stop(client: Client, namespace: str, deployment: str) -> None:
    """Scale the operator to 0 and wait until it is: two that write undo each other's work."""
    where = path("Deployment", namespace, deployment)
    try:
        await client.merge_patch(f"{where}/scale", {"spec": {"replicas": 0}})
        while json.loads(await client.get(where)).get("status", {}).get("replicas", 0):
            await asyncio.sleep(PAUSE_SECONDS)
    except NotFound:
        return


async def release(client: Client, operator: Operator) -> int:
    """Post, then strip; returns how many objects still carry a finalizer of ours (0 unless one is refused)."""
    await operator.prepare()
    for account in operator.accounts:
        await operator.metering.bring_up_to_date(account)
    await _free_templates(client)
    left = 0
    for _ in range(ROUNDS):
        # Replaced pods come and go while the Deployments roll out.
        left = await _strip(client)
        if not left:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return left


async def _free_templates(client: Client) -> None:
    """Take our finalizer out of the pod templates."""
    for item in await items(client, path("Deployment"), dict[str, Any], labelSelector=f"{OURS},{LABEL_MODEL}"):
        metadata = item["metadata"]
        if METERING_FINALIZER in item["spec"]["template"]["metadata"].get("finalizers", ()):
            body = {"spec": {"template": {"metadata": {"finalizers": None}}}}
            await client.merge_patch(path("Deployment", metadata["namespace"], metadata["name"]), body)


async def _strip(client: Client) -> int:
    """Take our finalizers off everything that has one; returns how many objects had one."""
    found = 0
    for kind, selector, finalizer in (
        ("Pod", LABEL_MODEL, METERING_FINALIZER),
        ("PersistentVolumeClaim", LABEL_MODEL, METERING_FINALIZER),
        ("ModelDeployment", "", LEDGER_FINALIZER),
    ):
        for item in await items(client, path(kind), Bare, METADATA_LIST, labelSelector=selector):
            metadata = item.metadata
            if finalizer in metadata.finalizers:
                found += 1
                where = path(kind, metadata.namespace, metadata.name)
                try:
                    await remove_finalizer(client, where, metadata.uid, metadata.finalizers, finalizer)
                except ClusterError as error:
                    log.error("%s: %s", where, error)
    return found
