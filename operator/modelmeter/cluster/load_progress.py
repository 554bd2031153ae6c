"""Asks a pod's loader how far it is."""

from __future__ import annotations

from typing import Annotated, Final

import aiohttp
import msgspec

from modelmeter.cluster.pods import Unread, read_json
from modelmeter.cluster.triton import host_of

TIMEOUT_SECONDS: Final = 2
LARGEST_BYTES: Final = 16 * 2**10

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class LoadAnswer(msgspec.Struct, frozen=True, rename="camel"):
    """What a loader answers; bytes only while it fetches, totalBytes where its source has said it."""

    phase: str
    file: str = ""
    bytes: Count | None = None
    total_bytes: Count | None = None
    trouble: str = ""


async def read_progress(session: aiohttp.ClientSession, address: str, port: int) -> LoadAnswer | Unread:
    """What the loader at a pod's address says."""
    url = f"http://{host_of(address)}:{port}/progress"
    return await read_json(session, url, LoadAnswer, TIMEOUT_SECONDS, LARGEST_BYTES)
