"""oci:// sources, against a server that speaks the part of the distribution protocol that is used."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmeter.loader.download import Asking
from modelmeter.loader.errors import ChecksumError, IncompleteModelError, RefusedError, SourceError
from modelmeter.loader.fetch import fetch
from modelmeter.loader.login import Login
from modelmeter.loader.progress import Progress
from modelmeter.loader.registry import Address
from tests.loader.test_load import run
from tests.loader.test_load import target as target  # a fixture
from tests.loader.test_sources import contents, packed
from tests.loader.test_sources import workspace as workspace  # a fixture
from tests.loader.web import Reply, Web, ranged

ABSENT = Path("/absent")
TITLE = "org.opencontainers.image.title"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BASIC = f"Basic {base64.b64encode(b'robot:secret').decode()}"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """A registry with one repository, acme/bert, that wants a token, and keeps its blobs on another server."""

    def __init__(self, web: Web, storage: Web) -> None:
        self.web, self.storage = web, storage
        self.manifests: dict[str, bytes] = {}
        self.tokens = 0
        self.uses = 0
        """How often the present token was taken."""
        self.uses_limit = 1000
        self.authorization: str | None = None
        """What the token server wants to see."""
        self.challenge = f'Bearer realm="{web.url}/token",service="registry",scope="repository:acme/bert:pull"'
        web.script = self.answer
        storage.script = lambda path, number, range_: ranged(self.blobs[path], range_, '"blob"')
        self.blobs: dict[str, bytes] = {}
        self.host = web.url.removeprefix("http://")

    def push(self, files: dict[str, bytes], tag: str = "v1", **packing: Any) -> str:
        """Push files as `oras push` does; return the manifest's digest."""
        layers: list[dict[str, Any]] = []
        for name, data in files.items():
            self.blobs[digest(data)] = data
            layers.append({"digest": digest(data), "size": len(data), "annotations": {TITLE: name}, **packing})
        return self.put({"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers}, tag)

    def put(self, manifest: Any, tag: str) -> str:
        data = json.dumps(manifest).encode()
        self.manifests |= {tag: data, digest(data): data}
        return digest(data)

    def answer(self, path: str, number: int, range_: str | None) -> Reply:
        shown = self.web.headers[-1]["Authorization"]
        if path == "token":
            if shown != self.authorization:
                return Reply(401)
            self.tokens, self.uses = self.tokens + 1, 0
            return Reply(200, json.dumps({"token": f"t{self.tokens}"}).encode())
        self.uses += 1
        if shown != f"Bearer t{self.tokens}" or self.uses > self.uses_limit:
            return Reply(401, headers={"WWW-Authenticate": self.challenge})
        kind, _, name = path.removeprefix("v2/acme/bert/").partition("/")
        if kind == "manifests" and name in self.manifests:
            return Reply(200, self.manifests[name])
        if kind == "blobs" and name in self.blobs:
            return Reply(307, headers={"Location": f"{self.storage.url}/{name}"})
        return Reply(404)


@pytest.fixture
def registry(web: Web, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    for name in ("OCI_USERNAME", "OCI_PASSWORD", ".dockerconfigjson"):
        monkeypatch.delenv(name, raising=False)
    with Web() as storage:
        yield Registry(web, storage)


@pytest.mark.parametrize("folder", ["", "bert/"])
def test_files_by_their_titles(registry: Registry, checkpoint: Path, workspace: Path, folder: str) -> None:
    files = {f"{folder}{name}": data for name, data in contents(checkpoint).items()}
    pushed = registry.push(files | {f"{folder}README.md": b"#", f"{folder}onnx/config.json": b"{}"})
    lines: list[str] = []
    source = f"oci://{registry.host}/acme/bert:v1"
    fetched = fetch(source, workspace, ABSENT, Progress(lines.append))
    assert (contents(fetched.folder), fetched.revision) == (contents(checkpoint), pushed)
    assert lines[0] == f"{source} is the manifest {pushed}"
    assert len(registry.storage.requests) == 3
    # Its own token is no business of the server that keeps the blobs.
    assert {headers["Authorization"] for headers in registry.storage.headers} == {None}


@pytest.mark.parametrize("reference", ["@{digest}", ":v1@{digest}"])
@pytest.mark.parametrize(
    "packing",
    [
        {"annotations": {TITLE: "bert", "io.deis.oras.content.unpack": "true"}},
        {"annotations": {TITLE: "bert"}, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
        {"annotations": {TITLE: "bert.tgz"}},
    ],
    ids=["oras", "oras-py", "archive"],
)
def test_a_packed_folder_by_its_digest(
    registry: Registry, checkpoint: Path, workspace: Path, reference: str, packing: dict[str, Any]
) -> None:
    pushed = registry.push({"bert": packed(checkpoint, "gztar")}, "v1", **packing)
    registry.push({"config.json": b"another"}, "v1")
    fetched = fetch(f"oci://{registry.host}/acme/bert{reference.format(digest=pushed)}", workspace, ABSENT)
    assert (contents(fetched.folder), fetched.revision) == (contents(checkpoint), pushed)


def test_an_index_of_one_manifest(registry: Registry, checkpoint: Path, workspace: Path) -> None:
    pushed = registry.push(contents(checkpoint))
    registry.put({"manifests": [{"digest": pushed}]}, "index")
    assert fetch(f"oci://{registry.host}/acme/bert:index", workspace, ABSENT).revision == pushed


def test_the_digest_is_in_the_result(registry: Registry, checkpoint: Path, target: Path) -> None:
    pushed = registry.push(contents(checkpoint))
    status, report = run(f"oci://{registry.host}/acme/bert:v1", target)
    assert (status, report["revision"]) == (0, pushed)


@pytest.mark.parametrize(
    "environment",
    [
        {"OCI_USERNAME": "robot", "OCI_PASSWORD": "secret"},
        {".dockerconfigjson": '{{"auths": {{"{host}": {{"username": "robot", "password": "secret"}}}}}}'},
        {".dockerconfigjson": '{{"auths": {{"http://{host}/v1/": {{"auth": "cm9ib3Q6c2VjcmV0"}}}}}}'},
    ],
)
@pytest.mark.parametrize("kind", ["token", "basic"])
def test_credentials(
    registry: Registry,
    checkpoint: Path,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    kind: str,
) -> None:
    registry.push(contents(checkpoint))
    source = f"oci://{registry.host}/acme/bert:v1"
    registry.authorization = BASIC
    if kind == "basic":
        inner = registry.answer

        def basic(path: str, number: int, range_: str | None) -> Reply:
            if registry.web.headers[-1]["Authorization"] != BASIC:
                return Reply(401, headers={"WWW-Authenticate": 'Basic realm="registry"'})
            registry.web.headers[-1].replace_header("Authorization", f"Bearer t{registry.tokens}")
            return inner(path, number, range_)

        registry.web.script = basic
    with pytest.raises(RefusedError, match=r"HTTP 401; let spec\.model\.credentialsSecret name a Secret"):
        fetch(source, workspace, ABSENT)
    (workspace / "model").rmdir()
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(host=registry.host) if "{" in value else value)
    assert contents(fetch(source, workspace, ABSENT).folder) == contents(checkpoint)


def test_a_token_that_ends_on_the_way_is_renewed(registry: Registry, checkpoint: Path, workspace: Path) -> None:
    registry.push(contents(checkpoint))
    registry.uses_limit = 1
    assert contents(fetch(f"oci://{registry.host}/acme/bert:v1", workspace, ABSENT).folder) == contents(checkpoint)
    assert registry.tokens == 4  # for the manifest and for each file


def test_trouble_on_the_way_passes(registry: Registry, checkpoint: Path, workspace: Path) -> None:
    files = contents(checkpoint)
    registry.push(files)
    weights = digest(files["model.safetensors"])
    answers = {1: Reply(429, headers={"Retry-After": "8"}), 4: Reply(200, b'{"layers": ', cut=5)}
    registry.web.script = lambda path, number, range_: answers.get(number) or registry.answer(path, number, range_)

    def cut(path: str, number: int, range_: str | None) -> Reply:
        return ranged(files["model.safetensors"], range_, "W/weak", 3000 if not range_ else None)

    keep = registry.storage.script
    registry.storage.script = lambda path, number, range_: (cut if path == weights else keep)(path, number, range_)
    waits: list[float] = []
    fetched = fetch(f"oci://{registry.host}/acme/bert:v1", workspace, ABSENT, Progress(print), waits.append)
    assert contents(fetched.folder) == files
    assert waits == [8.0, 2.0, 1.0]
    # What a digest names stays the same, so that it needs no ETag to be continued.
    assert (weights, "bytes=3000-") in registry.storage.requests
    assert {headers["If-Range"] for headers in registry.storage.headers} == {None}


def test_what_differs_from_its_digest_is_refused(registry: Registry, checkpoint: Path, workspace: Path) -> None:
    files = contents(checkpoint)
    pushed = registry.push(files)
    weights = digest(files["model.safetensors"])
    registry.blobs[weights] = registry.blobs[weights][::-1]
    with pytest.raises(ChecksumError, match=r"acme/bert:v1: model\.safetensors has the sha256"):
        fetch(f"oci://{registry.host}/acme/bert:v1", workspace, ABSENT)
    registry.manifests[pushed] = registry.manifests[pushed] + b" "
    workspace.joinpath("again").mkdir()
    with pytest.raises(ChecksumError, match=f"has the digest sha256:.*, not {pushed}"):
        fetch(f"oci://{registry.host}/acme/bert@{pushed}", workspace / "again", ABSENT)


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"layers": []}, "holds no file of a model"),
        ({"layers": [{"digest": "md5:1", "size": 1}]}, "is no manifest of one artefact: .*md5:1 is no sha256"),
        ({"manifests": [{"digest": digest(b"1")}, {"digest": digest(b"2")}]}, "is no manifest of one artefact"),
        ({"manifests": [{"digest": "loop"}]}, "is no manifest of one artefact"),
        ({"manifests": [{"digest": digest(b"1")}]}, "HTTP 404; check host, repository and tag"),
        ([], "is no manifest of one artefact"),
        ({}, "is no manifest of one artefact.*; push the model's files with `oras push`"),
    ],
)
def test_a_manifest_that_is_none_is_named(registry: Registry, workspace: Path, manifest: Any, says: str) -> None:
    registry.put(manifest, "loop")
    with pytest.raises(SourceError, match=says):
        fetch(f"oci://{registry.host}/acme/bert:loop", workspace, ABSENT)


