"""The configuration files of what runs on a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.cluster.images.standins import PAUSE
from tests.cluster.machines import API_ADDRESS, DOMAIN, POD_NETWORK, Machine
from tests.cluster.node.needs import CNI

CONTAINERD: Final = """
version = 3
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp"]

[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{plugins}"]
conf_dir = "{configuration}"
"""


def containerd(runc: str, configuration: Path) -> str:
    """containerd's config.toml."""
    return CONTAINERD.format(pause=PAUSE, runc=runc, plugins=CNI, configuration=configuration)


def cni(machine: Machine) -> str:
    """A bridge of the node's own; what goes elsewhere is routed by the cluster's one network namespace."""
    bridge = {
        "type": "bridge",
        "bridge": f"pods{machine.index}",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": machine.subnet}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "harness", "plugins": [bridge]}, indent=2)


def kubelet(machine: Machine, cgroup: str) -> dict[str, Any]:
    """KubeletConfiguration. Nothing is reserved and nothing evicted: the machine is shared with the control plane."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.address,
        "port": 10250,
        "healthzPort": 0,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "resolvConf": "",
        "clusterDNS": [API_ADDRESS],
        "clusterDomain": DOMAIN,
        "registerWithTaints": list(machine.taints),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "volumePluginDir": "/var/lib/kubelet/plugins-volume",
        "nodeStatusUpdateFrequency": "5s",
        "shutdownGracePeriod": "0s",
    }


def kube_proxy(kubeconfig: Path) -> dict[str, Any]:
    """KubeProxyConfiguration: one for all nodes, for they share a network namespace."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": POD_NETWORK,
        # Pods of one bridge answer each other directly, past the translation, unless the client is the node.
        "nftables": {"masqueradeAll": True, "minSyncPeriod": "100ms"},
        # These settings are the machine's, not the namespace's.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": "",
        "metricsBindAddress": "",
    }
