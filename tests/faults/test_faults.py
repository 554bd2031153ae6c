"""The short form of the matrix: every class of fault once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import matrix
from tests.faults.cases import short
from tests.faults.faults import Fault

pytestmark = pytest.mark.e2e

PARALLEL = 7


async def test_no_second_is_lost_and_none_counted_twice_whatever_fails(tmp_path: Path) -> None:
    async with matrix.ground(tmp_path, {}) as (on, plane):
        done = await matrix.play(on, short(plane), PARALLEL)
    print(matrix.render(done))
    for entry in done:
        assert entry.verdict.breaches == [], f"{entry.case.name}, {entry.case.point}: see {entry.verdict.log}"
        assert entry.verdict.fired or entry.case.fault is Fault, f"{entry.case.name}: nothing was injected"
