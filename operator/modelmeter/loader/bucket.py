"""Models of object stores: s3://BUCKET/path, gs://BUCKET/path and az://CONTAINER/path, an archive or a folder.

obstore reads endpoint, region and credentials from the environment, by the names of each cloud's own tools, and asks
the cloud for the pod's identity where there are none.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote

from modelmeter.loader import archive, checkpoint
from modelmeter.loader.download import ABSENT_STATUSES, PASSING_STATUSES, REMEDY, TIMEOUT_SECONDS
from modelmeter.loader.errors import RefusedError, SourceError
from modelmeter.loader.transfer import BrokenError, Carrier, Item, Stream
from modelmeter.loader.website import wanted_sha256

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

PREFIXES: Final = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""How the environment variables of each store begin."""

IDENTITY: Final = (
    "let the credentials read it: those of the Secret that spec.model.credentialsSecret names,"
    " or of spec.serving.serviceAccountName"
)
REMEDIES: Final = {
    301: "the bucket is in another region: set AWS_REGION in the Secret that spec.model.credentialsSecret names",
    401: IDENTITY,
    # S3 answers so for what does not exist, too, to those who may not list the bucket.
    403: f"check the path, and {IDENTITY}",
    404: "check bucket and path",
    412: "it was changed while it was fetched; the pod tries again by itself",
}
REACH: Final = f"check that the pods reach the endpoint, and {IDENTITY}; the pod tries again by itself"
# What the library gathers before it hands it on, and forgets when the connection breaks.
LOST_BYTES_LIMIT: Final = 64 << 10
FORBIDDEN: Final = 403
ALWAYS: Final = ("config.json", "tokenizer.json")
STATUS: Final = re.compile(r"status code: (\d{3})")


def fetch(url: SplitResult, carrier: Carrier) -> str:
    """Fetch the model's files; a bucket has no revisions."""
    bucket = _Bucket(url)
    sha256 = wanted_sha256(url)
    path = unquote(url.path).strip("/")
    if archive.is_archive(path):
        archive.bring(carrier, carrier.persist(bucket.shown(path), lambda: bucket.item("archive", path, sha256)))
        return ""
    items: dict[str, Item] = {}
    hidden: list[RefusedError] = []
    for name in checkpoint.NAMES:
        if checkpoint.worth_asking(name, items) and (item := _member(bucket, carrier, path, name, sha256, hidden)):
            items[name] = item
    if hidden and not items.keys() & checkpoint.WEIGHTS.keys():
        raise hidden[0]
    carrier.bring([items[name] for name in checkpoint.used(items)])
    return ""


def _member(
    bucket: "_Bucket", carrier: Carrier, folder: str, name: str, sha256: str | None, hidden: list[RefusedError]
) -> Item | None:
    """Look at a file; None where it is absent. hidden: gets the refusals that may mean the same."""
    path = f"{folder}/{name}".lstrip("/")
    checked = sha256 if name in checkpoint.WEIGHTS else None
    try:
        return carrier.persist(bucket.shown(path), lambda: bucket.item(name, path, checked))
    except RefusedError as error:
        if error.status in ABSENT_STATUSES:
            return None
        if error.status == FORBIDDEN and name not in ALWAYS:
            carrier.progress.say(f"{error.message}: taken as absent")
            hidden.append(error)
            return None
        raise


class _Bucket:
    """One bucket or container."""

    def __init__(self, url: SplitResult) -> None:
        # For the loader alone: the operator imports its command line.
        from obstore.exceptions import BaseError

        self.root = f"{url.scheme}://{url.netloc}"
        try:
            self.store = _store(url)
        except BaseError as error:
            raise SourceError(f"{self.root}: {_first_line(error)}", IDENTITY) from error

    def shown(self, path: str) -> str:
        """The address as others may read it."""
        return f"{self.root}/{path}"

    def item(self, name: str, path: str, sha256: str | None) -> Item:
        """Look at a file; raises as `_calling` does."""
        import obstore

        with _calling(self.shown(path)):
            meta = obstore.head(self.store, path)

        def open_at(offset: int, version: str | None) -> Stream:
            with _calling(self.shown(path)):
                # Only of the file that was looked at.
                options: GetOptions = {"if_match": meta["e_tag"]}
                if offset:
                    options["range"] = {"offset": offset}
                result = obstore.get(self.store, path, options=options)
            chunks = _chunks(result, self.shown(path))
            return Stream(chunks, result.range[0], meta["e_tag"], meta["size"])

        return Item(name, self.shown(path), open_at, meta["size"], sha256)


def _store(url: SplitResult) -> "ObjectStore":
    from obstore.store import AzureStore, GCSStore, S3Store

    plain = os.environ.get(f"{PREFIXES[url.scheme]}_ALLOW_HTTP", "").lower() in ("1", "true")
    timeout = f"{TIMEOUT_SECONDS:.0f}s"
    # A time limit for a whole download would be one for its size: what counts is that bytes arrive.
    client: ClientConfig = {"allow_http": plain, "timeout": "24h", "read_timeout": timeout, "connect_timeout": timeout}
    # The carrier is who tries again.
    retry: RetryConfig = {"max_retries": 0}
    kind: type[S3Store | GCSStore | AzureStore] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[url.scheme]
    return kind(url.netloc, client_options=client, retry_config=retry)


def _chunks(result: "GetResult", shown: str) -> Iterator[bytes]:
    with _calling(shown):
        # Buffers of the library's own: a file takes them as they are.
        yield from result.stream(LOST_BYTES_LIMIT)


@contextmanager
def _calling(shown: str) -> Iterator[None]:
    """Turn what the library raises into BrokenError where another attempt may succeed, else into RefusedError."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        status = _status(error)
        if status in PASSING_STATUSES:
            raise BrokenError(f"HTTP {status}") from error
        if status == 0:
            raise BrokenError(_first_line(error), remedy=REACH) from error
        raise RefusedError(f"{shown} answered HTTP {status}", REMEDIES.get(status, REMEDY), status) from error


def _status(error: Exception) -> int:
    """The HTTP status, which the library only tells in words; 0 where there was no answer."""
    if "redirect without LOCATION" in str(error):
        return 301
    match = STATUS.search(_first_line(error))
    return int(match[1]) if match else 0


def _first_line(error: Exception) -> str:
    """What is for people; the lines below it are for programmers."""
    return str(error).partition("\n")[0]
