"""Every kind of source, and every way in which one may be wrong."""

import hashlib
import io
import itertools
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelmeter.loader import archive, checkpoint
from modelmeter.loader.errors import IncompleteModelError, SourceError
from modelmeter.loader.fetch import Fetched, fetch, fingerprint
from tests.loader.web import Web

NAMES = ("config.json", "model.safetensors", "tokenizer.json")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def packed(folder: Path, *arguments: str) -> bytes:
    """Pack a folder's files below model/, as tar.gz or zip."""
    made = shutil.make_archive(str(folder.parent / "packed"), *arguments, folder.parent, folder.name)
    return Path(made).read_bytes()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


@pytest.fixture
def claim(tmp_path: Path, checkpoint: Path) -> Path:
    """A claim with a model in bert/v1."""
    shutil.copytree(checkpoint, tmp_path / "claim" / "bert" / "v1")
    return tmp_path / "claim"


def test_a_claim_is_read_in_place(claim: Path, workspace: Path) -> None:
    assert fetch("pvc://models/bert/v1", workspace, claim) == Fetched(claim / "bert" / "v1")
    (claim / "latest").symlink_to("bert/v1")
    assert fetch("pvc://models/latest", workspace, claim).folder == claim / "bert" / "v1"
    assert not any(workspace.iterdir())


DIGEST = f"@sha256:{'0f' * 32}"


@pytest.mark.parametrize("reference", [":v1", DIGEST, f":v1{DIGEST}"])
def test_a_folder_of_a_mounted_image_is_read_in_place(claim: Path, workspace: Path, reference: str) -> None:
    source = f"image://registry.example:5000/models/bert{reference}/bert/v1"
    assert fetch(source, workspace, claim) == Fetched(claim / "bert" / "v1")
    assert fetch(f"image://registry.example/bert{reference}", workspace, claim / "bert/v1").folder == claim / "bert/v1"
    # As is a tag whose image changes: not by its address alone.
    before = fingerprint(source, claim)
    os.utime(claim / "bert/v1/config.json", (1, 1))
    assert before != fingerprint(source, claim)
    assert not any(workspace.iterdir())


def test_an_image_cannot_be_left(claim: Path, workspace: Path) -> None:
    with pytest.raises(SourceError, match=r"leaves its image.*inside the image"):
        fetch("image://registry.example/bert:v1/../checkpoint", workspace, claim)


@pytest.mark.parametrize(
    "path", ["../checkpoint", "bert/../../checkpoint", "%2e%2e/checkpoint", "out", "/../checkpoint"]
)
def test_a_claim_cannot_be_left(claim: Path, workspace: Path, path: str) -> None:
    (claim / "out").symlink_to("../checkpoint")
    with pytest.raises(SourceError, match=r"leaves its claim.*inside the claim"):
        fetch(f"pvc://models/{path}", workspace, claim)


