"""`modelmeter load` from its command line to the folder and the termination log."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from modelmeter.__main__ import main
from modelmeter.errors import LoadError
from modelmeter.loader import checkpoint, cli, load, publish
from modelmeter.loader.errors import DestinationError, LoadSpecError
from modelmeter.loader.spec import LoadSpec
from tests.loader.checkpoints import tiny
from tests.loader.test_sources import contents
from tests.loader.web import Reply, Web

SPEC = {"name": "intent", "labels": ["sports", "cooking"], "maxSequenceLength": 20}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume" / "repository"


def run(source: str, target: Path, spec: dict[str, Any] | str = SPEC) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit status and what the termination log says."""
    file, log = target.parent.parent / "model.json", target.parent.parent / "termination"
    file.write_text(spec if isinstance(spec, str) else json.dumps(spec))
    status = main(["load", source, str(target), "--spec", str(file), "--termination-log", str(log)])
    raw = log.read_bytes()
    assert len(raw) <= 4096
    return status, json.loads(raw)


def files(folder: Path) -> dict[str, bytes]:
    """All files of a repository, libraries apart."""
    found = (path for path in folder.rglob("*") if path.is_file() and "vendor" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_the_result_is_reported_and_the_second_load_reuses(checkpoint: Path, target: Path) -> None:
    status, report = run(f"file://{checkpoint}", target)
    expected = {"files": 3, "bytes": sum(map(len, contents(checkpoint).values()))}
    assert (status, report | expected, report["reused"]) == (0, report, False)
    before = target.resolve()
    inode = (before / "intent-bert/1/model.onnx.data").stat().st_ino
    assert run(f"file://{checkpoint}", target) == (0, report | {"reused": True, "seconds": ANY})
    assert (target.resolve(), (target / "intent-bert/1/model.onnx.data").stat().st_ino) == (before, inode)
    assert {path.name for path in target.iterdir()} == {"intent", "intent-bert", "intent-tokenizer", publish.RECORD}


def test_by_hand_source_and_folder_are_enough(minilm: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", f"file://{minilm}", str(target)]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] > 90_000_000
    assert {path.name for path in target.iterdir()} == {"model", "model-bert", "model-tokenizer", publish.RECORD}


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none_is_refused(target: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["load", "file:///x", str(target), "--progress-port", port])
    assert "must be a port, 1 to 65535" in capsys.readouterr().err


def test_what_changed_is_written_again(checkpoint: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = f"file://{checkpoint}"
    assert run(source, target)[1]["reused"] is False
    before = files(target)
    assert run(source, target, SPEC | {"maxBatchSize": 4})[1]["reused"] is False
    assert "max_batch_size: 4" in (target / "intent/config.pbtxt").read_text()
    # Back again: the previous version was kept for servers that are going; the same bytes stand there.
    assert run(source, target)[0] == 0
    assert files(target) == before
    tiny(checkpoint, seed=8)
    _, changed = run(source, target)
    assert not changed["reused"]
    assert files(target)["intent-bert/1/model.onnx.data"] != before["intent-bert/1/model.onnx.data"]
    monkeypatch.setattr(load, "LAYOUT", load.LAYOUT + 1)
    assert run(source, target)[1]["reused"] is False
    assert len([path for path in target.parent.iterdir() if not path.is_symlink()]) == 2


def test_two_revisions_take_one_place_from_each_other_and_keep_two(checkpoint: Path, target: Path) -> None:
    """Why a canary has a folder of its own: what a Triton would load that starts again."""
    source, canary = f"file://{checkpoint}", target.parent / "canary"
    run(source, target)
    before = target.resolve()
    run(source, target, SPEC | {"maxBatchSize": 4})
    assert target.resolve() != before
    assert run(source, target)[1]["reused"] is False
    assert target.resolve() == before

    run(source, canary, SPEC | {"maxBatchSize": 4})
    assert run(source, target)[1]["reused"] is True
    assert run(source, canary, SPEC | {"maxBatchSize": 4})[1]["reused"] is True
    assert target.resolve() == before
    for folder, size in ((target, 32), (canary, 4)):
        assert f"max_batch_size: {size}" in (folder / "intent/config.pbtxt").read_text()


@pytest.mark.parametrize("wait_for", ["model.safetensors", "tokenizer.json"])
def test_a_killed_load_is_never_visible_and_the_next_repairs(
    checkpoint: Path, target: Path, web: Web, wait_for: str
) -> None:
    web.files = {f"bert/{name}": data for name, data in contents(checkpoint).items()}
    held, reached = threading.Event(), threading.Event()

    def hold(path: str, number: int, range_: str | None) -> Reply | None:
        if not path.endswith(wait_for) or held.is_set():
            return None
        reached.set()
        return Reply(200, web.files[path], hold=held)

    web.script = hold
    spec = target.parent.parent / "model.json"
    spec.write_text(json.dumps(SPEC))
    source = f"{web.url}/bert/"
    command = [sys.executable, "-m", "modelmeter", "load", source, str(target), "--spec", str(spec)]
    killed = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "operator"})
    assert reached.wait(30)
    assert not target.exists()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not target.exists()
    assert list(target.parent.iterdir())  # what it left
    held.set()
    assert run(source, target)[0] == 0
    assert {path.name for path in target.parent.iterdir()} == {"repository", target.resolve().name}


@pytest.mark.parametrize("step", ["_sync", "_replace"])
def test_a_load_that_fails_at_the_end_leaves_the_old_version(
    checkpoint: Path, target: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    assert run(f"file://{checkpoint}", target)[0] == 0
    before = files(target)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, step, full)
    status, report = run(f"file://{checkpoint}", target, SPEC | {"maxBatchSize": 4})
    assert (status, report["remedy"]) == (1, "check the volumes' size and rights")
    assert "No space left on device" in report["error"]
    assert files(target) == before
    assert len(list(target.parent.iterdir())) == 2


def test_loaders_at_once_agree(checkpoint: Path, target: Path) -> None:
    results: list[Any] = []
    spec = LoadSpec.from_mapping(SPEC)

    def one() -> None:
        try:
            results.append(load.load(f"file://{checkpoint}", target, spec))
        except LoadError as error:
            results.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {result.sha256 for result in results} == {checkpoint_sha256(checkpoint)}
    assert {path.name for path in target.parent.iterdir()} == {"repository", target.resolve().name}


def checkpoint_sha256(folder: Path) -> str:
    return checkpoint_digest(folder).sha256


checkpoint_digest = checkpoint.digest  # the fixture has the module's name


def test_other_folders_beside_it_stay(checkpoint: Path, target: Path) -> None:
    neighbour = target.parent / ".repository.v2.0123456789abcdef"
    neighbour.mkdir()
    for size in (1, 2, 3):
        assert run(f"file://{checkpoint}", target, SPEC | {"maxBatchSize": size})[0] == 0
    assert neighbour.is_dir()


def test_a_folder_of_somebody_else_is_not_touched(checkpoint: Path, target: Path) -> None:
    target.mkdir()
    (target / "precious").touch()
    status, report = run(f"file://{checkpoint}", target)
    assert (status, "was not written by the loader" in report["error"]) == (1, True)
    assert "repository/repository" in report["remedy"]
    (target / "precious").unlink()
    assert run(f"file://{checkpoint}", target)[0] == 0


def test_a_destination_that_cannot_be_made_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DestinationError, match=r"cannot fill .*file/repository"):
        load.load(f"file://{checkpoint}", tmp_path / "file" / "repository", LoadSpec("m"))


