"""One cluster with real nodes and the product on it, installed by its chart, for all tests of this level."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.chart import SYSTEM, install
from tests.cluster.cluster import Cluster
from tests.cluster.machines import Machine
from tests.cluster.node.needs import missing
from tests.cluster.pools import NodePool
from tests.realnode.tenant import Tenant

POOLS = (NodePool(name="fake", nodes=2),)
MACHINES = (
    Machine("real-cpu", 1),
    Machine("real-gpu", 2, gpus=12, product="NVIDIA-L4"),
    Machine("real-spot", 3, gpus=1, product="Tesla-T4", capacity_type="spot"),
)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with real nodes and fake ones."""
    if found := missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no real node here: {'; '.join(found)}")
    with Cluster.up(tmp_path_factory.mktemp("realnode"), POOLS, MACHINES) as running:
        yield running


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Cluster:
    """The same, with the operator as a pod of its own image under its own rights."""
    install(cluster)
    cluster.kubectl("rollout", "status", "deployment/modelmeter", f"--namespace={SYSTEM}", "--timeout=90s")
    return cluster


@pytest.fixture(scope="session")
def tenants(installed: Cluster) -> Iterator[dict[str, Tenant]]:
    """Everybody who has a namespace; filled by the tests' own fixtures."""
    known: dict[str, Tenant] = {}
    yield known
    for tenant in known.values():
        tenant.watcher.close()
