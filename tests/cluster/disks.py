"""The file systems behind claims of real pods: each of its own size, kept in memory, mounted where all nodes see it."""

from __future__ import annotations

from pathlib import Path

from modelmeter.api.scalars import quantity
from tests.cluster.node.namespaces import command


class Disks:
    """File systems in a folder; with no folder, where no pod is real, only their names."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def make(self, name: str, size: str) -> str:
        """Make a file system of a size ("10Gi"), or give the one that is there that size; its path."""
        if self._folder is None:
            return f"/nonexistent/{name}"
        path = self._folder / name
        options = f"size={int(quantity(size))},mode=755"
        if path.is_mount():
            command("mount", "-o", f"remount,{options}", path)
        else:
            path.mkdir()
            command("mount", "-t", "tmpfs", "-o", options, name, path)
        return str(path)

    def remove(self, name: str) -> None:
        """Remove one; nodes that still have it mounted keep it until they let go."""
        if self._folder is not None and (path := self._folder / name).is_mount():
            command("umount", "--lazy", path)
            path.rmdir()
