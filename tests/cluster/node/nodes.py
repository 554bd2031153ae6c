"""The real nodes of a cluster: what must be before they start, and what must go after their end."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any, Final

from tests.cluster.api import Api
from tests.cluster.errors import ClusterError
from tests.cluster.images import layers
from tests.cluster.images.archive import dump
from tests.cluster.images.catalogue import catalogue
from tests.cluster.images.store import store
from tests.cluster.layout import Layout
from tests.cluster.machines import GPU, Machine
from tests.cluster.node import cgroups, needs
from tests.cluster.tools import binaries
from tests.cluster.triton import cache_directory

HIDDEN: Final = tuple(map(Path, ("/run", "/var/run", "/var/lib", "/var/log", "/proc", "/dev")))
"""Of which a node has its own."""
JSON_PATCH: Final = "application/json-patch+json"
UNUSED_SECONDS: Final = 24 * 3600.0
"""After which a layer of images leaves the cache."""


def require(directory: Path) -> None:
    """Raise where no real node can run."""
    needs.require()
    for path in (directory, cache_directory()):
        if any(path.is_relative_to(hidden) for hidden in HIDDEN):
            raise ClusterError(f"{path}: a real node has a /run, /var/lib and /var/log of its own; use another folder")


def make_images() -> str:
    """Make the images that the cache lacks; what nodes are told of them."""
    tools = binaries(nodes=True)
    images = dump(catalogue(tools))
    store(images, tools)
    layers.forget(time.time() - UNUSED_SECONDS)
    return images


def give_gpus(api: Api, machine: Machine) -> None:
    """Tell the API server of a node's GPUs, as NVIDIA's device plugin would through the kubelet."""
    if machine.gpus:
        path = f"/status/capacity/{GPU.replace('/', '~1')}"
        patch: list[dict[str, Any]] = [{"op": "add", "path": path, "value": str(machine.gpus)}]
        api.call("PATCH", f"/api/v1/nodes/{machine.name}/status", patch, JSON_PATCH)


def clean(layout: Layout) -> None:
    """Remove what outlives the processes of ended nodes: cgroups and files. Mounts and interfaces went with them."""
    for machine in layout.machines:
        cgroups.remove(layout.cgroup(machine.name))
    for folder in (layout.directory / "nodes", layout.volumes):
        shutil.rmtree(folder, ignore_errors=True)
