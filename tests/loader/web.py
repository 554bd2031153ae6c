"""A small web server that misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass
class Reply:
    """What a server says to one request. `cut`: bytes of the body after which the connection breaks."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hold: threading.Event | None = None
    """Sends half of the body, and the rest when the event is set."""


class Web:
    """Serves what `files` holds; `script` may answer instead (path, number of the request, range)."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}
        self.script: Callable[[str, int, str | None], Reply | None] = lambda path, number, range_: None
        self.requests: list[tuple[str, str | None]] = []
        self.headers: list[Message] = []
        self.command = ""
        """GET or HEAD: the last one."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path, range_ = self.path.partition("?")[0].lstrip("/"), self.headers["Range"]
                web.requests.append((path, range_))
                web.headers.append(self.headers)
                web.command = self.command
                reply = web.script(path, len(web.requests), range_)
                if reply is None:
                    reply = Reply(200, web.files[path]) if path in web.files else Reply(404)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                half = len(reply.body) // 2 if reply.hold else len(reply.body)
                self.wfile.write(reply.body[:half][: reply.cut])
                if reply.hold:
                    self.wfile.flush()
                    reply.hold.wait(30)
                    self.wfile.write(reply.body[half:])
                self.close_connection = self.close_connection or reply.cut is not None

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_PUT(self) -> None:
                """Take everything, and answer with it."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, k: type[BaseException] | None, v: BaseException | None, t: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def ranged(body: bytes, range_: str | None, etag: str, cut: int | None = None) -> Reply:
    """Answer as a server that can resume."""
    headers = {"ETag": etag}
    if range_ is None:
        return Reply(200, body, headers, cut)
    start = int(range_.removeprefix("bytes=").removesuffix("-"))
    return Reply(206, body[start:], headers | {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}, cut)
