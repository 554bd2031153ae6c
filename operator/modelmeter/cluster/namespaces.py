"""Namespaces: the operator's own, which the chart makes, and outside of the chart we; and the one of whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kubernetes.aio import config

from modelmeter.cluster.client import Client
from modelmeter.cluster.paths import path
from modelmeter.errors import Conflict, NotFound

DEFAULT: Final = "default"
OF_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace() -> str:
    """The namespace that a command without one means, as kubectl: the pod's, or that of the kubeconfig's context."""
    with suppress(OSError):
        return OF_SERVICE_ACCOUNT.read_text(encoding="utf-8").strip()
    try:
        _, current = config.list_kube_config_contexts()
    except config.ConfigException:
        return DEFAULT
    return str(current["context"].get("namespace") or DEFAULT)


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
