"""Ports of this machine on which nothing listens now."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from typing import Final

from tests.cluster.errors import ClusterError

PORTS: Final = range(20000, 30000)
"""Below those that the kernel takes for outgoing connections: a port stays free for a restart."""


def free_ports() -> Iterator[int]:
    """Give ports that are free on every address."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        yield port
    raise ClusterError(f"no free port between {PORTS.start} and {PORTS.stop}")
