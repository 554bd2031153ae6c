"""Which tests share what they have started, and what was not tested."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.cluster.node.needs import missing

TESTS: Final = Path(__file__).parent
APART: Final = (
    "test_uninstall.py",
    "test_without_chart.py",
    "test_harness.py",
    "test_operations.py",
    "test_troubles.py",
)
"""Files that start a cluster of their own though their folder shares one."""
AT_PODS: Final = (
    "test_autoscaling.py",
    "test_benchmark.py",
    "test_main_job.py",
    "test_rollout.py",
    "test_statistics.py",
)
"""End-to-end tests for which Tritons answer at the pods' addresses, of which a machine has one set; the others'
cluster is another."""
LONGEST: Final = (
    "e2e at pods",
    "e2e",
    "tests/realnode/test_troubles.py",
    "realnode",
    "tests/realnode/test_operations.py",
    "faults",
    "serving",
    "tests/simulation/test_simulation.py",
    "tests/e2e/test_uninstall.py",
    "loader",
    "tests/e2e/test_without_chart.py",
    "tests/e2e/test_harness.py",
)
"""What takes longest, in this order: it begins first, so that no worker is left alone with it at the end."""

# What numpy multiplies here is small: its threads would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# An example that takes long on a busy machine is no failure: how fast things are is what `make bench` says.
# CI judges a change by the same examples every time; at home each run looks further.
settings.register_profile("ours", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ours")

# Some tests press Ctrl-C: what a shell starts in the background has it ignored, and hands that on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Folders(LoadScopeScheduling):  # type: ignore[misc]
    """Tests of a folder share a cluster, so one worker runs them all, beside the workers of other folders."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        _, folder, *_, name = file.split("/")
        if name in APART or folder == "simulation":
            return file
        return "e2e at pods" if folder == "e2e" and name in AT_PODS else folder

    def _assign_work_unit(self, node: Any) -> None:
        # A worker is given this before it runs the last test of what it has: after what takes long, something short.
        *_, before = ["", *self.assigned_work[node]]
        choose = max if before in LONGEST else min
        self.workqueue.move_to_end(choose(self.workqueue, key=_place), last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        if node.shutting_down or not self.workqueue or self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


def _place(scope: str) -> int:
    return LONGEST.index(scope) if scope in LONGEST else len(LONGEST)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Folders:
    """How `pytest -n N` deals out the tests."""
    return Folders(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly what was not tested, and why."""
    if found := missing():
        terminalreporter.section("NOT TESTED: the product on a real node", sep="!", red=True, bold=True)
        for line in found:
            terminalreporter.line(line, red=True)
