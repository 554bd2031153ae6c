"""Put a finished folder in its place in one step.

The destination is a link to `.DESTINATION.KEY` beside it. A new version is written under another name,
synced, renamed, and the link is replaced: readers see the old version or the new one, whole. Several loaders
may do so at once on a shared volume: the first to finish wins, the others find its work.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from modelmeter.loader.errors import DestinationError

RECORD: Final = "modelmeter.json"
KEY_DIGITS: Final = 16


def published(destination: Path, key: str) -> dict[str, Any] | None:
    """Return the record of the version with this key, or None if the destination holds another or none."""
    try:
        record = json.loads((destination / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("key") == key else None


@contextmanager
def publishing(destination: Path, key: str, record: dict[str, Any]) -> Iterator[Path]:
    """Yield an empty folder; publish it, with `record` in it, if the block ends well, else remove it.

    The block may add to `record`.
    """
    destination = Path(os.path.abspath(destination))
    _check(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.partial-", dir=destination.parent))
    try:
        # mkdtemp makes it private; Triton may run as another user of the pod.
        staging.chmod(0o755)
        with _locked(staging):
            yield staging
            (staging / RECORD).write_text(json.dumps({**record, "key": key}, indent=2), encoding="utf-8")
            _sync(staging)
            _replace(destination, staging, destination.parent / f".{destination.name}.{key[:KEY_DIGITS]}")
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check(destination: Path) -> None:
    if destination.is_symlink() or not destination.exists():
        return
    if destination.is_dir() and not destination.is_mount() and not any(destination.iterdir()):
        destination.rmdir()
        return
    what = "is the root of a volume" if destination.is_mount() else "exists and was not written by the loader"
    raise DestinationError(f"{destination} {what}", f"give a new folder, such as {destination / 'repository'}")


def _replace(destination: Path, staging: Path, version: Path) -> None:
    try:
        staging.rename(version)
    except OSError:
        # Another loader was first, or this version was served before. It is whole: only renames make it appear.
        if not (version / RECORD).is_file():
            raise
    previous = os.readlink(destination) if destination.is_symlink() else None
    link = destination.parent / f".{destination.name}.link-{os.getpid()}-{os.urandom(4).hex()}"
    link.symlink_to(version.name)
    link.replace(destination)
    _sync_folder(destination.parent)
    _remove_old(destination, keep={version.name, previous})


def _remove_old(destination: Path, keep: set[str | None]) -> None:
    """Remove older versions and what killed loaders left.

    The last version stays: a server of a pod that is going may still read it.
    """
    ours = re.compile(rf"\.{re.escape(destination.name)}\.(partial-.*|[0-9a-f]{{{KEY_DIGITS}}})")
    for folder in destination.parent.iterdir():
        if not ours.fullmatch(folder.name) or folder.name in keep:
            continue
        with suppress(OSError), _locked(folder):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock that ends with the process; OSError if another loader holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(parent, name), os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
