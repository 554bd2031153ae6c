"""Asks a pod's Triton whether it answers for a model, over HTTP.

A GET of our own, for tritonclient would bring grpc and numpy: 26 MiB and half a second for it.
"""

from __future__ import annotations

import os
from typing import Final

import aiohttp

TIMEOUT_SECONDS: Final = 3
SAID_BYTES: Final = 512
"""How much of an answer is read."""


async def model_ready(address: str, port: int, model: str) -> tuple[bool, str]:
    """Whether the Triton at a pod's address serves `model` at its HTTP port, and what it said where it does not."""
    host = host_of(address)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # A pod is its owner's: it sends us nowhere else, and what it says is cut.
            session.get(f"http://{host}:{port}/v2/models/{model}/ready", allow_redirects=False) as response,
        ):
            if response.status == 200:
                return True, ""
            said = (await response.content.read(SAID_BYTES)).decode(errors="replace").strip()
            return False, said or f"model {model} is not ready (HTTP {response.status})"
    except TimeoutError:
        return False, f"no answer within {TIMEOUT_SECONDS} s at {host}:{port}"
    except aiohttp.ClientConnectorError as error:
        return False, f"{_why(error.os_error)} at {host}:{port}"
    except aiohttp.ClientError as error:
        return False, f"{error} at {host}:{port}"


def host_of(address: str) -> str:
    """A pod's address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _why(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else "no connection"
