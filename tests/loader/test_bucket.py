"""s3://, gs:// and az:// sources, against a server that keeps objects as the three clouds do."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from urllib.parse import unquote

import pytest

from modelmeter.loader.bucket import LOST_BYTES_LIMIT
from modelmeter.loader.errors import ChecksumError, IncompleteModelError, RefusedError, SourceError
from modelmeter.loader.fetch import fetch
from modelmeter.loader.progress import Progress
from tests.loader.test_sources import contents, packed
from tests.loader.test_sources import workspace as workspace  # a fixture
from tests.loader.web import Reply, Web, ranged

ABSENT = Path("/absent")
SCHEMES = ("s3", "gs", "az")
KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


class Store:
    """Objects by bucket/path. The clouds' answers to HEAD and GET differ in nothing that is used."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.objects: dict[str, bytes] = {}
        web.script = self.answer

    def answer(self, path: str, number: int, range_: str | None) -> Reply:
        headers = self.web.headers[-1]
        path = unquote(path)
        if path not in self.objects:
            return Reply(404)
        data = self.objects[path]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        if headers["If-Match"] not in (None, etag):
            return Reply(412)
        reply = ranged(data, range_, etag)
        reply.headers["Last-Modified"] = "Tue, 24 Nov 2026 00:00:00 GMT"
        return reply


@pytest.fixture
def store(web: Web, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    account = {"gcs_base_url": web.url, "disable_oauth": True, "client_email": "", "private_key": ""}
    environment = {
        "AWS_ENDPOINT_URL": web.url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "loader",
        "AWS_SECRET_ACCESS_KEY": KEY,
        "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account | {"private_key_id": ""}),
        "GOOGLE_ALLOW_HTTP": "true",
        "AZURE_STORAGE_ACCOUNT_NAME": "loader",
        "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        "AZURE_STORAGE_ENDPOINT": web.url,
        "AZURE_ALLOW_HTTP": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Store(web)
    made.objects = {f"models/my bert/v1/{name}": data for name, data in contents(checkpoint).items()}
    return made


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_folder(store: Store, checkpoint: Path, workspace: Path, scheme: str) -> None:
    store.objects |= {"models/my bert/v1/1_Pooling/config.json": b"{}", "models/my bert/v1/README.md": b"#"}
    lines: list[str] = []
    fetched = fetch(f"{scheme}://models/my%20bert/v1/", workspace, ABSENT, Progress(lines.append))
    assert contents(fetched.folder) == contents(checkpoint)
    assert (fetched.folder / "1_Pooling/config.json").read_bytes() == b"{}"
    assert not any("README" in path for path, _ in store.web.requests)
    total = sum(len(data) for data in contents(checkpoint).values()) + 2
    assert lines[-1].endswith("(100 %)")
    assert f"of {total / 1024:.1f} KiB" in lines[-1]


@pytest.mark.parametrize(
    ("scheme", "shown"), [("s3", "AWS4-HMAC-SHA256 Credential=loader/"), ("az", "SharedKey loader:")]
)
def test_requests_are_signed(store: Store, workspace: Path, scheme: str, shown: str) -> None:
    fetch(f"{scheme}://models/my%20bert/v1", workspace, ABSENT)
    assert all(headers["Authorization"].startswith(shown) for headers in store.web.headers)
    assert KEY not in str([headers.items() for headers in store.web.headers])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_archive_with_its_checksum(store: Store, checkpoint: Path, workspace: Path, scheme: str) -> None:
    data = store.objects["models/bert.tar.gz"] = packed(checkpoint, "gztar")
    with pytest.raises(ChecksumError, match=f"{scheme}://models/bert.tar.gz has the sha256"):
        fetch(f"{scheme}://models/bert.tar.gz#sha256={'0' * 64}", workspace, ABSENT)
    (workspace / "model").rmdir()
    source = f"{scheme}://models/bert.tar.gz#sha256={hashlib.sha256(data).hexdigest()}"
    assert contents(fetch(source, workspace, ABSENT).folder) == contents(checkpoint)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "HTTP 401; let the credentials read it: those of the Secret that spec.model.credentialsSecret names"),
        (403, "HTTP 403; check the path, and let the credentials read it"),
        (400, "HTTP 400; check the address"),
        (301, "HTTP 301; the bucket is in another region: set AWS_REGION"),
    ],
)
def test_a_refusal_is_final(store: Store, workspace: Path, scheme: str, status: int, says: str) -> None:
    store.web.script = lambda path, number, range_: Reply(status)
    with pytest.raises(RefusedError, match=f"{scheme}://models/x/config.json answered {says}"):
        fetch(f"{scheme}://models/x", workspace, ABSENT)
    assert len(store.web.requests) == 1


