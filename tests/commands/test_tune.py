"""Whatever ends `modelmeter tune` ends it with its copy deleted, or with a word of what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_signals import PATIENCE_SECONDS, one_cluster, until

COPY = "/apis/modelmeter.dev/v1alpha1/namespaces/search/modeldeployments/intent-tune-1"
COMMAND = "kubectl delete modeldeployments.modelmeter.dev intent-tune-1 --namespace search"
MODEL: dict[str, Any] = {
    "metadata": {"namespace": "search", "name": "intent"},
    "spec": {
        "model": {"source": "pvc://models/minilm"},
        "serving": {"batching": {"maxBatchSize": 32, "maxQueueDelayMicroseconds": 500}},
        "benchmark": {"p95Milliseconds": 50},
    },
}
PERFORMANCE = {
    "inferencesPerSecond": "100.00", "p95Milliseconds": "48.00", "configHash": "a", "costPer1000AtSlo": "0.0030",
    "measuredAt": "2026-11-10T12:00:00Z",
}  # fmt: skip
TRUE = {"status": "True", "reason": "Any", "message": "", "lastTransitionTime": "2026-11-10T12:00:00Z"}
MEASURED = {"performance": PERFORMANCE, "conditions": [{"type": "Benchmarked", "observedGeneration": 1, **TRUE}]}


class ApiServer(ThreadingHTTPServer):
    """One model, and its copies; the first `measured` of them are measured at once."""

    daemon_threads = True

    def __init__(self, measured: int, answers_deletions: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.measured = measured
        self.answers_deletions = answers_deletions
        self.copies: dict[str, dict[str, Any]] = {}
        self.deletions = 0
        self.made, self.deleting, self.over = threading.Event(), threading.Event(), threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/modeldeployments"):
            self._answer(200, {"metadata": {}, "items": []})
        elif path.endswith("/intent"):
            self._answer(200, MODEL)
        elif found := self.server.copies.get(path):
            self._answer(200, found)
        else:
            self._answer(404, {"reason": "NotFound"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        where = f"{self.path.partition('?')[0]}/{name}"
        if where in self.server.copies:
            self._answer(409, {"reason": "AlreadyExists"})
            return
        body["metadata"]["uid"] = f"uid-{name}"
        if len(self.server.copies) + self.server.deletions < self.server.measured:
            body["status"] = MEASURED
        self.server.copies[where] = body
        self.server.made.set()
        self._answer(201, body)

    def do_DELETE(self) -> None:
        self.server.deleting.set()
        if not self.server.answers_deletions:
            self.server.over.wait()
            return
        self.server.deletions += 1
        self._answer(200, self.server.copies.pop(self.path))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        return None


@contextmanager
def tuning(folder: Path, measured: int = 0, answers_deletions: bool = True) -> Iterator[tuple[ApiServer, Any]]:
    """An API server and `modelmeter tune` at work with it."""
    server = ApiServer(measured, answers_deletions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "kubeconfig").write_text(json.dumps(one_cluster(f"http://127.0.0.1:{server.server_port}")))
    process = subprocess.Popen(
        [sys.executable, "-m", "modelmeter", "tune", "intent", "--namespace=search"],
        env={**os.environ, "KUBECONFIG": str(folder / "kubeconfig")}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield server, process
    finally:
        process.kill()
        process.wait()
        server.over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_deletes_the_copy_and_prints_what_is_done(tmp_path: Path, number: signal.Signals) -> None:
    with tuning(tmp_path, measured=1) as (server, process):
        assert until(process.stderr.readline, "intent-tune-2: 2 of")
        process.send_signal(number)
        printed, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 128 + number
        assert not server.copies
        assert server.deletions >= 1
    assert said.splitlines()[-1] == "modelmeter tune: ended; the copy under way is being deleted"
    assert "Traceback" not in said
    assert printed.splitlines()[1].split()[:3] == ["32", "500", "100.00"]


def test_a_second_ctrl_c_says_what_is_left(tmp_path: Path) -> None:
    with tuning(tmp_path, answers_deletions=False) as (server, process):
        assert until(process.stderr.readline, "intent-tune-1: 1 of")
        assert server.made.wait(PATIENCE_SECONDS)
        process.send_signal(signal.SIGINT)
        assert server.deleting.wait(PATIENCE_SECONDS)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 128 + signal.SIGINT
        assert set(server.copies) == {COPY}
    assert said.splitlines()[-1].endswith(f"(its deletion was given up): {COMMAND}")
    assert "Traceback" not in said
    assert printed == ""


def test_a_whole_run_says_which_is_best(tmp_path: Path) -> None:
    with tuning(tmp_path, measured=7) as (server, process):
        printed, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, said
        assert (server.deletions, server.copies) == (7, {})
    assert len([line for line in printed.splitlines() if "intent-tune-" in line]) == 7 + 1, "and where the costs are"
    assert "Best by cost per 1,000" in printed
    assert "maxQueueDelayMicroseconds: 0" in printed, "of equal ones that with the shorter wait"


def test_a_failure_prints_what_is_done(tmp_path: Path) -> None:
    """The second copy's name is taken."""
    with tuning(tmp_path, measured=1) as (server, process):
        server.copies[COPY.replace("-1", "-2")] = {"metadata": {"name": "intent-tune-2", "uid": "theirs"}}
        server.measured = 2
        printed, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1
    assert printed.splitlines()[1].split()[:3] == ["32", "500", "100.00"]
    assert "intent-tune-2 exists" in said.splitlines()[-1]
