"""Fixtures of the loader's tests."""

from pathlib import Path

import pytest

from tests.cluster.triton import minilm_directory
from tests.loader.checkpoints import tiny


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny sentence encoder."""
    return tiny(tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A real 6-layer BERT."""
    return minilm_directory()
