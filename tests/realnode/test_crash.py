"""A crash of whoever started real nodes: `down` still ends everything, and nothing is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.components import CHECKOUT
from tests.cluster.layout import Layout
from tests.cluster.machines import MACHINES
from tests.cluster.node.needs import missing

pytestmark = [pytest.mark.realnode, pytest.mark.usefixtures("cluster")]
START_SECONDS = 90.0


def processes(directory: Path) -> list[str]:
    """Command lines that name the directory, this test's own apart."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in words:
            found.append(words)
    return found


def harness(*words: str) -> subprocess.Popen[bytes]:
    """The harness by hand."""
    return subprocess.Popen([sys.executable, "-m", "tests.cluster", *words], cwd=CHECKOUT, stderr=subprocess.DEVNULL)


def test_a_killed_start_is_cleaned_up_by_down(tmp_path: Path) -> None:
    assert missing() == []
    directory = tmp_path / "cluster"
    starting = harness("up", "--real-node", "--nodes=0", f"--dir={directory}")
    deadline = time.monotonic() + START_SECONDS
    while not list(directory.glob(f"logs/{MACHINES[-1].name}-kubelet.log")):
        assert time.monotonic() < deadline, "no kubelet was started"
        time.sleep(0.1)
    starting.send_signal(signal.SIGKILL)
    starting.wait()
    cgroups = [f"/sys/fs/cgroup/**/{Layout.read(directory).cgroup(machine.name)}" for machine in MACHINES]
    assert any("kubelet" in words for words in processes(directory))
    assert all(list(Path("/").glob(pattern[1:])) for pattern in cgroups)

    assert harness("down", f"--dir={directory}").wait() == 0
    assert processes(directory) == []
    assert not any(list(Path("/").glob(pattern[1:])) for pattern in cgroups)
    assert str(directory) not in Path("/proc/mounts").read_text(encoding="utf-8")
    assert not (directory / "nodes").exists()
    assert not (directory / "volumes").exists()
