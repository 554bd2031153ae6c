"""What the API server says of itself and of the cluster's nodes."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from tests.cluster.api import Api, ApiError


def answers(api: Api) -> bool:
    """Whether it is ready."""
    with suppress(OSError, ApiError):
        return bool(api.call("GET", "/readyz") == "ok")
    return False


def exists(api: Api, path: str) -> bool:
    """Whether there is an object at a path."""
    try:
        api.call("GET", path)
    except ApiError as error:
        if error.status != 404:
            print(error, file=sys.stderr)
        return False
    return True


def ready_nodes(api: Api) -> set[str]:
    """Return the nodes that are Ready and no longer tainted as not ready, so that pods may be placed there."""
    return {node["metadata"]["name"] for node in api.call("GET", "/api/v1/nodes")["items"] if _is_ready(node)}


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    taints = [taint["key"] for taint in node["spec"].get("taints", [])]
    return {"Ready": "True"}.items() <= {item["type"]: item["status"] for item in conditions}.items() and (
        "node.kubernetes.io/not-ready" not in taints
    )
