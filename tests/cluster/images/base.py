"""The stand-in for python:3.12-slim, and for the Ubuntu of Triton's image: Debian bookworm with its Python 3.11."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError
from tests.cluster.images.layers import Folder, folder, key

SUITE: Final = "bookworm"
PACKAGES: Final = ("python3", "python3-venv", "python3-pip", "libpython3.11")
REMOVED: Final = (
    "var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info",
)  # fmt: skip
RECIPE: Final = "1"
"""Raised where `_make` changes."""


def base() -> Folder:
    """The file system, as debootstrap makes it from Debian's packages."""
    name = key(SUITE, *PACKAGES, *REMOVED, RECIPE)
    return Folder(name, (folder(f"base-{name}", _make),))


def _make(root: Path) -> None:
    print(f"image: debootstrap {SUITE} (once)", file=sys.stderr, flush=True)
    root.chmod(0o755)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)]
    finished = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--", *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if finished.returncode:
        raise ClusterError(f"debootstrap failed:\n{(finished.stdout + finished.stderr)[-2000:]}")
    for path in REMOVED:
        shutil.rmtree(root / path, ignore_errors=True)
    for path in ("etc/resolv.conf", "etc/hostname"):
        (root / path).write_text("")
    # As python:3.12-slim has it: `python` and `pip` are the image's own, to be used without a word.
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
