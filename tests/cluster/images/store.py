"""Images as containerd keeps them, unpacked: made once, then linked into each new node, for unpacking takes long."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError
from tests.cluster.images.archive import Image, load
from tests.cluster.images.layers import folder, key

START_SECONDS: Final = 30.0
CONFIGURATION: Final = """
version = 3
root = "{root}"
state = "{state}/state"
disabled_plugins = [
    "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
    "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
address = "{state}/socket"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/opt"
"""
DATABASES: Final = "*/*.db"
"""What containerd changes in place; all else it adds or removes."""


def store(images: str, tools: Path) -> Path:
    """The folder of images (see archive.dump), for the containerd of `tools`; the cache keeps the newest only."""

    def make(staging: Path) -> None:
        for old in staging.parents[1].glob("store-*"):
            shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="modelmeter-") as state:
            _unpack(load(images), staging, Path(state), tools)

    return folder(f"store-{key(images, str(tools))}", make)


def link(images: str, tools: Path, target: Path) -> None:
    """Make containerd's folder of a new node; it copies where the cache is on another file system."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    for how in ("--link", "--reflink=auto"):
        source = store(images, tools)  # made again where a newer one has just taken its place
        done = subprocess.run(["cp", "--archive", how, source, target], capture_output=True, text=True, check=False)
        if not done.returncode:
            break
        shutil.rmtree(target, ignore_errors=True)
    else:
        raise ClusterError(f"{source}: {done.stderr[-2000:]}")
    for path in target.glob(DATABASES):
        own = path.with_suffix(".own")
        shutil.copy2(path, own)
        own.replace(path)


def wait(tools: Path, *options: str) -> None:
    """Wait until containerd answers."""
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run([*_ctr(tools, options), "version"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise ClusterError(f"containerd does not answer after {START_SECONDS:.0f} s")
        time.sleep(0.1)


def _unpack(images: list[Image], root: Path, state: Path, tools: Path) -> None:
    file, log, address = state / "config.toml", state / "log", f"--address={state}/socket"
    file.write_text(CONFIGURATION.format(root=root, state=state))
    command = ["unshare", "--mount", "--propagation=private", tools / "containerd", f"--config={file}"]
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,
    ):
        try:
            wait(tools, address)
            for image in images:
                print(f"image: {image.names[0]} is unpacked (once)", file=sys.stderr, flush=True)
                words = [*_ctr(tools, (address,)), "images", "import", "-"]
                with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=output, stderr=output) as importing:
                    assert importing.stdin is not None
                    image.write(importing.stdin)
                if importing.returncode:
                    raise ClusterError(f"containerd could not import {image.names[0]}:\n{log.read_text()[-2000:]}")
        finally:
            process.terminate()


def _ctr(tools: Path, options: tuple[str, ...]) -> list[str]:
    return [str(tools / "ctr"), "--namespace=k8s.io", *options]
