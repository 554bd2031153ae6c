"""A copy of a model that exists for a while: it costs, so whatever happens it is deleted, or one says what is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from modelmeter.api.names import GROUP, LABEL_TUNE_OF, LABEL_TUNE_RUN
from modelmeter.cluster.client import METADATA_LIST, Client
from modelmeter.cluster.listing import items
from modelmeter.cluster.paths import path, path_of
from modelmeter.cluster.present import Present, present
from modelmeter.errors import ClusterError, Conflict
from modelmeter.meter.objects import Bare

KIND: Final = "ModelDeployment"
PAUSE_SECONDS: Final = 2.0
DELETE_SECONDS: Final = 120.0
"""How long a deletion is tried that is not answered."""
LATE_SECONDS: Final = 10.0
"""How long a copy is looked for whose creation was not answered: it may come late."""
GONE_SECONDS: Final = 180.0
"""How long the end of a copy is waited for before the next is made, which may need its GPU."""


STILL_THERE: Final = "{0} is being deleted, but still there, and costs; see kubectl describe modeldeployment {0} -n {1}"


def delete_command(names: Sequence[str], namespace: str) -> str:
    """What deletes copies by hand."""
    return f"kubectl delete modeldeployments.{GROUP} {' '.join(names)} --namespace {namespace}"


async def none_is_left(client: Client, namespace: str, name: str) -> None:
    """ClusterError where copies of the model are there from before; those that are going are waited for."""
    labelled = f"{LABEL_TUNE_OF}={name}"
    there = await items(client, path(KIND, namespace), Bare, METADATA_LIST, labelSelector=labelled)
    left = sorted(entry.metadata.name for entry in there if entry.metadata.deletion_timestamp is None)
    if left:
        raise ClusterError(
            409,
            "Exists",
            f"copies of {name} exist ({', '.join(left)}): another tune of it is under way, or one was killed and left"
            f" them, where they cost; if so: {delete_command(left, namespace)}",
        )
    for entry in there:
        copy, run = entry.metadata.name, entry.metadata.labels.get(LABEL_TUNE_RUN, "")
        if not await gone(client, path(KIND, namespace, copy), run):
            raise ClusterError(409, "Exists", STILL_THERE.format(copy, namespace))


@asynccontextmanager
async def copied(client: Client, manifest: dict[str, Any]) -> AsyncIterator[str]:
    """A copy that exists inside the block; answers its path. It is labelled with its run, and known again by that.

    A second cancellation gives its deletion up. ClusterError where it cannot be made, or may be left.
    """
    where, run = path_of(manifest), manifest["metadata"]["labels"][LABEL_TUNE_RUN]
    answered = False
    try:
        try:
            await _create(client, where, manifest)
            answered = True
        except ClusterError as failure:
            answered = 400 <= failure.status < 500
            raise
        yield where
    finally:
        await _delete(client, manifest, run, 0 if answered else LATE_SECONDS)


async def gone(client: Client, where: str, run: str) -> bool:
    """Wait until a copy is gone, for it holds a GPU until then; whether it is."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GONE_SECONDS
    while loop.time() < deadline:
        try:
            if not _is_of(await present(client, where), run):
                return True
        except ClusterError as failure:
            if not failure.passing:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
    return False


async def _create(client: Client, where: str, manifest: dict[str, Any]) -> None:
    metadata = manifest["metadata"]
    creating = asyncio.ensure_future(client.create(where.rpartition("/")[0], manifest))
    try:
        await asyncio.shield(creating)
    except asyncio.CancelledError:
        # It may be made at this moment: only the answer tells.
        await asyncio.wait([creating])
        creating.exception()
        raise
    except Conflict:
        raise await _in_the_way(client, where, metadata["name"], metadata["namespace"]) from None


async def _in_the_way(client: Client, where: str, name: str, namespace: str) -> ClusterError:
    there = await present(client, where)
    if there is not None and LABEL_TUNE_RUN in there.labels:
        said = STILL_THERE.format(name, namespace) if there.deletion_timestamp else f"another tune has made {name}"
    else:
        command = delete_command([name], namespace)
        said = f"{name} exists, and not as a copy; if nobody needs it: {command}"
    return ClusterError(409, "Exists", said)


async def _delete(client: Client, manifest: dict[str, Any], run: str, look_seconds: float) -> None:
    """Delete the copy if it is of this run, until that is answered; where there is none, look for a while."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    begun, cancelled = loop.time(), False
    while True:
        try:
            if task.cancelling() > 1:
                raise _left(manifest, "its deletion was given up")
            if await _deleted(client, manifest, run, final=loop.time() >= begun + look_seconds):
                break
            if loop.time() > begun + DELETE_SECONDS:
                raise _left(manifest, "the API server does not answer")
            await asyncio.sleep(PAUSE_SECONDS)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def _deleted(client: Client, manifest: dict[str, Any], run: str, final: bool) -> bool:
    """Whether nothing has to be done any more; `final`: what is not there by now is not to come."""
    where = path_of(manifest)
    try:
        there = await present(client, where)
        if there is None:
            return final
        if _is_of(there, run) and there.deletion_timestamp is None:
            await client.delete(where, there.uid)
    except ClusterError as failure:
        if not failure.passing:
            raise _left(manifest, failure.message) from None
        return False
    return True


def _left(manifest: dict[str, Any], why: str) -> ClusterError:
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    return ClusterError(
        0, "CopyLeft", f"the copy {name} may be left, where it costs ({why}): {delete_command([name], namespace)}"
    )


def _is_of(there: Present | None, run: str) -> bool:
    return there is not None and there.labels.get(LABEL_TUNE_RUN, "") == run
