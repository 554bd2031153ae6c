"""The cgroup that holds all pods of a node, in each hierarchy that the machine has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError

ROOT: Final = Path("/sys/fs/cgroup")
PATIENCE_SECONDS: Final = 15.0


def create(name: str) -> None:
    """Make it; the kubelet does not."""
    for hierarchy in _hierarchies():
        path = hierarchy / name
        path.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):  # empty at first in cgroup v1, and then of no use
            if (path / file).exists() and not (path / file).read_text().strip():
                (path / file).write_text((hierarchy / file).read_text())


def remove(name: str) -> None:
    """Remove it and all below it, once its last process is gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for hierarchy in _hierarchies():
        while (hierarchy / name).exists():
            for folder, _, _ in os.walk(hierarchy / name, topdown=False):
                with suppress(OSError):
                    os.rmdir(folder)
            if time.monotonic() > deadline:
                raise ClusterError(f"{hierarchy / name} still has processes")
            time.sleep(0.05)


def _hierarchies() -> Iterator[Path]:
    if (ROOT / "cgroup.controllers").exists():
        yield ROOT
        return
    yield from {path.resolve() for path in ROOT.iterdir() if (path / "cgroup.procs").exists()}
