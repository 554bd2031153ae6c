"""Real nodes: how they are called, what they have, and where they are in the cluster's own network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

API_ADDRESS: Final = "10.88.0.1"
DOMAIN: Final = "cluster.local"
POD_NETWORK: Final = "10.244.0.0/16"
SERVICE_NETWORK: Final = "10.96.0.0/16"
GPU: Final = "nvidia.com/gpu"
FAKE_TAINT: Final = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
"""On KWOK's nodes beside real ones: only pods that tolerate it are played."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One real node; it has the CPUs and the memory of this machine, and as many GPUs as it claims to have."""

    name: str
    index: int
    """From 1, another for each."""
    gpus: int = 0
    product: str = ""
    instance_type: str = "g6.12xlarge"
    region: str = "eu-west-1"
    zone: str = "eu-west-1a"
    capacity_type: str = "on-demand"

    @property
    def address(self) -> str:
        """Its address."""
        return f"10.88.0.{10 + self.index}"

    @property
    def subnet(self) -> str:
        """Its pods' addresses."""
        return f"10.244.{self.index}.0/24"

    @property
    def labels(self) -> Mapping[str, str]:
        """What the kubelet registers itself with: the labels from which a price is found."""
        gpus = {"nvidia.com/gpu.product": self.product, "nvidia.com/gpu.count": str(self.gpus)} if self.gpus else {}
        return {
            "node.kubernetes.io/instance-type": self.instance_type,
            "topology.kubernetes.io/region": self.region,
            "topology.kubernetes.io/zone": self.zone,
            "karpenter.sh/capacity-type": self.capacity_type,
            **gpus,
        }

    @property
    def taints(self) -> list[dict[str, str]]:
        """As nodes with GPUs have it."""
        return [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if self.gpus else []


MACHINES: Final = (Machine("real-cpu", 1), Machine("real-gpu", 2, gpus=4, product="NVIDIA-L4"))
"""What `up --real-node` starts: the operator has a node, and the models have one."""
