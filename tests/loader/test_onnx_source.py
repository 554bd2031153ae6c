"""An ONNX file of the source is served as it is, and its scores are those of the reference."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.version_converter
import pytest
import spox
import spox.opset.ai.onnx.v21 as op21
from spox import Var

from modelmeter.loader import onnx_weights, repository
from modelmeter.loader.errors import LoadSpecError, UnsupportedModelError
from modelmeter.loader.spec import LoadSpec
from tests.loader.checkpoints import CLASSIFIERS, tiny
from tests.loader.exports import export, ids, save
from tests.loader.reference import Reference
from tests.loader.test_forward import BACKENDS, CLASSES, FAMILIES, TEXTS, TOLERANCE, Served
from tests.loader.vocabulary import size

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


# By hand: a text's logits are the sums of its tokens' rows.
TABLE = np.random.default_rng(5).normal(0, 1, (size("bert"), 3)).astype("<f4")


def by_spox(mask: Callable[[Var], Var] = lambda mask: mask) -> onnx.ModelProto:
    """With operators that are newer than ours."""
    tokens, present = ids(), ids()
    rows = op21.gather(op21.const(TABLE), tokens)
    counted = op21.unsqueeze(op21.cast(mask(present), to=np.float32), op21.const([2]))
    logits = op21.reduce_sum(op21.mul(rows, counted), op21.const([1]), keepdims=0)
    return spox.build({"input_ids": tokens, "attention_mask": present}, {"logits": logits})


def by_text() -> onnx.ModelProto:
    """With operators that are older than ours, one of onnxruntime's own, and numbers of 32 bits."""
    model = onnx.parser.parse_model("""
        <ir_version: 6, opset_import: ["" : 11, "com.microsoft" : 1]>
        bag (int32[b, t] input_ids, int32[b, t] attention_mask) => (float[b, 3] logits) {
            rows = Gather (table, input_ids)
            mask = Cast <to = 1> (attention_mask)
            column = Unsqueeze <axes = [1]> (mask)
            sums = com.microsoft.FusedMatMul <alpha = 1.0> (column, rows)
            logits = Squeeze <axes = [1]> (sums)
        }""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(TABLE, "table"))
    return model


def with_function() -> onnx.ModelProto:
    """With a function of its own, as newer exporters write."""
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 18, "own" : 1]>
        bag (int64[b, t] input_ids, int64[b, t] attention_mask) => (float[b, 3] logits) {
            rows = Gather (table, input_ids)
            logits = own.total (rows, attention_mask)
        }
        <domain: "own", opset_import: ["" : 18]>
        total (rows, present) => (sums) {
            last = Constant <value_ints = [2]> ()
            middle = Constant <value_ints = [1]> ()
            mask = CastLike (present, rows)
            column = Unsqueeze (mask, last)
            counted = Mul (rows, column)
            sums = ReduceSum <keepdims = 0> (counted, middle)
        }""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(TABLE, "table"))
    return model


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A classifier's folder without weights."""
    folder = tiny(tmp_path / "c", architectures=[CLASSIFIERS["bert"]], **CLASSES)
    (folder / "model.safetensors").unlink()
    return folder


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


def with_an_unknown_operator(model: onnx.ModelProto) -> onnx.ModelProto:
    """Of no opset."""
    model.graph.node[-1].op_type = "Conjure"
    return model


def cut_short() -> onnx.ModelProto:
    """With fewer numbers than its table must have."""
    model = by_text()
    model.graph.initializer[0].raw_data = b"half" * 20
    return model


def changed(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], None]:
    """Write a good file with one change."""

    def write(path: Path) -> None:
        model = by_spox()
        change(model)
        path.write_bytes(model.SerializeToString())

    return write


def typed(value: Any, kind: int = onnx.TensorProto.INT64, shape: tuple[Any, ...] = ("b", "t")) -> None:
    """Declare an input or output anew."""
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, shape))


def saved(model: onnx.ModelProto) -> Callable[[Path], object]:
    """Write another file."""
    return lambda path: path.write_bytes(model.SerializeToString())


def outside(location: str) -> Callable[[onnx.ModelProto], object]:
    """Say that the table lies elsewhere."""

    def change(model: onnx.ModelProto) -> None:
        for node in list(model.graph.node):
            if node.op_type == "Constant" and node.attribute[0].t.dims == [*TABLE.shape]:
                tensor = model.graph.initializer.add()
                tensor.CopyFrom(node.attribute[0].t)
                tensor.name = node.output[0]
                tensor.ClearField("raw_data")
                tensor.data_location = onnx.TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value=location)
                model.graph.node.remove(node)

    return change


