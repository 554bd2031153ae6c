"""The network of a cluster with real nodes: a namespace without a way out, and two doors to its API server.

`python -m tests.cluster.node.network --dir DIR` holds the namespaces (network and mounts) for as long as it runs. The
API server listens on 127.0.0.1 inside; connections are passed on to it from 127.0.0.1 outside, where the kubeconfig
says, and from the address inside that the Service `kubernetes` leads pods to. There it is the cluster's DNS, too.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.cluster.layout import Layout
from tests.cluster.machines import API_ADDRESS, SERVICE_NETWORK
from tests.cluster.node.names import Names
from tests.cluster.node.namespaces import CLONE_NEWNET, CLONE_NEWNS, command, unshare

CHUNK_BYTES: Final = 1 << 16
BACKLOG: Final = 512
DNS_PORT: Final = 53
FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")


def enter(layout: Layout) -> None:
    """Make the namespaces. Volumes are mounted here, and appear in every node."""
    unshare(CLONE_NEWNET | CLONE_NEWNS)
    command("mount", "--make-rprivate", "/")
    layout.volumes.mkdir(exist_ok=True)
    command("mount", "--bind", layout.volumes, layout.volumes)
    command("mount", "--make-shared", layout.volumes)
    command("ip", "link", "set", "lo", "up")
    command("ip", "address", "add", f"{API_ADDRESS}/32", "dev", "lo")
    for machine in layout.machines:
        command("ip", "address", "add", f"{machine.address}/32", "dev", "lo")
    # kube-proxy turns a Service's address into a pod's, once the kernel has a way for it.
    command("ip", "route", "add", SERVICE_NETWORK, "dev", "lo", "src", API_ADDRESS)
    FORWARDING.write_text("1", encoding="ascii")


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Join a connection from outside with one of its own to the API server."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK_BYTES):
            target.write(data)
            await target.drain()
    with suppress(OSError):
        target.close()


async def serve(layout: Layout, listeners: Iterable[socket.socket]) -> None:
    """Pass connections on, and answer for names, for ever."""
    port = layout.api_port
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: Names(layout), (API_ADDRESS, DNS_PORT))
    layout.network_ready.touch()
    servers = [await asyncio.start_server(lambda r, w: relay(r, w, port), sock=listener) for listener in listeners]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.node.network", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the cluster's directory")
    layout = Layout.read(parser.parse_args().dir)
    # A socket stays in the namespace where it was made.
    outside = socket.create_server(("127.0.0.1", layout.api_port), backlog=BACKLOG)
    enter(layout)
    pods = socket.create_server((API_ADDRESS, layout.api_port), backlog=BACKLOG)
    asyncio.run(serve(layout, (outside, pods)))


if __name__ == "__main__":
    main()
