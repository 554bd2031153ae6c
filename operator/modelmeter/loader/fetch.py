"""Turn a source into a folder with a checkpoint's files.

    pvc://CLAIM/path            the claim is mounted read-only; nothing is copied
    https://HOST/model.tar.gz   an archive: tar (also gz, bz2, xz) or zip
    https://HOST/folder/        a folder whose files have the usual names
    file:///folder              a folder of this machine
Both https forms take `#sha256=HEX`: of the archive, or of the folder's model.safetensors.
"""

from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from modelmeter.loader import archive, checkpoint
from modelmeter.loader.download import Download, download, shown
from modelmeter.loader.errors import SourceError

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def fetch(source: str, workspace: Path, claim_directory: Path) -> Path:
    """Return a folder with all required files; downloads go to `workspace`, which must exist.

    Raises SourceError (or one of its kinds) where the source cannot be read or lacks files.
    """
    url = _split(source)
    match url.scheme:
        case "pvc":
            folder = _inside(claim_directory, unquote(url.path), source)
        case "file":
            folder = _existing(Path(unquote(url.path)), source)
        case "https":
            folder = _fetch_url(url, workspace)
        case "http" if url.hostname in LOOPBACK:
            folder = _fetch_url(url, workspace)
        case "http":
            raise SourceError(f"{shown(source)} is not encrypted", "use https://")
        case _:
            raise SourceError(
                f"{shown(source)} has no scheme that the loader reads",
                "use pvc://CLAIM/path, https://HOST/path or file:///folder",
            )
    for path in checkpoint.present(folder):
        if url.scheme == "pvc" and not path.resolve().is_relative_to(claim_directory.resolve()):
            raise SourceError(f"{source}: {path.name} is a link that leaves its claim", "copy the file into the claim")
    return folder


def fingerprint(source: str, claim_directory: Path) -> list[list[str | int]]:
    """Return what tells that a folder changed under the same name: size and time of its files.

    Empty for https sources, whose address alone counts: publish a changed model under a new address.
    """
    url = _split(source)
    if url.scheme not in ("pvc", "file"):
        return []
    path = unquote(url.path)
    folder = claim_directory / path.lstrip("/") if url.scheme == "pvc" else Path(path)
    names = (*checkpoint.REQUIRED, *checkpoint.OPTIONAL)
    stats = [(name, (folder / name).stat()) for name in names if (folder / name).is_file()]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _split(source: str) -> SplitResult:
    try:
        return urlsplit(source)
    except ValueError as error:
        raise SourceError(f"the source is no address: {error}", "use pvc://CLAIM/path or https://HOST/path") from error


def _inside(mount: Path, path: str, source: str) -> Path:
    """Resolve a claim's path; neither .. nor a link may leave the claim."""
    folder = _existing(mount / path.lstrip("/"), source)
    if not folder.is_relative_to(mount.resolve()):
        raise SourceError(f"{source} leaves its claim", "give a path inside the claim, without ..")
    return folder


def _existing(folder: Path, source: str) -> Path:
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise SourceError(f"{source}: {folder} {what}", "give the folder that holds config.json")
    return folder.resolve()


def _fetch_url(url: SplitResult, workspace: Path) -> Path:
    sha256 = _wanted_sha256(url)
    address = url._replace(fragment="").geturl()
    folder = workspace / "model"
    folder.mkdir()
    if archive.is_archive(url.path):
        packed = workspace / "archive"
        download(Download(address, packed, sha256))
        archive.extract(packed, folder)
        packed.unlink()
        return folder
    for name in (*checkpoint.REQUIRED, *checkpoint.OPTIONAL):
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        member = url._replace(path=f"{url.path.rstrip('/')}/{name}", fragment="").geturl()
        checked = sha256 if name == "model.safetensors" else None
        download(Download(member, target, checked, absent_is_fine=True))
    return folder


def _wanted_sha256(url: SplitResult) -> str | None:
    if not url.fragment:
        return None
    sha256 = parse_qs(url.fragment).get("sha256", [""])[0].lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise SourceError(f"#{url.fragment} is no checksum", "append #sha256= and the 64 hexadecimal digits")
    return sha256
