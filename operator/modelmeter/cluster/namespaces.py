"""The operator's own namespace: the chart makes it; outside of the chart that is our task."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.errors import Conflict, NotFound


async def create_in(client: Client, kind: str, namespace: str, body: Mapping[str, Any]) -> bytes:
    """Create an object, and its namespace first where nobody has; Conflict where the object exists."""
    where = path(kind, namespace)
    try:
        return await client.create(where, body)
    except NotFound:
        with suppress(Conflict):
            await client.create(
                path("Namespace"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            )
        return await client.create(where, body)
