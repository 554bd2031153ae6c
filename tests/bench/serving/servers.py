"""The two servers that are compared, each a group of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.serving import model
from tests.bench.serving.usual import REPOSITORY
from tests.cluster.triton import Ports, Triton

PORTS: Final = Ports(http=18100, grpc=18101, metrics=18102)
USUAL_PORT: Final = 18110
READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is asked, and the group of its processes."""

    name: str
    port: int
    path: str
    group: int


@contextmanager
def ours(repository: Path, directory: Path) -> Iterator[Server]:
    """Triton with the loader's repository."""
    with Triton(directory, [repository], PORTS) as triton:
        yield Server("ours", PORTS.http, f"/v2/models/{model.NAME}/generate", triton.pid)


@contextmanager
def usual(repository: Path, log: Path) -> Iterator[Server]:
    """The FastAPI process."""
    uvicorn = ["uvicorn", "--factory", "tests.bench.serving.usual:app", "--loop=uvloop", "--http=httptools"]
    command = [sys.executable, "-m", *uvicorn, f"--port={USUAL_PORT}", "--no-access-log"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, REPOSITORY: str(repository)}, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        _wait_ready(process, log)
        yield Server("usual", USUAL_PORT, "/predict", process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=READY_SECONDS)


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{USUAL_PORT}/openapi.json", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the usual way does not answer:\n{log.read_text()[-2000:]}")
