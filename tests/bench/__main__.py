"""`python -m tests.bench [--scale S]`: speed and memory of the operator, each figure beside its reference."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.bench import scenarios
from tests.bench.figures import render
from tests.bench.load import connected
from tests.bench.scenarios import Bench, BenchError, Sizes
from tests.cluster import signals
from tests.cluster.chart import install
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.operator import Operator
from tests.cluster.pools import NodePool

GPUS_PER_NODE: Final = 500


def run(scale: float) -> None:
    """All scenarios, in an order in which each leaves what the next one needs."""
    sizes = Sizes(models=max(1, round(200 * scale)), burst=max(1, round(1000 * scale)))
    nodes = 1 + (sizes.pods + 2 * sizes.burst) // GPUS_PER_NODE
    pools = [
        NodePool(name="l4", nodes=nodes, gpus_per_node=GPUS_PER_NODE, cpu="4000", memory="16Ti", pods=GPUS_PER_NODE),
        NodePool(name="cpu", nodes=1, gpus_per_node=0),
    ]
    with tempfile.TemporaryDirectory(prefix="modelmeter-bench-") as folder:
        directory = Path(folder)
        with (
            Cluster.up(directory / "cluster", pools) as cluster,
            Operator(install(cluster), directory / "operator.log") as operator,
        ):
            asyncio.run(measure(cluster, operator, sizes))


async def measure(cluster: Cluster, operator: Operator, sizes: Sizes) -> None:
    """Run the scenarios and print the table."""
    async with connected(cluster.kubeconfig) as client:
        bench = Bench(cluster, operator, client, sizes)
        await scenarios.fill(bench)
        await scenarios.cold_start(bench)
        await scenarios.steady(bench)
        await scenarios.release(bench)
        await scenarios.release_latency(bench)
        await scenarios.burst(bench)
    print(f"{sizes.models} ModelDeployments, {sizes.pods} metered pods, burst of {sizes.burst}; {os.cpu_count()} CPUs")
    print(render(bench.figures))


def main() -> int:
    """The exit status: 0 if all was measured, whether a goal is met or not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 200 models, 5,000 pods and a burst of 1,000")
    options = parser.parse_args()
    signals.interrupt()
    try:
        run(options.scale)
    except KeyboardInterrupt:
        return 130
    except (BenchError, ClusterError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
