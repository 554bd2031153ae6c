"""Download a file: streamed, resumed after a break, with back-off, checked against a checksum."""

import hashlib
import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from modelmeter.loader.errors import ChecksumError, SourceError

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
        """The address without a password or a signed query."""
        url = urlsplit(self.address)
        return url._replace(netloc=url.netloc.rpartition("@")[2], query="").geturl()


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

    A broken transfer goes on where it stopped if the server can.
    """
    opener = build_opener(_SameSchemeOnly)
    for wait_seconds in (*BACK_OFF_SECONDS, None):
        try:
            found = _attempt(opener, wanted)
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


def _attempt(opener: OpenerDirector, wanted: Download) -> bool:
    arrived = wanted.target.stat().st_size if wanted.target.exists() else 0
    request = Request(wanted.address, headers={"Range": f"bytes={arrived}-"} if arrived else {})
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            _receive(response, wanted.target, append=response.status == 206)
    except HTTPError as error:
        if error.code in ABSENT_STATUSES and wanted.absent_is_fine:
            return False
        if error.code == 416 and arrived:  # the file changed, or was whole: begin again
            wanted.target.unlink()
            raise _Broken("the server refused to resume") from error
        if error.code in PASSING_STATUSES:
            raise _Broken(f"HTTP {error.code}") from error
        raise SourceError(
            f"{wanted.shown} answered HTTP {error.code}", "check the address and who may read it"
        ) from error
    except (URLError, http.client.HTTPException, OSError) as error:
        raise _Broken(str(getattr(error, "reason", None) or error)) from error
    return True


def _receive(response: http.client.HTTPResponse, target: Path, *, append: bool) -> None:
    expected = response.length
    received = 0
    with target.open("ab" if append else "wb") as file:
        while chunk := response.read(CHUNK_BYTES):
            file.write(chunk)
            received += len(chunk)
    if expected is not None and received != expected:
        raise _Broken(f"the connection ended after {received} of {expected} bytes")


def _check(wanted: Download, sha256: str) -> None:
    with wanted.target.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise ChecksumError(
            f"{wanted.shown} has the sha256 {actual}, not {sha256}",
            "if the change is meant, put the new checksum into spec.model.source",
        )
