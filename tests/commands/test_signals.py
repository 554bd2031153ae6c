"""SIGTERM ends every command at once, also where it is the first process of a container, which no default ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.loader.web import Reply, Web

PATIENCE_SECONDS = 30
PID_NAMESPACE = ("unshare", "--pid", "--fork")


def prefix() -> tuple[str, ...]:
    """What makes a command the first process of a PID namespace; nothing where this user may not."""
    possible = shutil.which("unshare") and not subprocess.run([*PID_NAMESPACE, "true"], check=False).returncode
    return PID_NAMESPACE if possible else ()


@contextmanager
def command(*arguments: str, kubeconfig: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """`modelmeter` as a container's first process; it does not outlive the block."""
    process = subprocess.Popen(
        [*prefix(), sys.executable, "-m", "modelmeter", *arguments],
        env={**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    """PIDs of a process' children."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def end(process: subprocess.Popen[str]) -> int:
    """Send SIGTERM to the command itself; its exit status."""
    (pid,) = children(process.pid) or [process.pid]
    os.kill(pid, signal.SIGTERM)
    return process.wait(PATIENCE_SECONDS)


def test_a_loader_that_waits_for_its_source(tmp_path: Path) -> None:
    asked, never = threading.Event(), threading.Event()

    def script(path: str, number: int, range_: str | None) -> Reply:
        asked.set()
        return Reply(body=b"x" * 1000, hold=never)

    spec = tmp_path / "model.json"
    spec.write_text(json.dumps({"name": "m"}))
    with Web() as web:
        web.script = script
        arguments = ("load", f"{web.url}/model/", str(tmp_path / "models" / "repository"), "--spec", str(spec))
        (tmp_path / "models").mkdir()
        with command(*arguments) as process:
            assert asked.wait(PATIENCE_SECONDS)
            assert end(process) == 128 + signal.SIGTERM
        never.set()
    assert list((tmp_path / "models").iterdir()) == [], "what was begun is left"


LEASE = "apis/coordination.k8s.io/v1/namespaces/modelmeter-system/leases/modelmeter"
HELD = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "another"}}
FREE: dict[str, object] = {"metadata": {"resourceVersion": "1"}, "spec": {}}


@pytest.mark.parametrize(
    ("lease", "waits"), [(HELD, "only one works at a time"), (FREE, "cannot start yet")], ids=["lease", "CRDs"]
)
def test_an_operator_that_waits(tmp_path: Path, lease: dict[str, object], waits: str) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with Web({LEASE: json.dumps(lease).encode()}) as web:
        kubeconfig.write_text(json.dumps(one_cluster(web.url)))
        with command("run", "--liveness-port=0", kubeconfig=kubeconfig) as process:
            assert process.stderr is not None
            said = until(process.stderr.readline, waits)
            assert waits in said
            assert end(process) == 0
            assert "Traceback" not in process.stderr.read()


def one_cluster(server: str) -> dict[str, object]:
    """A kubeconfig for a server that asks for no credentials."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }


def until(read: Callable[[], str], words: str) -> str:
    """The line that has these words; empty where the output ends before."""
    return next((line for line in iter(read, "") if words in line), "")
