"""The stand-ins for images of others: Triton for the CPU, and the pause container of every pod."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.cluster.images import layers
from tests.cluster.images.archive import Image
from tests.cluster.images.base import base
from tests.cluster.images.build import PATH
from tests.cluster.images.layers import Layer
from tests.cluster.triton import NUMPY, PYTRITON, triton_directory

PYTHON: Final = (3, 11)
"""That of the base."""
SERVER: Final = Path(__file__).with_name("tritonserver")
PAUSE: Final = "registry.k8s.io/pause:harness"
TRITON_USER: Final = 1000
"""Triton changes the mode of its Python stub, which only its owner may."""


def triton_image(*names: str) -> Image:
    """Triton 2.51 for the CPU, which is started as NVIDIA's is."""
    (root,) = base().parts
    config = {"Env": [f"PATH={PATH}", "LD_LIBRARY_PATH=/opt/tritonserver/lib"], "User": "1000:1000"}
    return Image(names, (layers.tar(root, layers.key(str(root))), _triton_layer()), config)


def _triton_layer() -> Layer:
    name = layers.key(PYTRITON, NUMPY, SERVER.read_bytes())

    def make(staging: Path) -> None:
        home = triton_directory(PYTHON)
        server = home / "pytriton" / "tritonserver"
        target = staging / "opt" / "tritonserver"
        for part in ("bin", "backends"):
            shutil.copytree(server / part, target / part)
        shutil.copytree(home / "nvidia_pytriton.libs", target / "lib")
        start = staging / "usr" / "local" / "bin" / "tritonserver"
        start.parent.mkdir(parents=True)
        shutil.copy(SERVER, start)
        start.chmod(0o755)

    return layers.tar(layers.folder(f"triton-{name}", make), f"triton-{name}", owner=TRITON_USER)


def pause_image(binary: Path) -> Image:
    """One static program."""
    name = layers.key(binary.read_bytes())

    def make(staging: Path) -> None:
        shutil.copy(binary, staging / "pause")

    layer = layers.tar(layers.folder(f"pause-{name}", make), f"pause-{name}")
    return Image((PAUSE,), (layer,), {"Entrypoint": ["/pause"]})