def test_an_incomplete_artefact_is_refused_before_it_comes(
    registry: Registry, checkpoint: Path, workspace: Path
) -> None:
    files = contents(checkpoint)
    del files["tokenizer.json"]
    registry.push(files)
    with pytest.raises(IncompleteModelError, match=r"lacks tokenizer\.json"):
        fetch(f"oci://{registry.host}/acme/bert:v1", workspace, ABSENT)
    assert registry.storage.requests == []


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Bearer service="x"'])
def test_a_registry_that_cannot_be_answered_is_named(registry: Registry, workspace: Path, challenge: str) -> None:
    registry.challenge = challenge
    with pytest.raises(RefusedError, match=r"manifests/v1 answered HTTP 401; let spec\.model\.credentialsSecret"):
        fetch(f"oci://{registry.host}/acme/bert:v1", workspace, ABSENT)


def refusal(challenge: str) -> RefusedError:
    caught = RefusedError("refused", "remedy", 401)
    caught.headers["WWW-Authenticate"] = challenge
    return caught


def test_credentials_are_not_sent_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_USERNAME", "robot")
    with pytest.raises(SourceError, match="sent unencrypted to http://elsewhere/token"):
        Login("ghcr.io", "acme/bert", Asking()).answer(refusal('Bearer realm="http://elsewhere/token"'))


