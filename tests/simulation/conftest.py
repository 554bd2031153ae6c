"""Simulated failures are told by the thousand: nobody reads them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def silence() -> Iterator[None]:
    """No log while histories are played."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
