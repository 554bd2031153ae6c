"""The product's chart, installed by real Helm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SYSTEM: Final = "modelmeter-system"
"""Namespace of the operator."""


def helm(cluster: Cluster, *arguments: str) -> str:
    """What helm prints, run as the administrator; ClusterError with its own words where it fails."""
    command = [str(cluster.binaries / "helm"), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    if finished.returncode:
        raise ClusterError(finished.stderr.strip())
    return finished.stdout


def install(cluster: Cluster) -> Path:
    """Install the chart and the PriceBook; a kubeconfig with the rights of the operator's ServiceAccount, no others."""
    helm(cluster, "install", "modelmeter", "charts/modelmeter", f"--namespace={SYSTEM}", "--create-namespace")
    cluster.kubectl("apply", "-f", CHECKOUT / "manifests" / "pricebook.yaml")
    return cluster.kubeconfig_for("modelmeter", SYSTEM)
