"""Lists of any kind, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Generic, TypeVar

import msgspec

from modelmeter.cluster.client import Client

PAGE_SIZE: Final = "500"
"""Objects a page: bounds the memory that a cold start needs."""

T = TypeVar("T")


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct, Generic[T]):
    """Some items of a list; all its pages are of the same moment, which `metadata.resource_version` names."""

    metadata: _ListMeta
    items: list[T] | None = None


async def pages(
    client: Client, path: str, kind: type[T], accept: str = "application/json", **query: str
) -> AsyncIterator[Page[T]]:
    """All pages of a list, its items decoded as `kind`; Expired where reading took too long for the API server."""
    decode = msgspec.json.Decoder(Page[kind]).decode  # type: ignore[valid-type]
    query = {**query, "limit": PAGE_SIZE}
    while True:
        page: Page[T] = decode(await client.get(path, accept, **query))
        yield page
        if not page.metadata.continue_:
            return
        query["continue"] = page.metadata.continue_


async def items(client: Client, path: str, kind: type[T], accept: str = "application/json", **query: str) -> list[T]:
    """All items of a list."""
    return [item async for page in pages(client, path, kind, accept, **query) for item in page.items or ()]
