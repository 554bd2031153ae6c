"""One real Triton with a model of each family, for all tests of serving."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.cluster.ports import free_ports
from tests.cluster.triton import Ports, Triton
from tests.loader.checkpoints import CLASSIFIERS
from tests.serving.models import Model, classifier, encoders, exported

PORTS = Ports(*itertools.islice(free_ports(), 3))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """By their names: the real encoder in three ways, and a classifier of each family."""
    folder = tmp_path_factory.mktemp("checkpoints")
    tuned = (classifier(family, folder) for family in CLASSIFIERS)
    return {model.name: model for model in (*encoders(), exported(folder), *tuned)}


@pytest.fixture(scope="session")
def server(models: dict[str, Model], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton that serves them all."""
    folder = tmp_path_factory.mktemp("served")
    with Triton(folder / "triton", [model.load(folder) for model in models.values()], PORTS) as running:
        yield running
