"""Turn a source into a folder with a checkpoint's files.

    pvc://CLAIM/path                       the claim is mounted read-only; nothing is copied
    image://HOST/REPOSITORY:TAG/path       an image whose file system is mounted; nothing is copied
    hf://OWNER/NAME[@REVISION][/FOLDER]    a model of the Hugging Face Hub
    s3://BUCKET/path, gs://, az://         an object store: an archive or a folder
    oci://HOST/REPOSITORY:TAG or @DIGEST   an artefact of a registry
    https://HOST/model.tar.gz              an archive: tar (also gz, bz2, xz) or zip
    https://HOST/folder/                   a folder whose files have the usual names
    file:///folder                         a folder of this machine
Archives and folders at an address take `#sha256=HEX`: of the archive, or of the folder's model.safetensors or
model.onnx.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from modelmeter.api.image_source import image_source
from modelmeter.loader import bucket, checkpoint, hub, registry, website
from modelmeter.loader.download import LOOPBACK, shown
from modelmeter.loader.errors import SourceError
from modelmeter.loader.progress import Progress
from modelmeter.loader.transfer import Carrier

FORMS: Final = (
    "pvc://CLAIM/path, image://HOST/REPOSITORY:TAG/path, hf://OWNER/NAME@REVISION, s3://, gs://, az://, oci://, https://"
    " or file://"
)
MOUNTED: Final = {"pvc": "claim", "image": "image"}
"""Schemes of what a pod mounts, and what it is called."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A folder with all required files; revision: what the source was resolved to, where it can change."""

    folder: Path
    revision: str = ""


def fetch(
    source: str,
    workspace: Path,
    claim_directory: Path,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Return where the model's files are; downloads go to `workspace`, which must exist.

    Raises SourceError (or one of its kinds) where the source cannot be read or lacks files.
    """
    url = _split(source)
    revision = ""
    match url.scheme:
        case "pvc" | "image":
            folder = _inside(claim_directory, _mounted_path(url, source), source, MOUNTED[url.scheme])
        case "file":
            folder = _existing(Path(unquote(url.path)), source)
        case "http" if url.hostname not in LOOPBACK:
            raise SourceError(f"{shown(source)} is not encrypted", "use https://")
        case _:
            folder = workspace / "model"
            folder.mkdir()
            carrier = Carrier(folder, progress or Progress(), sleep)
            carrier.progress.fetch()
            revision = _download(url, source, carrier)
    for path in checkpoint.present(folder):
        if (what := MOUNTED.get(url.scheme)) and not path.resolve().is_relative_to(claim_directory.resolve()):
            raise SourceError(
                f"{source}: {path.name} is a link that leaves its {what}", f"copy the file into the {what}"
            )
    return Fetched(folder, revision)


def _download(url: SplitResult, source: str, carrier: Carrier) -> str:
    match url.scheme:
        case "hf":
            return hub.fetch(source, carrier)
        case "oci":
            return registry.fetch(source, carrier)
        case "s3" | "gs" | "az":
            return bucket.fetch(url, carrier)
        case "http" | "https":
            return website.fetch(url, carrier)
        case _:
            raise SourceError(f"{shown(source)} has no scheme that the loader reads", f"use {FORMS}")


def fingerprint(source: str, claim_directory: Path) -> list[list[str | int]]:
    """Return what tells that a folder changed under the same name: size and time of its files.

    Empty for what is downloaded, whose address alone counts: publish a changed model under a new address or revision.
    """
    url = _split(source)
    if url.scheme in MOUNTED:
        folder = claim_directory / _mounted_path(url, source).lstrip("/")
    elif url.scheme == "file":
        folder = Path(unquote(url.path))
    else:
        return []
    stats = [(name, (folder / name).stat()) for name in checkpoint.NAMES if (folder / name).is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _split(source: str) -> SplitResult:
    try:
        return urlsplit(source)
    except ValueError as error:
        raise SourceError(f"the source is no address: {error}", f"use {FORMS}") from error


def _mounted_path(url: SplitResult, source: str) -> str:
    """The path within a claim or an image."""
    if url.scheme == "pvc":
        return unquote(url.path)
    parts = image_source(source)
    if parts is None:
        raise SourceError(f"{source} names no tag and no digest", "use image://HOST/REPOSITORY:TAG/path")
    return unquote(parts.folder)


def _inside(mount: Path, path: str, source: str, what: str) -> Path:
    """Resolve a path of what is mounted; neither .. nor a link may leave it."""
    folder = _existing(mount / path.lstrip("/"), source)
    if not folder.is_relative_to(mount.resolve()):
        raise SourceError(f"{source} leaves its {what}", f"give a path inside the {what}, without ..")
    return folder


def _existing(folder: Path, source: str) -> Path:
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise SourceError(f"{source}: {folder} {what}", "give the folder that holds config.json")
    return folder.resolve()
