"""What an object is at this moment, asked of the API server and not of a watch."""

from __future__ import annotations

import msgspec

from modelmeter.cluster.client import METADATA_ONLY, Client
from modelmeter.errors import NotFound


class Present(msgspec.Struct, rename="camel"):
    """Of an object's metadata what tells whether it is the one that we mean, and whose it is."""

    uid: str
    labels: dict[str, str] = {}
    finalizers: list[str] = []
    deletion_timestamp: str | None = None


class _Object(msgspec.Struct):
    metadata: Present


async def present(client: Client, where: str) -> Present | None:
    """The object at a path; None where there is none."""
    try:
        return msgspec.json.decode(await client.get(where, METADATA_ONLY), type=_Object).metadata
    except NotFound:
        return None
