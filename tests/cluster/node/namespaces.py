"""The few system calls and commands by which namespaces and mounts are made."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Final

from tests.cluster.node.needs import SEARCH

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWNET: Final = 0x40000000


def unshare(flags: int) -> None:
    """Leave the caller's namespaces for new ones."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")


def command(*words: str | Path) -> None:
    """Run a command of the system; its failure raises with its own words."""
    finished = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, env={**os.environ, "PATH": SEARCH}
    )
    if finished.returncode:
        raise OSError(f"{' '.join(map(str, words))}: {finished.stderr.strip()}")


def inside(pid: int, directory: Path) -> list[str]:
    """The words before a command that let it run in a directory, in the network and the mounts of a process."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt", f"--wdns={directory}", "--"]
