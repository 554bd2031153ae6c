"""An ONNX file of the source is served as it is, and its scores are those of the reference."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.version_converter
import pytest

from modelmeter.loader import onnx_weights, repository
from modelmeter.loader.errors import LoadSpecError
from modelmeter.loader.spec import LoadSpec
from tests.loader.checkpoints import CLASSIFIERS, tiny
from tests.loader.exports import export, save
from tests.loader.handmade import TABLE, by_spox, by_text, with_function
from tests.loader.reference import Reference
from tests.loader.test_forward import BACKENDS, CLASSES, FAMILIES, TEXTS, TOLERANCE, Served

LABELS = ["sports", "a striker's goals", "cooking", "salt", "pasta"]
# So that some weights are large and some are not.
WIDE: dict[str, dict[str, int]] = {
    family: {"dim": 24} if family == "distilbert" else {"hidden_size": 24} for family in CLASSIFIERS
}


def check_encoder(served: Served, reference: Reference, known: tuple[str, ...] = ()) -> None:
    """Texts of any length, with known labels and others, are scored as by the reference."""
    scores = served.score(list(TEXTS), LABELS)
    for text, label, score, probability in zip(TEXTS, LABELS, *scores, strict=True):
        assert score == pytest.approx(reference.score(text, label), abs=TOLERANCE)
        assert probability == pytest.approx(reference.probability(text, label, list(known)), abs=TOLERANCE)


def check_classifier(served: Served, reference: Reference) -> None:
    """So are the classes."""
    labels = ["sports", "cooking", "other", "sports", "other"]
    for text, label, score, probability in zip(TEXTS, labels, *served.score(list(TEXTS), labels), strict=True):
        logits, place = reference.logits(text), served.labels.index(label)
        assert score == pytest.approx(logits[place], abs=TOLERANCE)
        assert probability == pytest.approx(math.exp(logits[place]) / sum(map(math.exp, logits)), abs=TOLERANCE)


@FAMILIES
@BACKENDS
@pytest.mark.parametrize("labels", [(), ("sports", "cooking")])
def test_an_encoder_of_each_family(tmp_path: Path, family: str, backend: str, labels: tuple[str, ...]) -> None:
    checkpoint = tiny(tmp_path / "c", family=family, **WIDE[family])
    reference = Reference(checkpoint, 24)
    spec = LoadSpec("m", labels=labels, max_sequence_length=24, backend=backend)
    check_encoder(Served(export(checkpoint, types=family == "bert"), tmp_path / "out", spec), reference, labels)


@FAMILIES
@BACKENDS
def test_a_classifier_of_each_family(tmp_path: Path, family: str, backend: str) -> None:
    checkpoint = tiny(tmp_path / "c", family=family, architectures=[CLASSIFIERS[family]], **CLASSES, **WIDE[family])
    reference = Reference(checkpoint, 24)
    spec = LoadSpec("m", max_sequence_length=24, backend=backend)
    check_classifier(Served(export(checkpoint, types=family == "bert"), tmp_path / "out", spec), reference)


@pytest.mark.parametrize("name", ["model.onnx", "onnx/model.onnx"])
@pytest.mark.parametrize("data", ["", "model.onnx.data", "model.onnx_data"])
@pytest.mark.parametrize("output", ["last_hidden_state", "sentence_embedding"])
def test_wherever_the_file_and_its_data_lie(tmp_path: Path, name: str, data: str, output: str) -> None:
    checkpoint = tiny(tmp_path / "c", **WIDE["bert"])
    reference = Reference(checkpoint, 24)
    export(checkpoint, name, output, data)
    check_encoder(Served(checkpoint, tmp_path / "out", LoadSpec("m", max_sequence_length=24)), reference)


def test_pooling_follows_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "c")
    reference = Reference(checkpoint, 24)
    (checkpoint / "1_Pooling").mkdir()
    (checkpoint / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    served = Served(export(checkpoint), tmp_path / "out", LoadSpec("m", max_sequence_length=24))
    text, label = (reference.states(text)[0] for text in ("goal", "salt"))
    cosine = text @ label / math.sqrt(text @ text) / math.sqrt(label @ label)
    assert served.score(["goal"], ["salt"]).score == pytest.approx([cosine], abs=TOLERANCE)


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A classifier's folder without weights."""
    folder = tiny(tmp_path / "c", architectures=[CLASSIFIERS["bert"]], **CLASSES)
    (folder / "model.safetensors").unlink()
    return folder


