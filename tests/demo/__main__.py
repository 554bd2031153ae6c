"""`python -m tests.demo`: brings everything up, shows the main job, and leaves nothing behind."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.chart import install
from tests.cluster.cluster import Cluster
from tests.cluster.operator import Operator
from tests.cluster.pools import NodePool
from tests.cluster.triton import Triton
from tests.cluster.user import User
from tests.demo import show
from tests.demo.command import command

POOLS = (
    NodePool(name="l4", product="NVIDIA-L4", nodes=4, gpus_per_node=4),
    NodePool(name="cpu", nodes=1, gpus_per_node=0),
)


def run(seconds: int) -> None:
    """The whole demo; its watch lasts so many seconds, or until Ctrl-C where it is 0."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelmeter-demo-")))
        began = time.monotonic()
        show.say("A control plane with GPU nodes, Triton, and the chart (the first time takes some minutes)")
        cluster = stack.enter_context(Cluster.up(directory / "cluster", POOLS))
        triton = stack.enter_context(Triton(directory / "triton"))
        kubeconfig = install(cluster)
        stack.enter_context(Operator(kubeconfig, directory / "operator.log"))
        print(f"up after {time.monotonic() - began:.0f} s", flush=True)
        show.look_further(cluster)
        user = User(cluster, "search")
        show.apply(user, triton, directory / "model")
        show.predict(user)
        show.scale(user)
        show.watch(user, seconds)
        show.delete(user)


if __name__ == "__main__":
    sys.exit(command("tests.demo", __doc__, run))
