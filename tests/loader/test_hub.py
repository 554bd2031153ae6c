"""hf:// sources, against a server that speaks the part of the Hub's API that is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from modelmeter.loader import space
from modelmeter.loader.errors import ChecksumError, DestinationError, IncompleteModelError, RefusedError, SourceError
from modelmeter.loader.fetch import Fetched, fetch
from modelmeter.loader.hub import Address
from modelmeter.loader.progress import Progress
from tests.loader.test_load import run
from tests.loader.test_load import target as target  # a fixture
from tests.loader.test_sources import contents
from tests.loader.test_sources import workspace as workspace  # a fixture
from tests.loader.web import Reply, Web, ranged

COMMIT = "1f" * 20
ABSENT = Path("/absent")


class Hub:
    """A Hub with one model, acme/bert, whose large files lie on another server, as they do."""

    def __init__(self, web: Web, storage: Web, files: dict[str, bytes]) -> None:
        self.web, self.storage, self.files = web, storage, files
        self.revisions = {"main": COMMIT, "refs/pr/7": COMMIT, COMMIT: COMMIT}
        self.token = ""
        web.script = self.answer
        storage.script = lambda path, number, range_: ranged(files[path], range_, f'"{path}"')

    def answer(self, path: str, number: int, range_: str | None) -> Reply:
        if self.token and self.web.headers[-1]["Authorization"] != f"Bearer {self.token}":
            return Reply(401, headers={"X-Error-Code": "RepoNotFound"})
        if path.startswith("api/models/acme/bert/revision/"):
            revision = path.removeprefix("api/models/acme/bert/revision/")
            if "/" in revision or (revision := unquote(revision)) not in self.revisions:
                return Reply(404, headers={"X-Error-Code": "RevisionNotFound"})
            return Reply(200, json.dumps(self.info(self.revisions[revision])).encode())
        name = path.removeprefix(f"acme/bert/resolve/{COMMIT}/")
        if path.startswith("acme/bert/resolve/") and name in self.files:
            if name.endswith("safetensors"):
                return Reply(302, headers={"Location": f"{self.storage.url}/{name}"})
            return ranged(self.files[name], range_, f'"{name}"')
        return Reply(404, headers={"X-Error-Code": "RepoNotFound"})

    def info(self, commit: str) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, data in self.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": "0" * 40}
            if name.endswith("safetensors"):
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        return {"_id": "1", "id": "acme/bert", "sha": commit, "siblings": siblings}

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.web.requests + self.storage.requests]


@pytest.fixture
def hub(web: Web, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("HF_ENDPOINT", web.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    files = contents(checkpoint)
    files |= {f"v2/{name}": data for name, data in files.items()}
    with Web() as storage:
        yield Hub(web, storage, files | {"README.md": b"#", "pytorch_model.bin": b"x" * 99, "v2/modules.json": b"[]"})


def test_only_what_is_used_is_fetched_and_the_branch_is_said(hub: Hub, checkpoint: Path, workspace: Path) -> None:
    lines: list[str] = []
    fetched = fetch("hf://acme/bert", workspace, ABSENT, Progress(lines.append))
    assert fetched == Fetched(workspace / "model", COMMIT)
    assert contents(fetched.folder) == contents(checkpoint)
    assert lines[0] == f"acme/bert@main is the commit {COMMIT}"
    resolved = f"acme/bert/resolve/{COMMIT}"
    assert hub.paths == [
        "api/models/acme/bert/revision/main",
        *(f"{resolved}/{name}" for name in ("config.json", "model.safetensors", "tokenizer.json")),
        "model.safetensors",
    ]


@pytest.mark.parametrize("revision", ["refs%2Fpr%2F7", COMMIT])
def test_a_folder_of_a_revision(hub: Hub, checkpoint: Path, workspace: Path, revision: str) -> None:
    fetched = fetch(f"hf://acme/bert@{revision}/v2/", workspace, ABSENT)
    assert contents(fetched.folder) == contents(checkpoint) | {"modules.json": b"[]"}
    assert fetched.revision == COMMIT


def test_the_token_is_shown_to_the_hub_and_to_nobody_else(
    hub: Hub, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    with pytest.raises(
        RefusedError, match=r"acme/bert/revision/main answered HTTP 401; .*acme/bert exists; .*HF_TOKEN"
    ):
        fetch("hf://acme/bert", workspace, ABSENT)
    (workspace / "model").rmdir()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch("hf://acme/bert", workspace, ABSENT)
    assert {headers["Authorization"] for headers in hub.storage.headers} == {None}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("hf://acme/bert@v9", "acme/bert/revision/v9 answered HTTP 404; check the name, the revision and the folder"),
        ("hf://acme/none", "acme/none/revision/main answered HTTP 404; check the name"),
        ("hf://acme/bert/v3", "the source holds no file of a model"),
        ("hf://bert", r"hf://bert names no model of the Hub; give hf://OWNER/NAME\[@REVISION\]"),
        ("hf://acme/bert@", "names no model of the Hub"),
    ],
)
def test_what_the_hub_does_not_have_is_named(hub: Hub, workspace: Path, source: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        fetch(source, workspace, ABSENT)


def test_terms_that_were_not_accepted_are_named(hub: Hub, web: Web, workspace: Path) -> None:
    gated = {"X-Error-Code": "GatedRepo"}
    web.script = lambda path, number, range_: (
        Reply(403, headers=gated) if "resolve" in path else hub.answer(path, number, range_)
    )
    with pytest.raises(RefusedError, match=r"HTTP 403; accept the model's terms at http://.*/acme/bert with"):
        fetch("hf://acme/bert", workspace, ABSENT)


def test_an_incomplete_model_is_refused_before_anything_is_fetched(hub: Hub, workspace: Path) -> None:
    del hub.files["tokenizer.json"]
    with pytest.raises(IncompleteModelError, match=r"lacks tokenizer\.json"):
        fetch("hf://acme/bert", workspace, ABSENT)
    assert hub.paths == ["api/models/acme/bert/revision/main"]


def test_what_has_no_room_in_sum_is_refused_before_anything_is_fetched(
    hub: Hub, checkpoint: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_bytes = sum(map(len, contents(checkpoint).values())) - 1
    usage = space.shutil.disk_usage(workspace)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: usage._replace(free=free_bytes))
    with pytest.raises(
        DestinationError, match=rf"need {free_bytes + 1} bytes .*has {free_bytes} bytes .*storage\.size"
    ):
        fetch("hf://acme/bert", workspace, ABSENT)
    assert hub.paths == ["api/models/acme/bert/revision/main"]


def test_trouble_on_the_way_passes(hub: Hub, web: Web, checkpoint: Path, workspace: Path) -> None:
    waits: list[float] = []
    busy = Reply(429, headers={"Retry-After": "9"})
    web.script = lambda path, number, range_: {1: busy, 2: Reply(503)}.get(number) or hub.answer(path, number, range_)
    weights = hub.files["model.safetensors"]
    hub.storage.script = lambda path, number, range_: ranged(weights, range_, '"w"', 2000 if number == 1 else None)
    fetched = fetch("hf://acme/bert", workspace, ABSENT, Progress(print), waits.append)
    assert contents(fetched.folder) == contents(checkpoint)
    assert waits == [9.0, 2.0, 1.0]
    assert [range_ for _, range_ in hub.storage.requests] == [None, "bytes=2000-"]


def test_weights_that_are_not_those_of_the_hub_are_refused(hub: Hub, workspace: Path) -> None:
    wrong = hub.files["model.safetensors"][::-1]
    hub.storage.script = lambda path, number, range_: Reply(200, wrong)
    with pytest.raises(ChecksumError, match=rf"resolve/{COMMIT}/model\.safetensors has the sha256"):
        fetch("hf://acme/bert", workspace, ABSENT)


def test_half_a_small_file_is_not_taken(hub: Hub, web: Web, workspace: Path) -> None:
    half = Reply(200, hub.files["config.json"][:50])
    web.script = lambda path, number, range_: half if "config" in path else hub.answer(path, number, range_)
    with pytest.raises(SourceError, match=r"ended after 50 of \d+ bytes, after 6 attempts"):
        fetch("hf://acme/bert", workspace, ABSENT, Progress(print), lambda seconds: None)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"sha": "1", "siblings": [{"rfilename": "a"}]}'])
def test_what_is_no_hub_is_named(web: Web, hub: Hub, workspace: Path, answer: bytes) -> None:
    web.script = lambda path, number, range_: Reply(200, answer)
    with pytest.raises(SourceError, match=r"does not answer (with JSON|as the Hub does)"):
        fetch("hf://acme/bert", workspace, ABSENT)


def test_no_hub_at_all_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"hf://acme/bert: .*refused, after 6 attempts"):
        fetch("hf://acme/bert", workspace, ABSENT, Progress(print), lambda seconds: None)


def test_the_hub_s_own_client_takes_this_server_for_a_hub(
    hub: Hub, web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """That the server above speaks the Hub's protocol, the Hub's client says."""
    from huggingface_hub import HfApi, constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    info = HfApi(endpoint=web.url, token=False).model_info("acme/bert", files_metadata=True, revision="refs/pr/7")
    siblings = {entry.rfilename: entry for entry in info.siblings or ()}
    assert {name: entry.size for name, entry in siblings.items()} == {n: len(data) for n, data in hub.files.items()}
    weights = siblings["model.safetensors"].lfs
    assert weights is not None
    assert (info.sha, weights.sha256) == (COMMIT, hashlib.sha256(hub.files["model.safetensors"]).hexdigest())


def test_the_commit_is_in_the_result_and_stays_on_the_volume(hub: Hub, target: Path) -> None:
    status, report = run("hf://acme/bert", target)
    assert (status, report["revision"]) == (0, COMMIT)
    hub.revisions["main"] = "2e" * 20
    asked = len(hub.paths)
    # The next pod finds it and asks nobody: all replicas serve one commit, also while the Hub is away.
    status, again = run("hf://acme/bert", target)
    assert (status, again) == (0, report | {"reused": True, "seconds": again["seconds"]})
    assert len(hub.paths) == asked


def test_addresses_are_read() -> None:
    assert Address.parse("hf://a/b@v1/x%20y/z") == Address("a/b", "v1", "x y/z/")
    assert Address.parse("hf://a-b/b.c_d/") == Address("a-b/b.c_d", "main", "")