@pytest.mark.parametrize(
    "secret", ["{", "[]", '{"auths": {"ghcr.io": {"auth": "?hunter2"}}}', '{"auths": {"ghcr.io": 1}}']
)
def test_a_secret_that_cannot_be_read_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.delenv("OCI_USERNAME", raising=False)
    monkeypatch.setenv(".dockerconfigjson", secret)
    with pytest.raises(SourceError, match="kubectl create secret docker-registry") as caught:
        Login("ghcr.io", "acme/bert", Asking()).answer(refusal('Basic realm="x"'))
    assert "hunter2" not in str(caught.value)


def test_docker_keeps_its_own_credentials_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCI_USERNAME", raising=False)
    auths = {"https://index.docker.io/v1/": {"auth": BASIC.removeprefix("Basic ")}}
    monkeypatch.setenv(".dockerconfigjson", json.dumps({"auths": auths}))
    assert Login("docker.io", "acme/bert", Asking()).answer(refusal('Basic realm="x"')) == BASIC


@pytest.mark.parametrize(
    "source", ["oci://host", "oci://host/a", "oci://host/a:", "oci://host/A:v1", "oci://host/a@sha256:12", "oci:///a:1"]
)
def test_an_address_that_names_nothing(workspace: Path, source: str) -> None:
    with pytest.raises(SourceError, match=r"names no artefact; give oci://HOST/REPOSITORY:TAG"):
        fetch(source, workspace, ABSENT)


def test_addresses_are_read() -> None:
    assert Address.parse("oci://localhost:5000/a/b-c:V1.2") == Address("localhost:5000", "a/b-c", "V1.2")
