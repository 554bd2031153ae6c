"""What a machine must have to run a real node; told in full, with the way to get it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError

CNI: Final = Path("/usr/lib/cni")
COMMANDS: Final = {
    "runc": "runc", "debootstrap": "debootstrap", "nft": "nftables", "conntrack": "conntrack", "ip": "iproute2",
    "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount",
}  # fmt: skip
"""Command to its Debian package."""
CNI_PACKAGE: Final = "containernetworking-plugins"
PLUGINS: Final = ("bridge", "host-local", "loopback")
SEARCH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
CLONE_CHECK: Final = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "true")


def missing() -> list[str]:
    """Everything that is missing, each with its remedy; empty where a real node can run."""
    return list(_missing())


def require() -> None:
    """Raise where a real node cannot run."""
    if found := missing():
        raise ClusterError("a real node cannot run here:\n" + "\n".join(f"  - {line}" for line in found))


def _missing() -> Iterator[str]:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        yield f"Linux on x86_64 is needed, this is {sys.platform} on {platform.machine()}"
        return
    if os.geteuid() != 0:
        yield "root is needed (namespaces, mounts, cgroups): run it as root"
    packages = {package for command, package in COMMANDS.items() if not shutil.which(command, path=SEARCH)}
    if any(not (CNI / plugin).exists() for plugin in PLUGINS):
        packages.add(CNI_PACKAGE)
    if packages:
        yield f"packages {', '.join(sorted(packages))} are missing: `make real-node-deps` installs them (Debian)"
    if os.geteuid() == 0 and "util-linux" not in packages:
        tried = subprocess.run(CLONE_CHECK, capture_output=True, text=True, check=False)
        if tried.returncode:
            yield f"this machine refuses new namespaces: {tried.stderr.strip()}"
    if "nodev\toverlay" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        yield "the kernel has no overlayfs: `modprobe overlay`"
