"""The operator processes of one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HOST = "one"
"""Where operators run: one that starts again is the same holder of the Lease."""
PATIENCE_SECONDS = 20.0
RELEASE_SECONDS = 120.0


class Operators:
    """`modelmeter run`, as often as asked; `stop` ends them all."""

    def __init__(self, kubeconfig: Path, namespace: str, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self._namespace = namespace
        self._environment = {**os.environ, **environment, "KUBECONFIG": str(kubeconfig)}
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, host: str = HOST) -> None:
        """Start one more; it is not waited for."""
        self._running.append(self._run(host, "run", "--liveness-port", "0"))

    def kill(self) -> None:
        """End all, without a word."""
        while self._running:
            process = self._running.pop()
            process.kill()
            process.wait()

    def restart(self) -> None:
        """Kill all, and start one, as a kubelet does."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End all, as a cluster does."""
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        while self._running:
            process = self._running.pop()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def release(self) -> int:
        """`modelmeter release` to its end; its exit status."""
        return self._run(HOST, "release").wait(RELEASE_SECONDS)

    def _run(self, host: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "modelmeter", *arguments, "--namespace", self._namespace],
                env={**self._environment, "HOSTNAME": host},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
