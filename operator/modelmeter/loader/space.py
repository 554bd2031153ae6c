"""Refuse what the destination has no room for, before it is fetched."""

import shutil
from pathlib import Path

from modelmeter.loader.errors import DestinationError
from modelmeter.readable import size


def require(folder: Path, wanted_bytes: int) -> None:
    """Raise DestinationError if the folder's volume has less than `wanted_bytes` free."""
    free_bytes = shutil.disk_usage(folder).free
    if wanted_bytes > free_bytes:
        raise DestinationError(
            f"the model's files need {wanted_bytes} bytes ({size(wanted_bytes)}),"
            f" the volume has {free_bytes} bytes ({size(free_bytes)}) free",
            "raise spec.storage.size: it holds the files while they are converted, and the repository made of them",
        )