def test_no_file_is_a_link_out_of_the_claim(claim: Path, checkpoint: Path, workspace: Path) -> None:
    (claim / "bert/v1/tokenizer.json").unlink()
    (claim / "bert/v1/tokenizer.json").symlink_to(checkpoint / "tokenizer.json")
    with pytest.raises(SourceError, match=r"tokenizer\.json is a link that leaves its claim"):
        fetch("pvc://models/bert/v1", workspace, claim)
    # As caches are laid out: links within the claim.
    os.replace(claim / "bert/v1/config.json", claim / "blob")
    (claim / "bert/v1/config.json").symlink_to("../../blob")
    (claim / "bert/v1/tokenizer.json").unlink()
    shutil.copy(checkpoint / "tokenizer.json", claim / "bert/v1")
    assert fetch("pvc://models/bert/v1", workspace, claim)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("pvc://models/absent", r"absent does not exist; give the folder that holds config\.json"),
        ("pvc://models/bert/v1/config.json", "is a file"),
        ("http://example.com/m.zip?token=secret", "http://example.com/m.zip is not encrypted; use https://"),
        ("ftp://example.com/m.zip", "no scheme that the loader reads; use pvc://"),
        ("image://registry.example/models/bert/v1", "no tag and no digest; use image://"),
        ("bert-base-uncased", "no scheme that the loader reads"),
        ("https://[half/m", "no address"),
        ("https://example.com/m.zip#sha256=12", r"is no checksum; append #sha256="),
        ("https://example.com/m.zip#md5=12", "is no checksum"),
    ],
)
def test_a_source_that_cannot_work_is_named(claim: Path, workspace: Path, source: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        fetch(source, workspace, claim)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("missing", NAMES)
def test_a_missing_file_is_named(claim: Path, workspace: Path, missing: str) -> None:
    (claim / "bert/v1" / missing).unlink()
    with pytest.raises(IncompleteModelError, match=f"lacks {missing}; add {missing}"):
        fetch("pvc://models/bert/v1", workspace, claim)


def test_an_empty_folder_is_not_a_model(claim: Path, workspace: Path, web: Web) -> None:
    (claim / "empty").mkdir()
    with pytest.raises(IncompleteModelError, match="holds no file of a model"):
        fetch("pvc://models/empty", workspace, claim)
    with pytest.raises(
        SourceError, match=r"/empty/ answered HTTP 404 for every file of a model; point .* at the folder"
    ):
        fetch(f"{web.url}/empty/", workspace, claim)


def test_a_folder_over_http(checkpoint: Path, workspace: Path, web: Web) -> None:
    web.files = {f"bert/{name}": data for name, data in contents(checkpoint).items()}
    web.files["bert/1_Pooling/config.json"] = b"{}"
    digest = hashlib.sha256(web.files["bert/model.safetensors"]).hexdigest()
    folder = fetch(f"{web.url}/bert/#sha256={digest}", workspace, Path("/absent")).folder
    assert contents(folder) == contents(checkpoint)
    assert (folder / "1_Pooling/config.json").read_bytes() == b"{}"


def test_the_sum_of_files_can_be_checked_by_hand(checkpoint: Path) -> None:
    lines = "".join(f"{hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()}  {name}\n" for name in NAMES)
    result = checkpoint_digest(checkpoint)
    assert result.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert (result.files, result.size_bytes) == (3, sum(map(len, contents(checkpoint).values())))


checkpoint_digest = checkpoint.digest  # the fixture has the module's name


@pytest.mark.parametrize(
    ("kind", "suffix"), [("gztar", ".tar.gz"), ("tar", ".tar"), ("xztar", ".tar.xz"), ("zip", ".zip")]
)
def test_an_archive_over_http(checkpoint: Path, workspace: Path, web: Web, kind: str, suffix: str) -> None:
    web.files[f"bert{suffix}"] = data = packed(checkpoint, kind)
    folder = fetch(
        f"{web.url}/bert{suffix}#sha256={hashlib.sha256(data).hexdigest()}", workspace, Path("/absent")
    ).folder
    assert contents(folder) == contents(checkpoint)
    assert [path.name for path in workspace.iterdir()] == ["model"]  # the archive itself does not stay


def test_the_shallowest_model_of_an_archive_counts(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("m/onnx/config.json", "m/config.json", "m/README.md"):
            add(tar, tarfile.TarInfo(name), name.encode())
    assert extracted(tmp_path) == {"out/config.json": b"m/config.json"}


def add(tar: tarfile.TarFile, entry: tarfile.TarInfo, data: bytes = b"") -> None:
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def extracted(tmp_path: Path) -> dict[str, bytes]:
    """Extract a.* to out/; return every new file below tmp_path."""
    (source,) = tmp_path.glob("a.*")
    (tmp_path / "out").mkdir()
    archive.extract(source, tmp_path / "out")
    found = [path for path in tmp_path.rglob("*") if path.is_symlink() or path.is_file()]
    assert not any(path.is_symlink() for path in found)
    return {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in found if path != source}


def test_a_zip_writes_nowhere_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        for name in ("m/config.json", "../evil", "m/../../evil", str(tmp_path / "evil"), "m/../tokenizer.json"):
            zipped.writestr(name, name)
    assert extracted(tmp_path) == {"out/config.json": b"m/config.json"}


HOSTILE: tuple[Callable[[tarfile.TarFile], None], ...] = (
    lambda tar: add(tar, tarfile.TarInfo("../evil"), b"x"),
    lambda tar: add(tar, tarfile.TarInfo("/tmp/modelmeter-evil"), b"x"),
    lambda tar: add(tar, link("tokenizer.json", "/etc/passwd")),
    lambda tar: add(tar, link("tokenizer.json", "/etc/passwd", tarfile.LNKTYPE)),
    lambda tar: add(tar, link("1_Pooling", "..")),
    lambda tar: add(tar, link("model.safetensors", "", tarfile.FIFOTYPE)),
    # A link after the file of the same name: the file is what counts, the link is passed over.
    lambda tar: add(tar, link("config.json", "/etc/passwd")),
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_tar_writes_nowhere_else(tmp_path: Path, hostile: Callable[[tarfile.TarFile], None]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, tarfile.TarInfo("config.json"), b"{}")
        hostile(tar)
    assert extracted(tmp_path) == {"out/config.json": b"{}"}
    assert not Path("/tmp/modelmeter-evil").exists()


def test_an_archive_that_unpacks_without_end_is_refused(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "UNPACKED_BYTES_LIMIT", 1000)
    (tmp_path / "a.tar.gz").write_bytes(packed(checkpoint, "gztar"))
    with pytest.raises(SourceError, match="unpacks to more than 64 GiB"):
        archive.extract(tmp_path / "a.tar.gz", tmp_path)


@pytest.mark.parametrize(
    ("kind", "damage"),
    # A plain tar has no checksum of its data: what is flipped there, the address's own checksum finds.
    [*itertools.product(("gztar", "bztar", "xztar", "zip"), ("cut", "flipped", "text")), ("tar", "cut")],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, checkpoint: Path, kind: str, damage: str) -> None:
    data = packed(checkpoint, kind)
    half = len(data) // 2
    path, out = tmp_path / "damaged", tmp_path / "out"
    damaged = {"cut": data[:half], "flipped": data[:half] + bytes([data[half] ^ 255] * 9) + data[half + 9 :]}
    path.write_bytes(damaged.get(damage, b"<html>Please log in</html>"))
    out.mkdir()
    with pytest.raises(SourceError, match=r"(?s)the archive cannot be read: .*; pack the folder again"):
        archive.extract(path, out)


def test_a_full_volume_is_not_the_archive_s_fault(tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / "a.zip").write_bytes(packed(checkpoint, "zip"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        archive.extract(tmp_path / "a.zip", tmp_path / "out")
