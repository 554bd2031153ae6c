"""Download a file: streamed, resumed after a break, with back-off, checked against a checksum."""

import hashlib
import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from modelmeter.loader.errors import ChecksumError, DestinationError, SourceError

CHUNK_BYTES: Final = 1 << 20
TIMEOUT_SECONDS: Final = 60.0
# Waits between attempts: 31 s in all, longer than a load balancer takes to drop a bad backend.
BACK_OFF_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
# What may pass: time-out, too early, too many, and the server's own faults.
PASSING_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
ABSENT_STATUSES: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Download:
    """One file: from where, to where, and what its sha256 must be (None: unchecked)."""

    address: str
    target: Path
    sha256: str | None = None
    absent_is_fine: bool = False

    @property
    def shown(self) -> str:
        """The address as others may read it."""
        return shown(self.address)


def shown(address: str) -> str:
    """Return an address without password, signed query and checksum: it ends in a status that many can read."""
    url = urlsplit(address)
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()


class _Broken(Exception):
    """An attempt failed in a way that another may not."""


class _SameSchemeOnly(HTTPRedirectHandler):
    """Refuses a redirect from https to anything else."""

    def redirect_request(self, req: Request, *args: Any) -> Request | None:
        new_address: str = args[-1]
        if req.type == "https" and not new_address.startswith("https://"):
            raise SourceError("the source redirects to an address that is not https", "give the final address")
        return super().redirect_request(req, *args)


def download(wanted: Download, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Fetch one file; return False where it is absent and may be.

    A broken transfer goes on where it stopped if the server can, and can tell that the file is still the same.
    """
    opener = build_opener(_SameSchemeOnly)
    transfer = _Transfer(wanted)
    for wait_seconds in (*BACK_OFF_SECONDS, None):
        try:
            found = transfer.attempt(opener)
            break
        except _Broken as error:
            if wait_seconds is None:
                raise SourceError(
                    f"{wanted.shown}: {error}, after {len(BACK_OFF_SECONDS) + 1} attempts",
                    "check that the pods reach this address; the pod tries again by itself",
                ) from error
            sleep(wait_seconds)
    if found and wanted.sha256 is not None:
        _check(wanted, wanted.sha256)
    return found


class _Transfer:
    """The attempts at one download."""

    def __init__(self, wanted: Download) -> None:
        self.wanted = wanted
        # ETag, else date, of what has arrived so far: a file that changed in between must not be patched together.
        self.version: str | None = None

    def attempt(self, opener: OpenerDirector) -> bool:
        """Try once; _Broken where another attempt may succeed."""
        wanted, target = self.wanted, self.wanted.target
        arrived = target.stat().st_size if self.version and target.exists() else 0
        resume = {"Range": f"bytes={arrived}-", "If-Range": self.version} if self.version and arrived else {}
        try:
            with opener.open(Request(wanted.address, headers=resume), timeout=TIMEOUT_SECONDS) as response:
                resumes = response.status == 206
                if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {arrived}-"):
                    self.version = None
                    raise _Broken("the server resumed at another place")
                self.version = _version(response.headers)
                _receive(response, target, append=resumes)
        except HTTPError as error:
            if error.code in ABSENT_STATUSES and wanted.absent_is_fine:
                return False
            if error.code == 416 and resume:
                self.version = None
                raise _Broken("the server refused to resume") from error
            if error.code in PASSING_STATUSES:
                raise _Broken(f"HTTP {error.code}") from error
            raise SourceError(
                f"{wanted.shown} answered HTTP {error.code}", "check the address and who may read it"
            ) from error
        except (http.client.InvalidURL, UnicodeError, ValueError) as error:
            # Its own message would quote the address, with the password in it.
            raise SourceError(
                f"{wanted.shown} is no address that can be fetched", "give https://HOST/path, without user or spaces"
            ) from error
        except (URLError, http.client.HTTPException, OSError) as error:
            raise _Broken(str(getattr(error, "reason", None) or error)) from error
        return True


def _version(headers: Message) -> str | None:
    """Return what If-Range takes: a strong ETag, else the date; None where the server gives neither."""
    etag: str | None = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _receive(response: http.client.HTTPResponse, target: Path, *, append: bool) -> None:
    expected_bytes = response.length
    received_bytes = 0
    try:
        with target.open("ab" if append else "wb") as file:
            while chunk := _read(response):
                file.write(chunk)
                received_bytes += len(chunk)
    except OSError as error:  # no fault of the source: another attempt would not help
        raise DestinationError(f"cannot write {target.name}: {error}", "check the volume's size and rights") from error
    if expected_bytes is not None and received_bytes != expected_bytes:
        raise _Broken(f"the connection ended after {received_bytes} of {expected_bytes} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(CHUNK_BYTES)
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(str(error)) from error


def _check(wanted: Download, sha256: str) -> None:
    with wanted.target.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise ChecksumError(
            f"{wanted.shown} has the sha256 {actual}, not {sha256}",
            "if the change is meant, put the new checksum into spec.model.source",
        )
