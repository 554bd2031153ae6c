"""Holds a ModelDeployment before anything of it can cost, and asks whether it still is what a watch has shown."""

from __future__ import annotations

import msgspec

from modelmeter.api.names import API_VERSION, LEDGER_FINALIZER
from modelmeter.cluster.client import METADATA_ONLY, Client
from modelmeter.cluster.paths import path
from modelmeter.control.accounts import Account
from modelmeter.errors import ClusterError, NotFound
from modelmeter.meter.objects import Bare


async def hold(client: Client, account: Account, generation: int) -> bool:
    """Put our finalizer on the ModelDeployment.

    Answers whether that generation is what the ModelDeployment is now: what a late watch shows is not built up once
    more, though it may have caught up meanwhile.
    """
    if LEDGER_FINALIZER in account.finalizers:
        return await _is_there(client, account, generation)
    ref = account.ref
    body = {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": {"name": ref.name, "namespace": ref.namespace, "uid": ref.uid, "finalizers": [LEDGER_FINALIZER]},
    }
    try:
        answer = await client.apply(path("ModelDeployment", ref.namespace, ref.name), body)
    except ClusterError as error:
        # It is gone, another by now, or being deleted; else we have to try again, whether it was done or not.
        if error.status in (404, 409, 422) and not await _is_there(client, account, generation):
            return False
        raise
    return _is_now(ref.uid, generation, answer)


async def _is_there(client: Client, account: Account, generation: int) -> bool:
    ref = account.ref
    try:
        answer = await client.get(path("ModelDeployment", ref.namespace, ref.name), METADATA_ONLY)
    except NotFound:
        return False
    return _is_now(ref.uid, generation, answer)


def _is_now(uid: str, generation: int, answer: bytes) -> bool:
    there = msgspec.json.decode(answer, type=Bare).metadata
    return (there.uid, there.generation, there.deletion_timestamp) == (uid, generation, None)
