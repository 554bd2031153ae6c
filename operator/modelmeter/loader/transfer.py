"""Bring files to the volume, whatever they come from: streamed, resumed after a break, with back-off, checked.

A source gives each file as an Item: its size and checksum, if it knows them, and how to open it at an offset.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from modelmeter.loader.errors import ChecksumError, DestinationError, SourceError
from modelmeter.loader.progress import Progress
from modelmeter.loader.space import require

# Waits between attempts: 31 s in all, longer than a load balancer takes to drop a bad backend.
BACK_OFF_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
# The longest wait that a server may ask for: a pod that does nothing longer looks as if it hung.
RETRY_AFTER_LIMIT_SECONDS: Final = 300.0

REACH: Final = "check that the pods reach this address; the pod tries again by itself"
CHECKSUM_REMEDY: Final = "if the change is meant, put the new checksum or revision into spec.model.source"

T = TypeVar("T")


class BrokenError(Exception):
    """An attempt failed in a way that another may not.

    wait_seconds: what the server asks for, if it does. remedy: what to do if no attempt succeeds.
    """

    def __init__(self, message: str, wait_seconds: float = 0.0, remedy: str = REACH) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds
        self.remedy = remedy


class StaleError(BrokenError):
    """What has arrived so far cannot be continued: the file changed, or the server does not resume."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A file on its way.

    chunks: its bytes from `start` on; BrokenError where they end too early.
    version: what tells this file from a later one at the same place; None: nothing does, so it cannot be resumed.
    size_bytes: of the whole file; None if nobody said.
    """

    chunks: Iterator[bytes]
    start: int = 0
    version: str | None = None
    size_bytes: int | None = None


Opening = Callable[[int, str | None], Stream]
"""Opens a file at an offset if it is of that version still; at 0 if not, or where offsets cannot be asked for."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file: its name below the folder, as others may read where it is from, and how to get it."""

    name: str
    shown: str
    opening: Opening
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Carrier:
    """Fills a folder of the destination's volume; `progress` is told how far it is."""

    folder: Path
    progress: Progress
    sleep: Callable[[float], None] = field(default=time.sleep)

    def bring(self, items: Sequence[Item]) -> None:
        """Fetch all files, unless it is known before that there is no room for them."""
        known_bytes = [item.size_bytes for item in items if item.size_bytes is not None]
        require(self.folder, sum(known_bytes))
        one = items[0].name if len(items) == 1 else ""
        self.progress.fetch(one, sum(known_bytes) if len(known_bytes) == len(items) else None)
        for item in items:
            self._bring(item)

    def _bring(self, item: Item) -> None:
        target = self.folder / item.name
        target.parent.mkdir(exist_ok=True)
        arrival = _Arrival(item, target, self.progress)
        self.persist(item.shown, arrival.attempt, lambda: arrival.furthest)
        self.progress.finish(target.stat().st_size)
        if item.sha256 is not None:
            _check(item, target, item.sha256)

    def persist(self, shown: str, attempt: Callable[[], T], reached: Callable[[], int] = lambda: 0) -> T:
        """Try until it works, with back-off; SourceError when it has failed too often without getting any further.

        reached: how far the attempts have come together.
        """
        waits, furthest, attempts = iter(BACK_OFF_SECONDS), 0, 0
        while True:
            try:
                return attempt()
            except BrokenError as error:
                attempts += 1
                if (now_at := reached()) > furthest:
                    waits, furthest, attempts = iter(BACK_OFF_SECONDS), now_at, 1
                back_off_seconds = next(waits, None)
                if back_off_seconds is None:
                    raise SourceError(f"{shown}: {error}, after {attempts} attempts", error.remedy) from error
                wait_seconds = max(back_off_seconds, min(error.wait_seconds, RETRY_AFTER_LIMIT_SECONDS))
                self.progress.fail(str(error))
                self.progress.say(f"{shown}: {error}; trying again in {wait_seconds:g} s")
                self.sleep(wait_seconds)


class _Arrival:
    """The attempts at one file."""

    def __init__(self, item: Item, target: Path, progress: Progress) -> None:
        self.item = item
        self.target = target
        self.progress = progress
        # Of what has arrived so far: a file that changed in between must not be patched together.
        self.version: str | None = None
        self.furthest = 0

    def attempt(self) -> None:
        """Try once to fetch what is missing; BrokenError where another attempt may succeed."""
        arrived = self.target.stat().st_size if self.version and self.target.exists() else 0
        try:
            stream = self.item.opening(arrived, self.version if arrived else None)
            if stream.start not in (0, arrived):
                raise StaleError("the server resumed at another place")
        except StaleError:
            self.version = None
            raise
        self.version = stream.version
        if stream.size_bytes is not None:
            require(self.target.parent, stream.size_bytes - arrived)
            self.progress.expect(stream.size_bytes)
        self._receive(stream)

    def _receive(self, stream: Stream) -> None:
        position = stream.start
        try:
            with self.target.open("ab" if position else "wb") as file:
                for chunk in stream.chunks:
                    file.write(chunk)
                    position += len(chunk)
                    self.progress.at(position)
                    self.furthest = max(self.furthest, position)
        except OSError as error:  # no fault of the source: another attempt would not help
            raise DestinationError(
                f"cannot write {self.target.name}: {error}", "check the volume's size and rights"
            ) from error
        expected_bytes = self.item.size_bytes if self.item.size_bytes is not None else stream.size_bytes
        if expected_bytes is not None and position != expected_bytes:
            raise BrokenError(f"the connection ended after {position} of {expected_bytes} bytes")


def _check(item: Item, target: Path, sha256: str) -> None:
    with target.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise ChecksumError(f"{item.shown} has the sha256 {actual}, not {sha256}", CHECKSUM_REMEDY)