def test_nothing_there_is_named(store: Store, workspace: Path) -> None:
    with pytest.raises(IncompleteModelError, match="holds no file of a model"):
        fetch("s3://models/none", workspace, ABSENT)
    (workspace / "model").rmdir()
    with pytest.raises(RefusedError, match=r"s3://models/none\.zip answered HTTP 404; check bucket and path"):
        fetch("s3://models/none.zip", workspace, ABSENT)
    (workspace / "model").rmdir()
    del store.objects["models/my bert/v1/tokenizer.json"]
    asked = len(store.web.requests)
    with pytest.raises(IncompleteModelError, match=r"lacks tokenizer\.json"):
        fetch("s3://models/my%20bert/v1", workspace, ABSENT)
    assert len(store.web.requests) - asked == 5  # looked at, not fetched


def test_what_is_optional_may_be_hidden_from_those_who_cannot_list(store: Store, workspace: Path) -> None:
    store.web.script = lambda path, number, range_: (
        Reply(403) if unquote(path) not in store.objects else store.answer(path, number, range_)
    )
    lines: list[str] = []
    assert fetch("s3://models/my%20bert/v1", workspace, ABSENT, Progress(lines.append))
    assert "s3://models/my bert/v1/modules.json answered HTTP 403: taken as absent" in lines


@pytest.mark.parametrize("scheme", SCHEMES)
def test_trouble_on_the_way_passes(store: Store, checkpoint: Path, workspace: Path, scheme: str) -> None:
    waits: list[float] = []
    weights = store.objects["models/my bert/v1/model.safetensors"] = random.Random(7).randbytes(1_000_000)
    answers = {1: Reply(503), 2: Reply(429)}

    def trouble(path: str, number: int, range_: str | None) -> Reply:
        reply = answers.get(number) or store.answer(path, number, range_)
        if range_ is None and path.endswith("safetensors") and store.web.command == "GET":
            reply.cut = 600_000
        return reply

    store.web.script = trouble
    fetched = fetch(f"{scheme}://models/my%20bert/v1", workspace, ABSENT, Progress(print), waits.append)
    assert contents(fetched.folder) == contents(checkpoint) | {"model.safetensors": weights}
    assert waits == [1.0, 2.0, 1.0]
    (resumed,) = (range_ for _, range_ in store.web.requests if range_)
    assert 600_000 - LOST_BYTES_LIMIT <= int(resumed.removeprefix("bytes=").removesuffix("-")) <= 600_000


def test_a_file_that_changes_meanwhile_is_not_patched_together(store: Store, workspace: Path) -> None:
    weights = "models/my bert/v1/model.safetensors"

    def change(path: str, number: int, range_: str | None) -> Reply:
        reply = store.answer(path, number, range_)
        if unquote(path) == weights and store.web.command == "GET":
            store.objects[weights] = store.objects[weights][::-1]
            reply.cut = 2000
        return reply

    store.web.script = change
    with pytest.raises(RefusedError, match="HTTP 412; it was changed while it was fetched"):
        fetch("s3://models/my%20bert/v1", workspace, ABSENT, Progress(print), lambda seconds: None)


def test_no_store_and_no_account_are_named(workspace: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"after 6 attempts; check that the pods reach the endpoint, and let") as said:
        fetch("s3://models/bert", workspace, ABSENT, Progress(print), lambda seconds: None)
    assert "Debug source" not in str(said.value)
    (workspace / "model").rmdir()
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    with pytest.raises(SourceError, match=r"az://models: .*[Aa]ccount"):
        fetch("az://models/bert", workspace, ABSENT, Progress(print), lambda seconds: None)
