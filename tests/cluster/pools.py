"""Fake nodes with GPUs, and the labels from which a price is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import yaml

from tests.cluster.components import FAKE_NODE
from tests.cluster.errors import ClusterError


@dataclass(frozen=True, slots=True)
class NodePool:
    """Nodes that are alike, named NAME-0, NAME-1 and so on. `gpus_per_node` 0 makes plain nodes."""

    name: str = "l4"
    product: str = "NVIDIA-L4"
    nodes: int = 4
    gpus_per_node: int = 4
    instance_type: str = "g6.12xlarge"
    region: str = "eu-west-1"
    zone: str = "eu-west-1a"
    capacity_type: str = "on-demand"
    cpu: str = "48"
    memory: str = "192Gi"
    pods: int = 110
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels; a value here wins over the pool's own."""
    resources: Mapping[str, str] = field(default_factory=dict)
    """More capacity, for example {"nvidia.com/mig-1g.10gb": "7"}."""
    taints: Sequence[Mapping[str, str]] | None = None
    """Instead of nvidia.com/gpu=present:NoSchedule, which nodes with GPUs have."""

    def manifests(self) -> Iterator[dict[str, Any]]:
        """Give the Node objects."""
        for index in range(self.nodes):
            yield self.manifest(f"{self.name}-{index}")

    def manifest(self, name: str) -> dict[str, Any]:
        """Return one Node object of this pool."""
        capacity = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": "500Gi"}
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": self.instance_type,
            "topology.kubernetes.io/region": self.region,
            "topology.kubernetes.io/zone": self.zone,
            "karpenter.sh/capacity-type": self.capacity_type,
        }
        taints: Sequence[Mapping[str, str]] = ()
        if self.gpus_per_node:
            capacity["nvidia.com/gpu"] = str(self.gpus_per_node)
            labels |= {"nvidia.com/gpu.product": self.product, "nvidia.com/gpu.count": str(self.gpus_per_node)}
            taints = ({"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},)
        capacity |= self.resources
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {**labels, **self.labels}, "annotations": dict(FAKE_NODE)},
            "spec": {"taints": list(taints if self.taints is None else self.taints)},
            "status": {"capacity": capacity, "allocatable": capacity},
        }

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Make a pool of plain values, as a YAML file has them."""
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ClusterError(f"a node pool has no field {', '.join(unknown)}; its fields: {', '.join(sorted(known))}")
        for item in fields(cls):
            value = values.get(item.name, 0 if item.type == "int" else "")
            if item.type == "int" and (not isinstance(value, int) or value < 0):
                raise ClusterError(f"a node pool's {item.name} is a whole number, not {value!r}")
            if item.type == "str" and not isinstance(value, str):
                raise ClusterError(f"a node pool's {item.name} is a text, not {value!r}: put it in quotes")
        return cls(**values)


def read_pools(path: Path) -> list[NodePool]:
    """Read a YAML file that is a list of pools."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ClusterError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
        raise ClusterError(f"{path} is not a list of node pools, such as `- {{name: l4, nodes: 4, gpus_per_node: 4}}`")
    return [NodePool.parse(item) for item in values]
