"""Fixtures of the loader's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.triton import minilm_directory
from tests.loader.checkpoints import tiny
from tests.loader.web import Web


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny sentence encoder."""
    return tiny(tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A real 6-layer BERT."""
    return minilm_directory()


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server without files."""
    with Web() as running:
        yield running
