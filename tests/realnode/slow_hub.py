"""A Hub inside a cluster's network, of one model, that sends half of the weights and the rest once it is told to.

`python -m tests.realnode.slow_hub FOLDER` serves until it is ended; it goes on when its standard input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Final

from tests.cluster.cluster import Cluster
from tests.cluster.components import CHECKOUT, NETWORK
from tests.cluster.machines import API_ADDRESS
from tests.cluster.node.namespaces import inside
from tests.cluster.triton import minilm_directory

PORT: Final = 8090
ENDPOINT: Final = f"http://{API_ADDRESS}:{PORT}"
SOURCE: Final = "hf://acme/minilm"
COMMIT: Final = "1f2e" * 10
WEIGHTS: Final = "model.safetensors"


@contextmanager
def slow_hub(cluster: Cluster) -> Iterator[IO[bytes]]:
    """Serve the real BERT to a cluster's pods; the second half of its weights comes when what this gives is closed."""
    words = [sys.executable, "-m", "tests.realnode.slow_hub", str(minilm_directory())]
    command = [*inside(cluster.pids()[NETWORK], CHECKOUT), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        assert server.stdin is not None
        try:
            yield server.stdin
        finally:
            server.terminate()


def serve(folder: Path) -> None:
    """Answer as the Hub does, for ever."""
    go_on = threading.Event()
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/models/acme/minilm/revision/main"):
                siblings = [{"rfilename": name, "size": path.stat().st_size} for name, path in files.items()]
                self._send(json.dumps({"sha": COMMIT, "siblings": siblings}).encode())
            else:
                name = self.path.removeprefix(f"/acme/minilm/resolve/{COMMIT}/")
                self._send(files[name].read_bytes(), held=name == WEIGHTS)

        def _send(self, body: bytes, held: bool = False) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            half = len(body) // 2
            self.wfile.write(body[:half])
            if held:
                go_on.wait()
            self.wfile.write(body[half:])

    threading.Thread(target=lambda: (sys.stdin.read(), go_on.set()), daemon=True).start()
    ThreadingHTTPServer((API_ADDRESS, PORT), Handler).serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
