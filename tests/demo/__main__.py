"""`python -m tests.demo`: brings everything up, shows the main job, and leaves nothing behind."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.chart import install
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.operator import Operator
from tests.cluster.pools import NodePool
from tests.cluster.triton import Triton, TritonError
from tests.cluster.user import User
from tests.demo import show

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


def main() -> int:
    """The exit status: 0 only if every step was seen to work."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--seconds", type=int, default=0, help="how long to watch; 0: until Ctrl-C")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options.seconds)
    except KeyboardInterrupt:
        print("\nended; nothing is left running", file=sys.stderr)
        return 130 if options.seconds else 0
    except (show.DemoError, ClusterError, TritonError, AssertionError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    show.say("Every step was seen to work.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