EXPORTED = Path(__file__).parent / "exported"


@pytest.mark.parametrize("backend", ["python", "onnxruntime"])
@pytest.mark.parametrize("name", ["bert-classifier-opset-11", "roberta-encoder-opset-14"])
def test_what_torch_exported(tmp_path: Path, name: str, backend: str) -> None:
    """By torch 1.13.1 of transformers 4.30.2, with open batch and sequence axes, random weights of seed 3."""
    shutil.copytree(EXPORTED / name, tmp_path / "c")
    tiny(tmp_path / "tokenizer", family=name.partition("-")[0])
    shutil.copy(tmp_path / "tokenizer/tokenizer.json", tmp_path / "c")
    reference = Reference(tmp_path / "c", 24)
    (tmp_path / "c/model.safetensors").unlink()
    labels = ("sports", "cooking") if "encoder" in name else ()
    spec = LoadSpec("m", labels=labels, max_sequence_length=24, backend=backend)
    served = Served(tmp_path / "c", tmp_path / "out", spec)
    if labels:
        check_encoder(served, reference, labels)
    else:
        check_classifier(served, reference)


@BACKENDS
@pytest.mark.parametrize("large_bytes", [100, 1024])
@pytest.mark.parametrize("build", [by_spox, by_text, with_function])
def test_a_graph_that_is_no_bert_at_all(
    tmp_path: Path, classifier: Path, backend: str, build: Any, large_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_weights, "LARGE_BYTES", large_bytes)
    save(classifier / "model.onnx", build())
    served = Served(classifier, tmp_path / "out", LoadSpec("m", max_sequence_length=24, backend=backend))
    texts = [text for text in TEXTS for _ in range(3)]
    scores = served.score(texts, ["sports", "cooking", "other"] * len(TEXTS)).score
    rows = [TABLE[encoding.ids].sum(axis=0) for encoding in served.tokenizer.encode_batch(list(TEXTS))]
    assert scores == pytest.approx(np.concatenate(rows), abs=TOLERANCE)


@pytest.mark.parametrize("opset", range(18, onnx.defs.onnx_opset_version() + 1, 5))
def test_an_encoder_of_a_newer_opset(tmp_path: Path, opset: int) -> None:
    checkpoint = tiny(tmp_path / "c", **WIDE["bert"])
    reference = Reference(checkpoint, 24)
    file = export(checkpoint) / "model.onnx"
    onnx.save(onnx.version_converter.convert_version(onnx.load(file), opset), file)
    spec = LoadSpec("m", labels=("salt",), max_sequence_length=24)
    check_encoder(Served(checkpoint, tmp_path / "out", spec), reference, ("salt",))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_another_precision_is_not_to_be_had(tmp_path: Path, precision: str) -> None:
    checkpoint = export(tiny(tmp_path / "c"))
    with pytest.raises(LoadSpecError, match=rf"precision {precision} cannot be had of model\.onnx, .*; set prec"):
        repository.write(checkpoint, tmp_path, LoadSpec("m", max_sequence_length=24, precision=precision), threads=1)


def test_the_weights_stand_once_and_unchanged(tmp_path: Path) -> None:
    checkpoint = export(tiny(tmp_path / "c", **WIDE["bert"]))
    given = onnx.load(checkpoint / "model.onnx")
    spec = LoadSpec("m", labels=("a", "b b b b"), max_sequence_length=24)
    repository.write(checkpoint, tmp_path / "out", spec, threads=1)
    ours = onnx.load(tmp_path / "out/m-bert/1/model.onnx")
    kept = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in ours.graph.initializer}
    large = [tensor for tensor in given.graph.initializer if math.prod(tensor.dims) * 4 >= onnx_weights.LARGE_BYTES]
    assert len(large) == 10
    assert kept.keys() == {f"source.{tensor.name}" for tensor in large}
    for tensor in large:
        assert (kept[f"source.{tensor.name}"] == onnx.numpy_helper.to_array(tensor)).all()
