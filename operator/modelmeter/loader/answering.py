"""Answer whoever asks how far a load is: GET /progress, read-only, no secret in it.

One asker after the other, each for a moment: whoever reaches the port can neither hold up the load nor fill its memory.
"""

import json
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from modelmeter.loader.progress import Progress

PATH: Final = "/progress"
ASKER_SECONDS: Final = 2.0
REQUEST_BYTES_LIMIT: Final = 8 << 10
POLL_SECONDS: Final = 0.1


@contextmanager
def answering(progress: Progress, port: int | None) -> Iterator[None]:
    """Answer at all addresses of this machine while the block runs; not at all where port is None.

    A port that cannot be had is said and no reason not to load.
    """
    if port is None:
        yield
        return
    try:
        server = _Server(progress, port)
    except OSError as error:
        progress.say(f"nobody can ask for the progress: port {port}: {error.strerror}")
        yield
        return
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(socketserver.TCPServer):
    # Triton takes the port as soon as the load has ended.
    allow_reuse_address = True

    def __init__(self, progress: Progress, port: int) -> None:
        self.progress = progress
        self.address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        super().__init__(("", port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """An asker that went away is no news."""


class _Handler(socketserver.BaseRequestHandler):
    request: socket.socket
    server: _Server

    def handle(self) -> None:
        asked = self._head()
        if asked.startswith(f"GET {PATH} ".encode()):
            status, body = "200 OK", json.dumps(self.server.progress.state.to_mapping()).encode()
        else:
            status, body = "404 Not Found", json.dumps({"error": f"ask GET {PATH}"}).encode()
        lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}")
        self.request.sendall("\r\n".join((*lines, "Connection: close", "", "")).encode() + body)

    def _head(self) -> bytes:
        """Read a request without its body, or what comes of it in time."""
        deadline = time.monotonic() + ASKER_SECONDS
        asked = b""
        while b"\r\n\r\n" not in asked and len(asked) < REQUEST_BYTES_LIMIT:
            self.request.settimeout(max(0.001, deadline - time.monotonic()))
            chunk = self.request.recv(REQUEST_BYTES_LIMIT)
            if not chunk:
                break
            asked += chunk
        return asked