def test_a_source_that_the_system_refuses_is_named(checkpoint: Path, target: Path) -> None:
    status, report = run(f"file://{checkpoint}/{'a' * 300}", target)
    assert (status, "File name too long" in report["error"]) == (1, True)


CLASSIFIER = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "sports", "1": "cooking", "2": "x"}}


@pytest.mark.parametrize(
    ("labels", "served"),
    [
        ([], ["sports", "cooking", "x"]),
        (["x", "cooking", "sports"], ["sports", "cooking", "x"]),
        (["a", "b", "c"],) * 2,
    ],
)
def test_labels_of_a_classifier(tmp_path: Path, target: Path, labels: list[str], served: list[str]) -> None:
    source = f"file://{tiny(tmp_path / 'c', **CLASSIFIER)}"
    assert run(source, target, {"name": "m", "labels": labels, "maxSequenceLength": 20})[0] == 0
    assert json.loads((target / "m-tokenizer/1/settings.json").read_text())["labels"] == served


@pytest.mark.parametrize(
    ("config", "spec", "error", "remedy"),
    [
        (CLASSIFIER, {"labels": ["a", "b"]}, "2 labels were given, the model's classifier has 3", "in the order of"),
        (
            CLASSIFIER | {"id2label": {"0": "a", "1": "b"}},
            {},
            "classifier.weight has the shape (3, 12), config.json says (2, 12)",
            "fetch or save",
        ),
        ({}, {"maxSequenceLength": 25}, "maxSequenceLength 25 is more than the model's 24", "to 24 or less"),
        (
            {"architectures": ["RobertaModel"]},
            {},
            "the architecture RobertaModel",
            "use an encoder or a ForSequenceClassification of BERT",
        ),
        ({"vocab_size": 5}, {}, "tokenizer.json has 17 tokens, the model 5", "from the same model"),
    ],
)
def test_a_model_that_does_not_fit_is_named(
    tmp_path: Path, target: Path, config: dict[str, Any], spec: dict[str, Any], error: str, remedy: str
) -> None:
    tiny(tmp_path / "c", **CLASSIFIER if "id2label" in config else {})
    written = json.loads((tmp_path / "c/config.json").read_text())
    (tmp_path / "c/config.json").write_text(json.dumps(written | config))
    status, report = run(f"file://{tmp_path / 'c'}", target, SPEC | {"labels": []} | spec)
    assert status == 1
    assert error in report["error"]
    assert remedy in report["remedy"]
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": {"type": "Nothing"}}'])
def test_a_damaged_tokenizer_is_named(checkpoint: Path, target: Path, content: bytes) -> None:
    (checkpoint / "tokenizer.json").write_bytes(content)
    status, report = run(f"file://{checkpoint}", target)
    assert (status, report["error"].startswith("tokenizer.json: ")) == (1, True)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("{", "cannot read"),
        ("[]", "is not a JSON object"),
        ({}, "name: None is not the name of the ModelDeployment"),
        ({"name": "../up"}, "name: '../up' is not a DNS label"),
        ({"name": "m", "size": 3}, "size: 3 is not one of the keys name, task"),
        ({"name": "m", "maxBatchSize": True}, "maxBatchSize: True is not a whole number"),
        ({"name": "m", "maxBatchSize": 0}, "maxBatchSize: 0 is not 1 or more"),
        ({"name": "m", "labels": ["a", "a"]}, "labels that do not repeat"),
        ({"name": "m", "labels": "a"}, "labels: 'a' is not a list of strings"),
        ({"name": "m", "sequenceBuckets": [16, "32"]}, "sequenceBuckets: [16, '32'] is not a list of whole numbers"),
        ({"name": "m", "responseCache": 1}, "responseCache: 1 is not true or false"),
        ({"name": "m", "queueTimeoutMilliseconds": -1}, "queueTimeoutMilliseconds: -1 is not 0 or more"),
        ({"name": "m", "accelerator": "tensorrt"}, "'tensorrt' is not tensorrt with the backend onnxruntime on a GPU"),
        (
            {"name": "m", "precision": "int8", "backend": "onnxruntime", "instanceKind": "KIND_GPU"},
            "precision: 'int8' is not fp32 or fp16, as a GPU needs it",
        ),
        ({"name": "m", "precision": "int4"}, "precision: 'int4' is not one of fp32, fp16, int8"),
        ({"name": "m", "backend": "tensorrt"}, "backend: 'tensorrt' is not one of python, onnxruntime"),
        ({"name": "m", "instanceKind": "KIND_TPU"}, "instanceKind: 'KIND_TPU' is not KIND_CPU or KIND_GPU"),
    ],
)
def test_a_spec_that_cannot_work_is_named(
    checkpoint: Path, target: Path, spec: dict[str, Any] | str, says: str
) -> None:
    status, report = run(f"file://{checkpoint}", target, spec)
    assert status == 1
    assert says in report["error"]
    assert report["remedy"]


