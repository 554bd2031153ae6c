"""An image as a docker-archive: a tar of layers, a config and manifest.json, written as a stream."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from tests.cluster.images.layers import Layer


@dataclass(frozen=True, slots=True)
class Image:
    """Layers, the lowest first, under one or more names (with registry host and tag)."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    config: Mapping[str, object]

    def write(self, output: IO[bytes]) -> None:
        """Write the archive."""
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
        }
        config = json.dumps(document).encode()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        files = [f"{layer.digest.removeprefix('sha256:')}.tar" for layer in self.layers]
        manifest = [{"Config": name, "RepoTags": self.names, "Layers": files}]
        with tarfile.open(fileobj=output, mode="w|", format=tarfile.GNU_FORMAT) as archive:
            _add(archive, name, config)
            for file, layer in zip(files, self.layers, strict=True):
                archive.add(layer.path, file)
            _add(archive, "manifest.json", json.dumps(manifest).encode())


def dump(images: Iterable[Image]) -> str:
    """Images as JSON, for another process of this machine."""
    return json.dumps([asdict(image) for image in images], default=str, indent=2)


def load(text: str) -> list[Image]:
    """What `dump` wrote."""
    return [
        Image(
            names=tuple(item["names"]),
            layers=tuple(Layer(Path(layer["path"]), layer["digest"]) for layer in item["layers"]),
            config=item["config"],
        )
        for item in json.loads(text)
    ]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))
