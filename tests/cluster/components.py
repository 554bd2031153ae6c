"""The command line of each process of the cluster."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.cluster import files
from tests.cluster.layout import Layout
from tests.cluster.machines import API_ADDRESS, SERVICE_NETWORK
from tests.cluster.node import settings as node_settings

Command = list[str | Path]
STAGES: Final = Path(__file__).parent / "stages"
CHECKOUT: Final = Path(__file__).parents[2]
# The annotation by which KWOK knows its nodes; a real kubelet may run beside them.
FAKE_NODE: Final = {"kwok.x-k8s.io/node": "fake"}
# Pods get addresses that are this machine: what listens on 0.0.0.0 answers at each of them.
POD_CIDR: Final = "127.1.0.0/16"
# Without real nodes nobody looks for the API server but by its kubeconfig, and no Service's address is used.
REACH_NOBODY: Final = (
    "--bind-address=127.0.0.1",
    "--advertise-address=127.0.0.1",
    "--service-cluster-ip-range=127.2.0.0/16",
    "--endpoint-reconciler-type=none",
)
# Inside the cluster's network namespace, pods find it as in any cluster: by the Service `kubernetes`.
REACH_PODS: Final = (
    "--bind-address=127.0.0.1",
    f"--advertise-address={API_ADDRESS}",
    f"--service-cluster-ip-range={SERVICE_NETWORK}",
    "--kubelet-preferred-address-types=InternalIP",
)


def etcd(layout: Layout) -> Command:
    """etcd without fsync: its data is thrown away anyway."""
    client = f"http://127.0.0.1:{layout.etcd_port}"
    peer = f"http://127.0.0.1:{layout.peer_port}"
    return [
        layout.binaries / "etcd",
        f"--data-dir={layout.directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def kube_apiserver(layout: Layout) -> Command:
    """The API server: RBAC, static administrator's token, ServiceAccount tokens signed by its own key."""
    key = layout.certificates / "apiserver.key"
    reach = REACH_PODS if layout.machines else REACH_NOBODY
    return [
        layout.binaries / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{layout.etcd_port}",
        *reach,
        f"--secure-port={layout.api_port}",
        f"--cert-dir={layout.certificates}",
        f"--token-auth-file={layout.tokens}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--allow-privileged=true",
        "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
        "--profiling=false",
    ]


def kube_controller_manager(layout: Layout) -> Command:
    """All controllers: owners, garbage, claims, ServiceAccounts, node life, pod garbage."""
    return [
        layout.binaries / "kube-controller-manager",
        *_client(layout),
        f"--service-account-private-key-file={layout.certificates / 'apiserver.key'}",
        f"--root-ca-file={layout.authority}",
        "--controllers=*",
        "--concurrent-gc-syncs=40",
        "--horizontal-pod-autoscaler-sync-period=1s",
    ]


def kube_scheduler(layout: Layout) -> Command:
    """The scheduler."""
    return [layout.binaries / "kube-scheduler", *_client(layout)]


def kwok(layout: Layout) -> Command:
    """The kubelets of all nodes with the annotation FAKE_NODE, whoever adds them."""
    (selector,) = (f"{key}={value}" for key, value in FAKE_NODE.items())
    return [
        layout.binaries / "kwok",
        f"--kubeconfig={layout.kubeconfig}",
        *(f"--config={path}" for path in sorted(STAGES.glob("*.yaml"))),
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={selector}",
        f"--cidr={POD_CIDR}",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=40",
        "--v=WARN",
    ]


def volumes(layout: Layout) -> Command:
    """The provisioner and binder of claims, from this package."""
    return [sys.executable, "-m", "tests.cluster.volumes", "--dir", layout.directory]


def network(layout: Layout) -> Command:
    """The network namespace of a cluster with real nodes, from this package."""
    return [sys.executable, "-m", "tests.cluster.node.network", "--dir", layout.directory]


def kube_proxy(layout: Layout) -> Command:
    """What makes the addresses of Services work, for all real nodes."""
    settings = layout.directory / "kube-proxy.json"
    files.write(settings, json.dumps(node_settings.kube_proxy(layout.kubeconfig)))
    return [layout.binaries / "kube-proxy", f"--config={settings}", f"--hostname-override={layout.machines[0].name}"]


def machine(name: str) -> Callable[[Layout], Command]:
    """A real node, from this package."""
    start = ["unshare", "--mount", "--propagation", "slave", "--pid", "--kill-child", "--mount-proc", sys.executable]
    return lambda layout: [
        *start, "-m", "tests.cluster.node.machine", "--dir", layout.directory, "--name", name,
    ]  # fmt: skip


def components(layout: Layout) -> Mapping[str, Callable[[Layout], Command]]:
    """All that runs, in the order of its start."""
    if not layout.machines:
        return COMPONENTS
    nodes = {entry.name: machine(entry.name) for entry in layout.machines}
    return {NETWORK: network, **COMPONENTS, **nodes, PROXY: kube_proxy}


NETWORK: Final = "network"
PROXY: Final = "kube-proxy"
# In the order of their start. The API server waits for etcd by itself; the others need the API server.
COMPONENTS: Final[Mapping[str, Callable[[Layout], Command]]] = {
    "etcd": etcd,
    "kube-apiserver": kube_apiserver,
    "kube-controller-manager": kube_controller_manager,
    "kube-scheduler": kube_scheduler,
    "kwok": kwok,
    "volumes": volumes,
}


def _client(layout: Layout) -> Command:
    return [
        f"--kubeconfig={layout.kubeconfig}",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--secure-port=0",
        "--profiling=false",
    ]
