"""`python -m tests.cluster.space`: is there room for a whole run? A full disk fails many tests, and none says why."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.cluster.triton import cache_directory

GIB: Final = 2**30
RUN_GIB: Final = 4
"""Files of clusters and tests, at most, beside each other (measured: 3.4)."""
COLD_GIB: Final = 6
"""What the cache grows to (measured: 4.9), and what its making needs in between."""
WARM_GIB: Final = 1
"""Images unpacked anew after a change."""


def lacking(needs: Mapping[Path, int], device: Callable[[Path], int], free: Callable[[Path], int]) -> Iterator[str]:
    """Say of each file system that has too little for the folders (of which some may not be yet): GiB needed."""
    devices: dict[int, list[Path]] = {}
    for folder in needs:
        devices.setdefault(device(_existing(folder)), []).append(folder)
    for folders in devices.values():
        gib, room = sum(needs[folder] for folder in folders), free(_existing(folders[0]))
        if room < gib * GIB:
            yield f"{' and '.join(map(str, folders))}: {room / GIB:.1f} GiB are free, a run needs {gib}"


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def main() -> int:
    """Tell what lacks; 1 where something does."""
    cache = cache_directory()
    needs = {Path(tempfile.gettempdir()): RUN_GIB, cache: WARM_GIB if (cache / "images").exists() else COLD_GIB}
    lines = list(lacking(needs, lambda path: path.stat().st_dev, lambda path: shutil.disk_usage(path).free))
    for line in lines:
        print(f"{line}: make room, or name other folders by TMPDIR and MODELMETER_CACHE", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
