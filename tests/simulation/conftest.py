"""Simulated failures are told by the thousand: nobody reads them."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def silence() -> Iterator[None]:
    """No log while histories are played; and the collector leaves alone what was there before, for that costs time."""
    logging.disable(logging.CRITICAL)
    gc.freeze()
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)
