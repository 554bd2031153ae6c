"""Take a checkpoint's files out of an archive.

Only the known names are taken, and each is written to a path of our own making: no member's path is ever
used, so neither .. nor links nor device files can do harm.
"""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Final

from modelmeter.loader import checkpoint
from modelmeter.loader.errors import SourceError
from modelmeter.loader.progress import UNPACKING
from modelmeter.loader.transfer import Carrier, Item

SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
# What the unpackers raise for damaged, encrypted (RuntimeError) or unusual (NotImplementedError) archives.
DAMAGE: Final = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
)  # fmt: skip
# Unpacked size of all files: a bound for archives that are made to unpack without end.
UNPACKED_BYTES_LIMIT: Final = 64 << 30
COPIED_BYTES: Final = 1 << 20


def is_archive(path: str) -> bool:
    """Tell an archive from a folder by its address."""
    return path.lower().endswith(SUFFIXES)


def bring(carrier: Carrier, item: Item) -> None:
    """Fetch an archive beside the folder, take the model's files out of it, and remove it."""
    beside = carrier.folder.parent
    replace(carrier, folder=beside).bring([item])
    carrier.progress.begin(UNPACKING)
    extract(beside / item.name, carrier.folder)
    (beside / item.name).unlink()


def extract(packed: Path, folder: Path) -> None:
    """Write the checkpoint's files from the shallowest folder with a config.json to `folder`."""
    try:
        if zipfile.is_zipfile(packed):
            with zipfile.ZipFile(packed) as zipped:
                zipped_files = {entry.filename: entry for entry in zipped.infolist() if not entry.is_dir()}
                for member, name in members({path: entry.file_size for path, entry in zipped_files.items()}).items():
                    with zipped.open(zipped_files[member]) as stream:
                        _write(stream, folder / name)
        else:
            with tarfile.open(packed) as tar:
                # The last entry of a name counts, as unpacking would leave it; links and devices are passed over.
                tarred_files = {entry.name: entry for entry in tar if entry.isreg()}
                _read_to_end(tar)
                for member, name in members({path: entry.size for path, entry in tarred_files.items()}).items():
                    tarred = tar.extractfile(tarred_files[member])
                    assert tarred is not None  # a regular file
                    with tarred:
                        _write(tarred, folder / name)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the volume's fault, not the archive's: full, or read-only
        raise SourceError(f"the archive cannot be read: {error}", "pack the folder again, as tar.gz or zip") from error


def members(sizes_bytes: dict[str, int]) -> dict[str, str]:
    """Map the members of an archive to the checkpoint's names: those of the shallowest folder with a config.json.

    >>> members({"model/config.json": 10, "model/README.md": 5, "model/onnx/config.json": 3})
    {'model/config.json': 'config.json'}
    """
    configs = [PurePosixPath(member) for member in sizes_bytes if PurePosixPath(member).name == "config.json"]
    root = min(configs, key=lambda path: len(path.parts), default=PurePosixPath("config.json")).parent
    names = {PurePosixPath(root, name): name for name in checkpoint.NAMES}
    wanted = {member: names[PurePosixPath(member)] for member in sizes_bytes if PurePosixPath(member) in names}
    wanted = {member: name for member, name in wanted.items() if checkpoint.worth_asking(name, wanted.values())}
    if sum(sizes_bytes[member] for member in wanted) > UNPACKED_BYTES_LIMIT:
        raise SourceError("the archive unpacks to more than 64 GiB", "pack only the model's files")
    return wanted


def _read_to_end(tar: tarfile.TarFile) -> None:
    """Read what follows the tar's end: the checksum of gzip, bzip2 and xz stands there."""
    assert tar.fileobj is not None
    while tar.fileobj.read(COPIED_BYTES):
        pass


def _write(stream: IO[bytes], target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with target.open("wb") as file:
        shutil.copyfileobj(stream, file, COPIED_BYTES)
