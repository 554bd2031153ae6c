"""What an operator process is told from outside: command-line options, with sound defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_NAMESPACE: Final = "modelmeter-system"
DEFAULT_LOADER_IMAGE: Final = "ghcr.io/modelmeter/modelmeter:0.1.0"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `modelmeter run`."""

    namespace: str = DEFAULT_NAMESPACE
    """Where the CostStatements are kept."""
    loader_image: str = DEFAULT_LOADER_IMAGE
    """Image of the init container that fetches the model; this project's own image."""
    retention_months: int = 0
    """How many whole months a closed statement is kept after its own; 0 keeps all."""
    liveness_port: int = 8080
    """Port of /healthz; 0 serves none."""
    metrics_port: int = 0
    """Port of /metrics; 0 serves none."""
    pod_ip: str = ""
    """Address of the operator's pod; empty outside a cluster."""
    status_writes_per_second: float = 20
    """At most so many status writes a second for the whole cluster."""
    apply_workers: int = 32
    """Models whose children are applied at the same time."""
    metering_workers: int = 16
    """Models whose pages are written at the same time."""
    read_workers: int = 32
    """Pods whose statistics are read at the same time, and as many loaders: so many that do not answer delay nobody."""
    adopt_workers: int = 4
    """Pods and claims labelled by hand that are taken in at the same time."""
    capture_workers: int = 2
    """Models whose pods get their price profile at the same time: few, for pods that ended are released first."""

    @property
    def listen_host(self) -> str:
        """All addresses of the pod's family: the kubelet and Prometheus ask at its first one."""
        return "::" if ":" in self.pod_ip else "0.0.0.0"
