"""The harness by hand: `python -m tests.cluster up|down|status --dir DIR`, or `--binaries`.

The last line of standard output is the answer (the kubeconfig's path, the folder of tools); all else is on standard
error.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tests.cluster import signals
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.machines import MACHINES
from tests.cluster.pools import NodePool, read_pools
from tests.cluster.tools import binaries
from tests.cluster.triton import TritonError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    signals.interrupt()
    try:
        if options.binaries:
            print(binaries())
            return 0
        if options.command is None:
            parser.print_help(sys.stderr)
            return 2
        return int(options.command(options))
    except (ClusterError, TritonError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: what was started is ended", file=sys.stderr)
    return 1


def up(options: argparse.Namespace) -> int:
    """Start a cluster that lives on after this command."""
    if options.pools:
        pools = read_pools(options.pools)
    else:
        given = {"nodes": options.nodes, "gpus_per_node": options.gpus_per_node, "product": options.gpu_product}
        pools = [replace(NodePool(), **{name: value for name, value in given.items() if value is not None})]
    machines = MACHINES if options.real_node else ()
    cluster = Cluster.up(options.dir, pools, machines)
    print(
        f"{sum(pool.nodes for pool in pools) + len(machines)} nodes are Ready, the API server is {cluster.server}",
        file=sys.stderr,
    )
    print(f"end it with: python -m tests.cluster down --dir {options.dir}", file=sys.stderr)
    print(cluster.kubeconfig)
    return 0


def down(options: argparse.Namespace) -> int:
    """End the cluster of a directory."""
    cluster = Cluster.attach(options.dir)
    pids = cluster.pids()
    cluster.down()
    print(f"ended {', '.join(pids) if pids else 'nothing: nothing was running'}", file=sys.stderr)
    return 0


def status(options: argparse.Namespace) -> int:
    """List the components; the exit code is 0 if all run."""
    cluster = Cluster.attach(options.dir)
    pids = cluster.pids()
    for name in cluster.components:
        print(f"{name:<24} {f'running, pid {pids[name]}' if name in pids else 'not running'}")
    print(cluster.kubeconfig)
    return 0 if cluster.complete else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description="A Kubernetes control plane to test on."
    )
    parser.add_argument("--binaries", action="store_true", help="print the folder with kubectl, helm and the others")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands")
    for command in (up, down, status):
        sub = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        sub.add_argument("--dir", type=Path, required=True, help="the cluster's directory")
        sub.set_defaults(command=command)
        if command is up:
            sub.add_argument(
                "--real-node", action="store_true", help="two real nodes beside KWOK's (root; make real-node-deps)"
            )
            sub.add_argument("--nodes", type=_count, help="number of GPU nodes (default 4)")
            sub.add_argument("--gpus-per-node", type=_count, help="GPUs of each (default 4)")
            sub.add_argument("--gpu-product", help="value of the label nvidia.com/gpu.product (default NVIDIA-L4)")
            sub.add_argument("--pools", type=Path, help="YAML list of node pools, instead of the three options above")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
