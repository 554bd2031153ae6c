"""ONNX files are fetched from every kind of source, where the source has no safetensors."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from modelmeter.loader import checkpoint
from modelmeter.loader.errors import ChecksumError, IncompleteModelError, RefusedError
from modelmeter.loader.fetch import fetch
from modelmeter.loader.progress import Progress
from tests.loader.checkpoints import tiny
from tests.loader.exports import export
from tests.loader.serve import of_a_bucket, of_a_registry, of_a_website
from tests.loader.test_bucket import Store
from tests.loader.test_bucket import store as store  # a fixture
from tests.loader.test_hub import Hub
from tests.loader.test_hub import hub as hub  # a fixture
from tests.loader.test_load import run
from tests.loader.test_load import target as target  # a fixture
from tests.loader.test_registry import registry as registry  # a fixture
from tests.loader.test_sources import packed
from tests.loader.test_sources import workspace as workspace  # a fixture
from tests.loader.web import Reply, Web

ABSENT = Path("/absent")
COMMON = {"config.json": b"{}", "tokenizer.json": b"[]"}
ROOT = {"model.onnx": b"graph", "model.onnx.data": b"weights"}
BELOW = {"onnx/model.onnx": b"another graph", "onnx/model.onnx_data": b"other weights"}
SAFETENSORS = {"model.safetensors": b"safe"}


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a new folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def of_an_archive(request: pytest.FixtureRequest, files: dict[str, bytes]) -> str:
    web: Web = request.getfixturevalue("web")
    folder = written(request.getfixturevalue("tmp_path") / "packing" / "model", files)
    web.files["bert.tar.gz"] = packed(folder, "gztar")
    return f"{web.url}/bert.tar.gz"


def of_the_hub(request: pytest.FixtureRequest, files: dict[str, bytes]) -> str:
    made: Hub = request.getfixturevalue("hub")
    made.files.clear()
    made.files |= {"README.md": b"#", "onnx/model_quantized.onnx": b"q", **files}
    return "hf://acme/bert"


Serve = Callable[[pytest.FixtureRequest, dict[str, bytes]], str]
SOURCES = pytest.mark.parametrize(
    "serve", [of_a_website, of_an_archive, of_the_hub, of_a_bucket, of_a_registry], ids=lambda serve: serve.__name__
)


@SOURCES
@pytest.mark.parametrize(
    ("held", "used"),
    [
        (ROOT, ROOT),
        (BELOW, BELOW),
        ({**ROOT, **BELOW}, ROOT),
        ({**SAFETENSORS, **ROOT, **BELOW}, SAFETENSORS),
        ({"model.onnx": b"graph", **BELOW}, {"model.onnx": b"graph"}),
        ({"onnx/model.onnx": b"graph", "model.onnx.data": b"alone"}, {"onnx/model.onnx": b"graph"}),
    ],
    ids=["beside", "below", "both", "all", "mixed", "astray"],
)
def test_only_what_is_used_is_fetched(
    request: pytest.FixtureRequest, workspace: Path, serve: Serve, held: dict[str, bytes], used: dict[str, bytes]
) -> None:
    fetched = fetch(serve(request, {**COMMON, **held}), workspace, ABSENT)
    assert tree(fetched.folder) == {**COMMON, **used}


@SOURCES
def test_a_source_without_weights_is_told_of_both(
    request: pytest.FixtureRequest, workspace: Path, serve: Serve
) -> None:
    with pytest.raises(IncompleteModelError, match=r"lacks model\.safetensors; add .*, or add model\.onnx"):
        fetch(serve(request, {**COMMON, "model.onnx.data": b"alone"}), workspace, ABSENT)


def test_a_claim_is_read_in_place(tmp_path: Path, workspace: Path) -> None:
    claim = written(tmp_path / "claim", {**COMMON, **ROOT, **BELOW})
    assert fetch("pvc://models/", workspace, claim).folder == claim
    assert checkpoint.digest(claim).files == 4
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted({**COMMON, **ROOT}.items())]
    assert checkpoint.digest(claim).sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_checksum_of_a_folder_is_that_of_its_graph(
    web: Web, workspace: Path, request: pytest.FixtureRequest
) -> None:
    source = of_a_website(request, {**COMMON, **ROOT})
    with pytest.raises(ChecksumError, match=r"bert/model\.onnx has the sha256"):
        fetch(f"{source}#sha256={'0' * 64}", workspace, ABSENT)
    shutil.rmtree(workspace / "model")
    assert fetch(f"{source}#sha256={hashlib.sha256(b'graph').hexdigest()}", workspace, ABSENT)


def hide(store: Store, *names: str) -> None:
    """Answer 403 to what is not there, as to those who may not list, and to some names."""
    store.web.script = lambda path, number, range_: (
        Reply(403)
        if unquote(path) not in store.objects or path.endswith(names or ("\n",))
        else store.answer(path, number, range_)
    )


def test_a_bucket_that_may_not_be_listed(store: Store, workspace: Path, request: pytest.FixtureRequest) -> None:
    source = of_a_bucket(request, {**COMMON, **BELOW})
    hide(store)
    lines: list[str] = []
    assert tree(fetch(source, workspace, ABSENT, Progress(lines.append)).folder) == {**COMMON, **BELOW}
    assert "s3://models/bert/model.safetensors answered HTTP 403: taken as absent" in lines


def test_weights_that_are_hidden_are_not_called_absent(
    store: Store, workspace: Path, request: pytest.FixtureRequest
) -> None:
    source = of_a_bucket(request, {**COMMON, **SAFETENSORS})
    hide(store, "model.safetensors")
    with pytest.raises(RefusedError, match=r"model\.safetensors answered HTTP 403; check the path, and let"):
        fetch(source, workspace, ABSENT)


def test_a_changed_file_is_loaded_again(tmp_path: Path, target: Path) -> None:
    source = f"file://{export(tiny(tmp_path / 'c'), 'onnx/model.onnx', data='model.onnx_data')}"
    status, report = run(source, target)
    assert (status, report["files"], report["reused"]) == (0, 4, False)
    status, again = run(source, target)
    assert (status, again) == (0, report | {"reused": True, "seconds": again["seconds"]})
    shutil.rmtree(tmp_path / "c")
    export(tiny(tmp_path / "c", seed=8), "onnx/model.onnx", data="model.onnx_data")
    assert run(source, target)[1]["reused"] is False
