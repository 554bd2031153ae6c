"""Kubernetes Events about ModelDeployments, for `kubectl describe` and `kubectl events`."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Final, Literal

from modelmeter.api.cost_statement import ModelRef
from modelmeter.api.names import API_VERSION
from modelmeter.api.scalars import rfc3339
from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.errors import ClusterError

log = logging.getLogger(__name__)

COMPONENT: Final = "modelmeter"
MESSAGE_LIMIT: Final = 1024
"""What the API server accepts as an Event's message."""


async def record(
    client: Client, model: ModelRef, kind: Literal["Normal", "Warning"], reason: str, message: str, now: datetime
) -> None:
    """Write one Event; one that cannot be written is logged and forgotten, for it is not the truth of anything."""
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{model.name}.", "namespace": model.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "ModelDeployment",
            "namespace": model.namespace,
            "name": model.name,
            "uid": model.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message[:MESSAGE_LIMIT],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    }
    try:
        await client.create(path("Event", model.namespace), body)
    except ClusterError as error:
        log.warning("event %s of %s/%s: %s", reason, model.namespace, model.name, error)
