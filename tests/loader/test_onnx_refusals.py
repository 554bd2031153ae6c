"""An ONNX file of the source that would be served wrong is refused, by what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from modelmeter.loader import onnx_weights
from modelmeter.loader.errors import UnsupportedModelError
from modelmeter.loader.spec import LoadSpec
from tests.loader.checkpoints import tiny
from tests.loader.exports import export
from tests.loader.handmade import TABLE, by_spox, by_text
from tests.loader.test_forward import Served
from tests.loader.test_onnx_source import WIDE
from tests.loader.test_onnx_source import classifier as classifier  # a fixture


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
