"""Asks pods over HTTP. A pod is its owner's: it sends us nowhere else, and what it says has a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import msgspec

T = TypeVar("T")


@dataclass(slots=True)
class Unread:
    """Why there is no answer."""

    reason: str


def new_session() -> aiohttp.ClientSession:
    """For reads of many pods, now and then: no connection is kept, and what is small when packed is not unpacked."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    )


async def read_json(
    session: aiohttp.ClientSession, url: str, kind: type[T], within_seconds: float, largest_bytes: int
) -> T | Unread:
    """What a pod answers to a GET, where it is JSON of this kind."""
    try:
        timeout = aiohttp.ClientTimeout(total=within_seconds)
        async with session.get(url, timeout=timeout, allow_redirects=False) as response:
            if response.status != 200:
                return Unread(f"HTTP {response.status} at {url}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > largest_bytes:
                    return Unread(f"more than {largest_bytes} bytes at {url}")
            return msgspec.json.decode(body, type=kind)
    except TimeoutError:
        return Unread(f"no answer within {within_seconds:g} s at {url}")
    except (aiohttp.ClientError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return Unread(f"{error} at {url}")
