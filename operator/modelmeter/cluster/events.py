"""Kubernetes Events about ModelDeployments and what is labelled with them, for `kubectl describe` and `events`."""

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


def about_model(model: ModelRef) -> dict[str, str]:
    """What an Event about a ModelDeployment refers to."""
    return {"apiVersion": API_VERSION, "kind": "ModelDeployment", **model.model_dump()}


async def record(
    client: Client,
    involved: dict[str, str],
    kind: Literal["Normal", "Warning"],
    reason: str,
    message: str,
    now: datetime,
) -> None:
    """Write one Event about the object that `involved` refers to.

    One that cannot be written is logged and forgotten, for it is not the truth of anything.
    """
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{involved['name']}.", "namespace": involved["namespace"]},
        "involvedObject": involved,
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
        await client.create(path("Event", involved["namespace"]), body)
    except ClusterError as error:
        log.warning("event %s of %s/%s: %s", reason, involved["namespace"], involved["name"], error)
