"""One control plane, one Triton and one operator, installed by the chart, for all end-to-end tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.chart import install
from tests.cluster.cluster import Cluster
from tests.cluster.models import serve
from tests.cluster.operator import Operator
from tests.cluster.pools import NodePool
from tests.cluster.triton import Triton
from tests.cluster.user import MODELS, User

POOLS = (
    NodePool(name="l4", product="NVIDIA-L4", nodes=4, gpus_per_node=4),
    NodePool(name="t4-spot", product="Tesla-T4", nodes=2, gpus_per_node=1, capacity_type="spot"),
    NodePool(name="cpu", nodes=1, gpus_per_node=0),
)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with GPU nodes."""
    with Cluster.up(tmp_path_factory.mktemp("cluster"), POOLS) as running:
        yield running


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A real Triton that answers at every pod's address."""
    with Triton(tmp_path_factory.mktemp("triton")) as running:
        yield running


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Path:
    """The chart installed; a kubeconfig with the token of the ServiceAccount that it made, and no other right."""
    return install(cluster)


@pytest.fixture(scope="session")
def operator(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The operator, running under the chart's ServiceAccount."""
    with Operator(installed, tmp_path_factory.mktemp("operator") / "operator.log") as running:
        yield running
        assert "Traceback" not in running.log.read_text(), running.tail()


_numbers = itertools.count(1)


@pytest.fixture
def user(cluster: Cluster, operator: Operator) -> Iterator[User]:
    """Somebody with kubectl and a namespace of their own, who leaves no GPU to nobody."""
    user = User(cluster, f"team-{next(_numbers)}")
    yield user
    # A test that failed while it was down fails no other.
    operator.start()
    user.kubectl("delete", MODELS, "--all", "--wait=false")


@pytest.fixture
def serving(cluster: Cluster, triton: Triton, tmp_path: Path) -> Callable[[User, str], None]:
    """Puts the real BERT behind the pods of a ModelDeployment."""
    return lambda user, name: serve(cluster, triton, user.namespace, name, tmp_path / name)
