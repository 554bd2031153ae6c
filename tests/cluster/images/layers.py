"""Layers of images: folders and tar files in the cache, each named by what it was made of.

Whatever is mounted to make one lives in a mount namespace that ends with the step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError
from tests.cluster.files import locked, whole
from tests.cluster.triton import cache_directory

PRIVATE: Final = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
PASSED: Final = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy")
"""Settings of the machine by which a step reaches the package registries."""
SCRIPT: Final = """
set -e
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" "$ROOT"
if [ -n "$1" ]; then
    mkdir -p "$ROOT/etc/ssl/certs"
    touch "$ROOT/etc/pip.conf"
    mount --bind /etc/ssl/certs "$ROOT/etc/ssl/certs"
    mount --bind /etc/resolv.conf "$ROOT/etc/resolv.conf"
    [ ! -e /etc/pip.conf ] || mount --bind /etc/pip.conf "$ROOT/etc/pip.conf"
    mount -t proc proc "$ROOT/proc"
    mount --bind /dev/null "$ROOT/dev/null"
    mount --bind /dev/urandom "$ROOT/dev/urandom"
    exec chroot "$ROOT" /bin/sh -e -c 'mkdir -p "$0" && cd "$0" && eval "$1"' "$WORKDIR" "$1"
fi
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """A file system as layers of folders, the lowest first, and the key of all that it was made of."""

    key: str
    parts: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image, as a tar file."""

    path: Path
    digest: str


def key(*parts: str | bytes) -> str:
    """Name content by what it is made of."""
    return hashlib.sha256(b"\0".join(p.encode() if isinstance(p, str) else p for p in parts)).hexdigest()[:24]


def content(root: Path, files: Iterable[Path]) -> bytes:
    """Digest of files below `root`, with their names there and modes: the same in every checkout."""
    digest = hashlib.sha256()
    for file in sorted(files):
        path = root / file
        digest.update(f"{file}\0{path.stat().st_mode:o}\0".encode() + path.read_bytes())
    return digest.digest()


def folder(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of a key; made once, whole or not at all. Its time is that of its last use."""
    target = cache_directory() / "images" / name
    with locked(target):
        if not target.is_dir():
            with whole(target) as staging:
                staging.mkdir()
                make(staging)
        os.utime(target)
    return target


def forget(before: float) -> None:
    """Remove folders that nobody has used since `before` (seconds since the epoch): those of former checkouts."""

    def unused(path: Path) -> bool:
        return path.is_dir() and path.stat().st_mtime < before

    for path in filter(unused, (cache_directory() / "images").iterdir()):
        with locked(path):
            if unused(path):
                shutil.rmtree(path)


def run(below: Folder, command: str, workdir: str, environment: dict[str, str]) -> Folder:
    """What a RUN instruction adds."""
    name = key(below.key, "RUN", command, workdir, repr(sorted(environment.items())))

    def make(staging: Path) -> None:
        print(f"image: {command[:100]} (once)", file=sys.stderr, flush=True)
        passed = {n: v for n, v in os.environ.items() if n.startswith(PASSED) or n.lower().startswith(PASSED)}
        overlay(below, staging, ["sh", "-c", SCRIPT, "step", command], {**environment, **passed, "WORKDIR": workdir})

    return Folder(name, (*below.parts, folder(f"layer-{name}", make)))


def overlay(below: Folder, upper: Path, command: Sequence[str], environment: dict[str, str]) -> None:
    """Run a command that mounts `below` with `upper` above it on $ROOT."""
    scratch = upper.parent
    places = {"UPPER": upper, "WORK": scratch / "work", "ROOT": scratch / "root"}
    for place in (places["WORK"], places["ROOT"]):
        place.mkdir()
    lower = ":".join(str(part) for part in reversed(below.parts))
    finished = subprocess.run(
        [*PRIVATE, "env", "-i", *(f"{name}={value}" for name, value in environment.items()), f"LOWER={lower}",
         *(f"{name}={place}" for name, place in places.items()), *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if finished.returncode:
        raise ClusterError(f"image: {' '.join(command[4:])} failed:\n{(finished.stdout + finished.stderr)[-3000:]}")


def copied(below: Folder, source: Folder, path: str, target: str) -> Folder:
    """What `COPY --from` adds: the content of a folder of another stage."""
    name = key(below.key, "COPY", source.key, path, target)

    def make(staging: Path) -> None:
        scratch = staging.parent / "empty"
        scratch.mkdir()
        script = f'{SCRIPT}\nmkdir -p "$2$4" && cp -a "$ROOT$3/." "$2$4"'
        standard = {"PATH": os.environ["PATH"]}
        overlay(source, scratch, ["sh", "-c", script, "step", "", str(staging), path, target], standard)

    return Folder(name, (*below.parts, folder(f"layer-{name}", make)))


def added(below: Folder, root: Path, files: Sequence[Path], place: Callable[[Path], str]) -> Folder:
    """What COPY adds: files below `root`, each at the place that it is given."""
    name = key(below.key, "ADD", content(root, files), repr([place(file) for file in files]))

    def make(staging: Path) -> None:
        for file in files:
            target = staging / place(file).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / file, target)

    return Folder(name, (*below.parts, folder(f"layer-{name}", make)))


def tar(source: Path, name: str, prefix: str = "", owner: int | None = None) -> Layer:
    """A folder as a layer, its content below `prefix`, owned by `owner` where one is named."""

    def own(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        if owner is not None:
            entry.uid = entry.gid = owner
        entry.uname = entry.gname = ""
        return entry

    def make(staging: Path) -> None:
        path = staging / "layer.tar"
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
            for child in sorted(source.iterdir()):
                archive.add(child, f"{prefix}{child.name}", filter=own)
        with path.open("rb") as file:
            (staging / "digest").write_text(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")

    made = folder(f"tar-{name}", make)
    return Layer(made / "layer.tar", (made / "digest").read_text())
