"""The operator as a process, with the kubeconfig that decides what it may do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.errors import ClusterError
from tests.cluster.ports import free_ports

HEALTHY_SECONDS = 60.0


class Operator:
    """`modelmeter run`; as a context manager it runs inside the block."""

    def __init__(self, kubeconfig: Path, log: Path, namespace: str = "modelmeter-system") -> None:
        self.log = log
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The number of the process."""
        if self._process is None:
            raise ClusterError("the operator does not run")
        return self._process.pid

    def start(self) -> None:
        """Start it where it does not run, and wait until its liveness probe answers."""
        if self._process is not None:
            return
        port = next(free_ports())
        command = [sys.executable, "-m", "modelmeter", "run", "--namespace", self._namespace]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--liveness-port", str(port)],
                env={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + HEALTHY_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/healthz"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ClusterError(f"the operator is not healthy; the end of {self.log}:\n{self.tail()}")
            time.sleep(0.1)

    def stop(self) -> int:
        """End it as a cluster would; returns its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def tail(self, size_bytes: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_bytes()[-size_bytes:].decode(errors="replace")

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
