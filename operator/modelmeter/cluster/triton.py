"""Asks a pod's Triton whether it answers for a model; by gRPC, as a client of the model would."""

from __future__ import annotations

import asyncio
from typing import Final

GRPC_PORT: Final = 8001
TIMEOUT_SECONDS: Final = 3


async def model_ready(address: str, model: str) -> tuple[bool, str]:
    """Whether the Triton at a pod's address serves `model`, and what it said where it does not."""
    # grpc takes 15 MiB: only an operator that has a pod to ask pays for it.
    from tritonclient.grpc.aio import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    host = f"[{address}]" if ":" in address else address
    client = InferenceServerClient(f"{host}:{GRPC_PORT}")
    try:
        ready = await asyncio.wait_for(
            client.is_model_ready(model, client_timeout=TIMEOUT_SECONDS), timeout=TIMEOUT_SECONDS + 1
        )
    except TimeoutError:
        return False, f"no answer within {TIMEOUT_SECONDS} s"
    except InferenceServerException as error:
        return False, error.message()
    finally:
        await client.close()
    return bool(ready), "" if ready else f"model {model} is not ready"
