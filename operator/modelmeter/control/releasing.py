"""Before modelmeter is uninstalled: post what was used so far, then let go of every object.

Models go on serving. Their Deployments lose the finalizer in the pod template, so their pods are replaced once.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from modelmeter.api.names import LABEL_MODEL, LEDGER_FINALIZER, METERING_FINALIZER
from modelmeter.cluster.client import METADATA_LIST, Client
from modelmeter.cluster.finalizers import remove_finalizer
from modelmeter.cluster.listing import items
from modelmeter.cluster.paths import path
from modelmeter.control.accounts import Account
from modelmeter.control.facts import job_facts
from modelmeter.control.operator import Operator
from modelmeter.control.startup import PATIENCE_SECONDS
from modelmeter.control.view import OURS
from modelmeter.errors import ClusterError, LedgerError, NotFound
from modelmeter.meter.objects import Bare, Job, Metadata

log = logging.getLogger(__name__)

HELD_KINDS: Final = (
    ("Pod", LABEL_MODEL, METERING_FINALIZER),
    ("PersistentVolumeClaim", LABEL_MODEL, METERING_FINALIZER),
    ("ModelDeployment", "", LEDGER_FINALIZER),
)
"""Kind, label selector, finalizer."""

ROUNDS: Final = 30
PAUSE_SECONDS: Final = 1.0
ATTEMPTS: Final = 5
STOP_ROUNDS: Final = 60


async def stop(client: Client, namespace: str, deployment: str) -> None:
    """Scale the operator to 0 and wait until its pods are gone: two that write undo each other's work.

    ClusterError where one is still there after a minute.
    """
    where = path("Deployment", namespace, deployment)
    try:
        await client.merge_patch(f"{where}/scale", {"spec": {"replicas": 0}})
        labels = json.loads(await client.get(where))["spec"]["selector"]["matchLabels"]
    except NotFound:
        return
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    for _ in range(STOP_ROUNDS):
        pods = await items(client, path("Pod", namespace), Bare, METADATA_LIST, labelSelector=selector)
        if not pods:
            return
        log.info("waiting for the operator's pod %s to end", pods[0].metadata.name)
        await asyncio.sleep(PAUSE_SECONDS)
    name = pods[0].metadata.name
    raise ClusterError(409, "Running", f"the operator's pod {name} does not end; is its node gone? Delete the pod")


async def release(client: Client, operator: Operator) -> int:
    """Post, then let go of everything; returns how many objects still carry a finalizer of ours (0: none).

    LedgerError where something cannot be posted: then nothing is let go of.
    """
    known = await operator.prepare(PATIENCE_SECONDS)
    accounts = list(operator.accounts)
    posted = await asyncio.gather(*(_post(operator, account, known) for account in accounts))
    failed = [f"{a.ref.namespace}/{a.ref.name}" for a, done in zip(accounts, posted, strict=True) if not done]
    if failed:
        raise LedgerError(
            f"nothing is let go of, for the usage of {', '.join(failed)} cannot be posted (why: above); mend that,"
            " or let go of everything and post nothing: --discard"
        )
    return await let_go(client)


async def let_go(client: Client) -> int:
    """Take our finalizers off everything; returns how many objects still carry one."""
    await _free_templates(client)
    left = 0
    for _ in range(ROUNDS):
        # Replaced pods come and go while the Deployments roll out.
        left = await _strip(client)
        if not left:
            break
        log.info("%d objects carried a finalizer; looking again", left)
        await asyncio.sleep(PAUSE_SECONDS)
    return left


async def _post(operator: Operator, account: Account, through: datetime) -> bool:
    """Post all of a model; whether that was done."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            await operator.metering.bring_up_to_date(account, through)
            return True
        except Exception as error:  # whatever it is, the others are posted
            ref, page = account.ref, account.page
            log.error(
                "%s/%s: not posted since %s (attempt %d of %d): %s",
                ref.namespace, ref.name, page.posted_through if page else "its creation", attempt, ATTEMPTS, error,
            )  # fmt: skip
            await asyncio.sleep(PAUSE_SECONDS)
    return False


async def _free_templates(client: Client) -> None:
    """Take our finalizer out of the pod templates; nobody may change that of a Job, so those that run are ended."""
    for job in await items(client, path("Job"), Job, labelSelector=f"{OURS},{LABEL_MODEL}"):
        if not job_facts(job).over:
            await client.delete(path("Job", job.metadata.namespace, job.metadata.name), job.metadata.uid)
    for item in await items(client, path("Deployment"), dict[str, Any], labelSelector=f"{OURS},{LABEL_MODEL}"):
        metadata = item["metadata"]
        if METERING_FINALIZER in item["spec"]["template"]["metadata"].get("finalizers", ()):
            body = {"spec": {"template": {"metadata": {"finalizers": None}}}}
            with suppress(NotFound):
                await client.merge_patch(path("Deployment", metadata["namespace"], metadata["name"]), body)


async def held(client: Client) -> list[tuple[str, Metadata, str]]:
    """Everything that a finalizer of ours holds: path, metadata, finalizer. A kind that is gone holds nothing."""
    found = []
    for kind, selector, finalizer in HELD_KINDS:
        with suppress(NotFound):
            for item in await items(client, path(kind), Bare, METADATA_LIST, labelSelector=selector):
                if finalizer in item.metadata.finalizers:
                    found.append((path(kind, item.metadata.namespace, item.metadata.name), item.metadata, finalizer))
    return found


async def _strip(client: Client) -> int:
    """Take our finalizers off everything that has one; returns how many objects had one."""
    found = await held(client)
    await asyncio.gather(*(_take_off(client, *one) for one in found))
    return len(found)


async def _take_off(client: Client, where: str, metadata: Metadata, finalizer: str) -> None:
    try:
        await remove_finalizer(client, where, metadata.uid, metadata.finalizers, finalizer)
    except ClusterError as error:
        log.error("%s: %s", where, error)
