"""Reaching into a cluster with real nodes: a command on a node, a request from inside its network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.cluster.cluster import Cluster
from tests.cluster.components import CHECKOUT, NETWORK
from tests.cluster.errors import ClusterError
from tests.cluster.node.namespaces import inside

ASK: Final = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], data=sys.argv[2].encode(), timeout=20).read().decode())
"""


def on_node(cluster: Cluster, name: str, *words: str) -> str:
    """What a command prints that runs on a node."""
    starter = cluster.pids()[name]
    first = Path(f"/proc/{starter}/task/{starter}/children").read_text(encoding="ascii").split()[0]
    return _run(["nsenter", f"--target={first}", "--mount", "--net", "--pid", "--", *words])


def ctr(cluster: Cluster, name: str, *words: str) -> str:
    """What containerd's own client prints on a node."""
    return on_node(cluster, name, str(cluster.binaries / "ctr"), "--namespace=k8s.io", *words)


def post(cluster: Cluster, address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a service or a pod answers to JSON, asked from inside the network as a pod would."""
    return dict(json.loads(python(cluster, ASK, f"http://{address}{path}", json.dumps(body))))


def python(cluster: Cluster, script: str, *arguments: str) -> str:
    """What a script prints that runs inside the network."""
    return _run([*inside(cluster.pids()[NETWORK], CHECKOUT), sys.executable, "-c", script, *arguments])


def module(cluster: Cluster, name: str, *arguments: str, input: str) -> str:
    """What a module of the tests prints that runs inside the network and reads `input`."""
    return _run([*inside(cluster.pids()[NETWORK], CHECKOUT), sys.executable, "-m", name, *arguments], input)


def _run(words: list[str], input: str = "") -> str:
    finished = subprocess.run(words, input=input, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise ClusterError(f"{' '.join(words)}: {finished.stderr.strip()}")
    return finished.stdout
