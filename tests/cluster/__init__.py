"""A real Kubernetes control plane on this machine, without containers, for tests, the demo and the benchmark.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler run as processes on 127.0.0.1; KWOK plays the nodes
and their pods. Nothing here is imported by the operator.

    with Cluster.up(directory) as cluster:
        cluster.kubectl("get", "nodes")
"""

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError
from tests.cluster.pools import NodePool
from tests.cluster.tools import binaries

__all__ = ["Cluster", "ClusterError", "NodePool", "binaries"]