EXPORT_AGAIN = "export it again, as by `optimum-cli export onnx`, with open batch and sequence axes"
FLOAT = onnx.TensorProto.FLOAT
WRONG: tuple[tuple[Callable[[Path], object], str, str], ...] = (
    (lambda path: path.write_bytes(b""), "model.onnx is no ONNX file", "fetch or export it again"),
    (lambda path: path.write_bytes(b"\xff" * 64), "model.onnx is no ONNX file", "fetch or export it again"),
    (lambda path: path.write_bytes(b"\x08\x08"), "model.onnx holds no graph", "fetch or export it again"),
    (
        changed(lambda model: model.graph.input.append(onnx.helper.make_tensor_value_info("position_ids", 7, "bt"))),
        "wants the input position_ids, which is not one of input_ids, attention_mask, token_type_ids",
        EXPORT_AGAIN,
    ),
    (
        changed(lambda model: model.graph.input.pop(1)),
        "model.onnx has no input attention_mask, only input_ids",
        EXPORT_AGAIN,
    ),
    (
        changed(lambda model: typed(model.graph.input[0], FLOAT)),
        "input input_ids is float, neither int64 nor int32",
        EXPORT_AGAIN,
    ),
    (
        changed(lambda model: typed(model.graph.input[0], shape=(1, "t"))),
        "input input_ids has the shape [1, t], not an open batch and an open length",
        EXPORT_AGAIN,
    ),
    (
        changed(lambda model: typed(model.graph.input[1], shape=("b", 128))),
        "input attention_mask has the shape [b, 128], not an open batch",
        EXPORT_AGAIN,
    ),
    (
        changed(lambda model: setattr(model.graph.output[0], "name", "last_hidden_state")),
        "has the outputs last_hidden_state; a classifier, as config.json says, has logits",
        EXPORT_AGAIN,
    ),
    (
        changed(lambda model: typed(model.graph.output[0], onnx.TensorProto.FLOAT16, ("b", 3))),
        "output logits is float16, not float",
        "export it again in fp32",
    ),
    (
        changed(lambda model: typed(model.graph.output[0], FLOAT, ("b", 2))),
        "output logits has the shape [b, 2], by config.json it is [?, 3]",
        "take both files from the same model",
    ),
    (
        changed(lambda model: typed(model.graph.output[0], FLOAT, ("b", "t", 3))),
        "output logits has the shape [b, t, 3], by config.json it is [?, 3]",
        "take both files from the same model",
    ),
    (
        changed(lambda model: setattr(model.opset_import[0], "version", 10)),
        "model.onnx has the opset 10",
        "export it again with an opset from 11 to ",
    ),
    (
        changed(lambda model: setattr(model.opset_import[0], "version", 99)),
        "model.onnx has the opset 99",
        "export it again with an opset from 11 to ",
    ),
    (
        changed(lambda model: model.opset_import.add(domain="ai.acme", version=1)),
        "model.onnx uses operators of ai.acme, which onnxruntime lacks",
        EXPORT_AGAIN,
    ),
    (
        saved(with_an_unknown_operator(by_text())),
        "model.onnx, of opset 11, is not valid in opset 17: ",
        "export it again with opset 17",
    ),
    (
        saved(with_an_unknown_operator(by_spox())),
        "model.onnx, of opset 21, is not valid in opset 21: No Op registered for Conjure",
        "export it again with opset 17",
    ),
    (changed(outside("model.onnx_data")), "refers to model.onnx_data, which the source lacks", "add model.onnx_data"),
    (
        changed(outside("../model.onnx.data")),
        "refers to the data '../model.onnx.data', not to model.onnx.data or model.onnx_data",
        "save it by onnx.save(..., save_as_external_data=True, location='model.onnx.data')",
    ),
    (
        changed(outside("weights.bin")),
        "refers to the data 'weights.bin', not to model.onnx.data",
        "save it by onnx.save(",
    ),
)


@pytest.mark.parametrize(("write", "error", "remedy"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_served_is_named(
    tmp_path: Path, classifier: Path, write: Callable[[Path], object], error: str, remedy: str
) -> None:
    write(classifier / "model.onnx")
    with pytest.raises(UnsupportedModelError) as caught:
        Served(classifier, tmp_path / "out", LoadSpec("m", max_sequence_length=24))
    assert error in caught.value.message
    assert caught.value.remedy.startswith(remedy)


def test_data_that_was_cut_short_is_named(tmp_path: Path) -> None:
    checkpoint = export(tiny(tmp_path / "c", **WIDE["bert"]), data="model.onnx.data")
    data = checkpoint / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-100])
    with pytest.raises(UnsupportedModelError, match=r"model\.onnx\.data was cut short: it lacks .*; fetch or export"):
        Served(checkpoint, tmp_path / "out", LoadSpec("m", max_sequence_length=24))


def test_a_weight_that_was_cut_short_is_named(
    tmp_path: Path, classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_weights, "LARGE_BYTES", 100)
    saved(cut_short())(classifier / "model.onnx")
    with pytest.raises(UnsupportedModelError, match=r"model\.onnx: the weight table is damaged: .*; fetch or export"):
        Served(classifier, tmp_path / "out", LoadSpec("m", max_sequence_length=24))


def test_half_precision_is_not_to_be_had(tmp_path: Path) -> None:
    checkpoint = export(tiny(tmp_path / "c"))
    with pytest.raises(LoadSpecError, match=r"precision fp16 cannot be had of model\.onnx, .*; set precision to fp32"):
        repository.write(checkpoint, tmp_path, LoadSpec("m", max_sequence_length=24, precision="fp16"), threads=1)


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
