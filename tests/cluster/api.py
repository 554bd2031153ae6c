"""The few HTTP calls to the API server that the harness makes itself, over one kept connection."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from tests.cluster.layout import Layout

TIMEOUT_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 600
MERGE: Final = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused; `status` is its HTTP code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """A client of one thread. A connection that broke is opened again, once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._connection: http.client.HTTPSConnection | None = None

    def call(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Return the decoded answer, or raise ApiError, or OSError where nobody answers."""
        data = None if body is None else json.dumps(body)
        headers = {"Authorization": f"Bearer {self._layout.token}", "Content-Type": content_type}
        for again in (True, False):
            try:
                connection = self._connect()
                connection.request(method, path, data, headers)
                response = connection.getresponse()
                return _decoded(response.status, response.read())
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not again:
                    raise OSError(f"{method} {path}: {error}") from error
        raise AssertionError("unreachable")

    def create(self, path: str, body: object) -> None:
        """Create an object; one that exists stays as it is."""
        try:
            self.call("POST", path, body)
        except ApiError as error:
            if error.status != 409:
                raise

    def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        try:
            self.call("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        """List, then give each item as an ADDED event and follow the changes until the server ends the watch."""
        listed = self.call("GET", path)
        for item in listed["items"]:
            yield {"type": "ADDED", "object": item}
        query = f"watch=true&resourceVersion={listed['metadata']['resourceVersion']}&timeoutSeconds={WATCH_SECONDS}"
        self.close()
        connection = self._connect(WATCH_SECONDS + TIMEOUT_SECONDS)
        try:
            connection.request("GET", f"{path}?{query}", headers={"Authorization": f"Bearer {self._layout.token}"})
            response = connection.getresponse()
            if response.status != 200:
                _decoded(response.status, response.read())
            while line := response.readline():
                yield json.loads(line)
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
        self._connection = None

    def _connect(self, timeout_seconds: float = TIMEOUT_SECONDS) -> http.client.HTTPSConnection:
        if self._connection is None:
            context = ssl.create_default_context(cafile=str(self._layout.authority))
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self._layout.api_port, timeout=timeout_seconds, context=context
            )
        return self._connection


def _decoded(status: int, data: bytes) -> Any:
    if status >= 400:
        try:
            message = json.loads(data)["message"]
        except (ValueError, KeyError, TypeError):
            message = data.decode(errors="replace")
        raise ApiError(status, f"{status}: {message}")
    try:
        return json.loads(data)
    except ValueError:
        return data.decode()