def test_a_spec_survives_its_json() -> None:
    spec = LoadSpec("m", labels=("ä", "b"), precision="fp16", max_batch_size=3, claim_directory="/x")
    assert LoadSpec.from_mapping(json.loads(json.dumps(spec.to_mapping()))) == spec
    options = replace(spec, sequence_buckets=(8, 9), queue_timeout_milliseconds=7, response_cache=True)
    assert LoadSpec.from_mapping(json.loads(json.dumps(options.to_mapping()))) == options
    with pytest.raises(LoadSpecError, match="task"):
        LoadSpec("m", task="generation")


def test_a_field_that_is_not_given_makes_no_other_key() -> None:
    # Else an operator that knows it would have every kept volume written again.
    assert list(LoadSpec("m").to_mapping()) == [
        "name", "task", "labels", "maxSequenceLength", "precision", "backend", "maxBatchSize",
        "maxQueueDelayMicroseconds", "instanceKind", "instanceCount", "claimDirectory",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["\x00" * 9000, "⚽" * 9000, '"\\' * 9000, "\udcff" * 9000, "x" * 4050])
def test_the_longest_message_stays_json(text: str) -> None:
    fitted = cli._fitted({"error": text, "remedy": "do this"})
    assert len(fitted) <= cli.TERMINATION_BYTES
    assert json.loads(fitted)["remedy"] == "do this"
    assert len(json.loads(fitted)["error"]) > 300


def test_the_operator_does_not_pay_for_the_loader() -> None:
    code = "import sys, modelmeter.loader.cli; print(bool({'numpy', 'obstore', 'urllib.request'} & set(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONPATH": "operator"}
    )
    assert finished.stdout.strip() == b"False"
