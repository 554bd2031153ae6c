"""Deletes the children of a model that is deleted."""

from __future__ import annotations

from typing import Final

from modelmeter.api.cost_statement import ModelRef
from modelmeter.cluster.client import METADATA_LIST, Client
from modelmeter.cluster.listing import items
from modelmeter.cluster.paths import path
from modelmeter.control.view import CHILD_KINDS
from modelmeter.errors import NotFound
from modelmeter.meter.objects import Bare, Metadata
from modelmeter.provision.device_claim import KIND as TEMPLATE
from modelmeter.provision.labels import child_labels

OF_PODS: Final = ("Deployment", "Job")
"""They go in the foreground, so that they are gone only after their pods."""
COSTLY_KINDS: Final = (*OF_PODS, "PersistentVolumeClaim")
"""Children that must be gone before the last page may close."""


async def remove_children(client: Client, ref: ModelRef) -> bool:
    """Delete the children; whether any is left that could still cost.

    They are found by a consistent list: what was applied a moment ago is among them.
    """
    # By both labels: a claim that somebody labelled by hand carries the UID too, and stays.
    selector = ",".join(f"{key}={value}" for key, value in child_labels(ref.uid).items())
    left = False
    for kind in (*CHILD_KINDS, "PersistentVolumeClaim", TEMPLATE):
        for child in await _found(client, kind, ref.namespace, selector):
            left |= kind in COSTLY_KINDS
            await delete(client, kind, child.metadata)
    # A watch that is late has yet to show pods that somebody left without their Deployment.
    return left or bool(await _found(client, "Pod", ref.namespace, selector))


async def _found(client: Client, kind: str, namespace: str, selector: str) -> list[Bare]:
    try:
        return await items(client, path(kind, namespace), Bare, METADATA_LIST, labelSelector=selector)
    except NotFound:
        # An API server without resource.k8s.io/v1 has no templates.
        if kind == TEMPLATE:
            return []
        raise


async def delete(client: Client, kind: str, metadata: Metadata) -> None:
    """Delete a child, unless it is being deleted."""
    if metadata.deletion_timestamp is None:
        propagation = "Foreground" if kind in OF_PODS else "Background"
        await client.delete(path(kind, metadata.namespace, metadata.name), metadata.uid, propagation)
