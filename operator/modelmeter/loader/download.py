"""Files over HTTP, as streams that can be resumed."""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from modelmeter.loader.errors import RefusedError, SourceError
from modelmeter.loader.transfer import BrokenError, Opening, StaleError, Stream

CHUNK_BYTES: Final = 1 << 20
TIMEOUT_SECONDS: Final = 60.0
# What may pass: time-out, too early, too many, and the server's own faults.
PASSING_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
# Where http is no risk.
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
ABSENT_STATUSES: Final = frozenset({404, 410})
REMEDY: Final = "check the address and who may read it"
NO_HEADERS: Final[Mapping[str, str]] = {}
# Of a list of files or a manifest: more is none.
DOCUMENT_BYTES_LIMIT: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks: the value of the header Authorization, and what the owner can do about a refusal, by HTTP status."""

    authorization: str | None = None
    remedies: Mapping[int, str] = field(default_factory=dict)


STRANGER: Final = Asking()


def shown(address: str) -> str:
    """Return an address without password, signed query and checksum: it ends in a status that many can read."""
    url = urlsplit(address)
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()


class _CarefulRedirects(HTTPRedirectHandler):
    """Refuses a redirect from https to anything else, and shows credentials to nobody but the first server."""

    def redirect_request(self, req: Request, *args: Any) -> Request | None:
        new_address: str = args[-1]
        if req.type == "https" and not new_address.startswith("https://"):
            raise SourceError("the source redirects to an address that is not https", "give the final address")
        new = super().redirect_request(req, *args)
        authorization = req.unredirected_hdrs.get("Authorization")
        if new is not None and authorization and (new.type, new.host) == (req.type, req.host):
            new.add_unredirected_header("Authorization", authorization)
        return new


def opening(address: str, asking: Asking = STRANGER, *, same: bool = False) -> Opening:
    """Return what opens the address; a refusal is final.

    same: there never is another file at this address, as it names a commit or a digest.
    """

    def open_at(offset: int, version: str | None) -> Stream:
        condition = {} if same or version is None else {"If-Range": version}
        resume = {"Range": f"bytes={offset}-", **condition} if version and offset else {}
        try:
            response = request(address, asking, resume)
        except RefusedError as error:
            if error.status == 416 and resume:
                raise StaleError("the server refused to resume") from error
            raise
        resumes = response.status == 206
        if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            response.close()
            raise StaleError("the server resumed at another place")
        start = offset if resumes else 0
        size_bytes = None if response.length is None else start + response.length
        found = address if same else _version(response.headers)
        return Stream(_chunks(response), start, found, size_bytes)

    return open_at


def get_json(address: str, asking: Asking) -> Any:
    """Ask for a JSON document; raises as `request` does."""
    try:
        return json.loads(get_document(address, asking))
    except ValueError as error:
        raise SourceError(f"{shown(address)} does not answer with JSON", "check the address") from error


def get_document(address: str, asking: Asking, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
    """Ask for a document; raises as `request` does."""
    with request(address, asking, headers) as response:
        try:
            document = response.read(DOCUMENT_BYTES_LIMIT)
        except (http.client.HTTPException, OSError) as error:
            raise BrokenError(str(error)) from error
        if response.length:
            raise BrokenError(f"the connection ended {response.length} bytes too early")
        return document


def request(address: str, asking: Asking, headers: Mapping[str, str] = NO_HEADERS) -> http.client.HTTPResponse:
    """Open an address; BrokenError where another attempt may succeed, else SourceError."""
    try:
        asked = Request(address, headers=dict(headers))
        if asking.authorization:
            asked.add_unredirected_header("Authorization", asking.authorization)
        response: http.client.HTTPResponse = build_opener(_CarefulRedirects).open(asked, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()
        if error.code in PASSING_STATUSES:
            wait_seconds = error.headers.get("Retry-After", "")
            raise BrokenError(f"HTTP {error.code}", float(wait_seconds) if wait_seconds.isdecimal() else 0.0) from error
        raise RefusedError(
            f"{shown(address)} answered HTTP {error.code}",
            asking.remedies.get(error.code, REMEDY),
            error.code,
            error.headers,
        ) from error
    except (http.client.InvalidURL, UnicodeError, ValueError) as error:
        # Its own message would quote the address, with the password in it.
        raise SourceError(
            f"{shown(address)} is no address that can be fetched", "give https://HOST/path, without user or spaces"
        ) from error
    except (URLError, http.client.HTTPException, OSError) as error:
        raise BrokenError(str(getattr(error, "reason", None) or error)) from error
    return response


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        with response:
            while chunk := response.read(CHUNK_BYTES):
                yield chunk
    except (http.client.HTTPException, OSError) as error:
        raise BrokenError(str(error)) from error


def _version(headers: Message) -> str | None:
    """Return what If-Range takes: a strong ETag, else the date; None where the server gives neither."""
    etag: str | None = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
