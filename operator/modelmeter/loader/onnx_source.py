"""Read an ONNX file that the source holds, to be served without conversion; refuse what would be served wrong.

It maps input_ids, attention_mask and, if it wants them, token_type_ids to logits, or to last_hidden_state or
sentence_embedding. Its large weights become inputs of the graph: it may then stand in ours several times, while they
are written once, unchanged.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, checker, helper, inliner, version_converter

from modelmeter.loader.bert import Bert
from modelmeter.loader.errors import UnsupportedModelError
from modelmeter.loader.onnx_weights import detach
from modelmeter.loader.tensors import Tensor

REQUIRED: Final = ("input_ids", "attention_mask")
INPUTS: Final = (*REQUIRED, "token_type_ids")
INDEX_TYPES: Final = (TensorProto.INT64, TensorProto.INT32)
SENTENCE: Final = "sentence_embedding"
# Name -> axes. The first that the file has is taken.
CLASSIFIER_OUTPUTS: Final[Mapping[str, int]] = {"logits": 2}
ENCODER_OUTPUTS: Final[Mapping[str, int]] = {SENTENCE: 2, "last_hidden_state": 3}
# Of the operators that stand around it; an older file's are brought to it.
OPSET: Final = 17
OLDEST_OPSET: Final = 11
STANDARD: Final = ("", "ai.onnx")
# Whose operators every onnxruntime has.
DOMAINS: Final = (*STANDARD, "com.microsoft")
EXPORT: Final = "export it again, as by `optimum-cli export onnx`, with open batch and sequence axes"


@dataclass(frozen=True, slots=True)
class Source:
    """A checked file.

    model: the graph; among its inputs are its large weights.
    inputs: the other inputs' names -> their types. output: the name of the one that is used.
    weights: by the inputs' names, to be made when their turn comes.
    """

    model: onnx.ModelProto
    inputs: Mapping[str, np.dtype[Any]]
    output: str
    weights: Mapping[str, Tensor]


def read(path: Path, bert: Bert) -> Source:
    """Read a file and the data beside it; UnsupportedModelError names what is missing or unexpected."""
    model = _parse(path)
    _require_known_operators(model, path.name)
    if model.functions:
        model = inliner.inline_local_functions(model)
    weights = detach(model, path)
    inputs = {value.name: _input(value, path.name) for value in model.graph.input if value.name not in weights}
    missing = [name for name in REQUIRED if name not in inputs]
    _require(not missing, f"{path.name} has no input {', '.join(missing)}, only {', '.join(inputs)}", EXPORT)
    output = _choose_output(model, bert, path.name)
    return Source(_at_least(OPSET, model, path.name), inputs, output, weights)


def _parse(path: Path) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            model.ParseFromString(memoryview(view))
    except (DecodeError, ValueError) as error:
        raise UnsupportedModelError(f"{path.name} is no ONNX file: {error}", "fetch or export it again") from error
    _require(len(model.graph.node) > 0, f"{path.name} holds no graph", "fetch or export it again")
    return model


def _require_known_operators(model: onnx.ModelProto, name: str) -> None:
    local = {function.domain for function in model.functions}
    foreign = sorted({imported.domain for imported in model.opset_import} - {*DOMAINS, *local})
    _require(not foreign, f"{name} uses operators of {', '.join(foreign)}, which onnxruntime lacks", EXPORT)
    opset, newest = _opset(model), onnx.defs.onnx_opset_version()
    fits = OLDEST_OPSET <= opset <= newest
    _require(fits, f"{name} has the opset {opset}", f"export it again with an opset from {OLDEST_OPSET} to {newest}")


def _opset(model: onnx.ModelProto) -> int:
    return max((imported.version for imported in model.opset_import if imported.domain in STANDARD), default=0)


def _input(value: onnx.ValueInfoProto, name: str) -> np.dtype[Any]:
    tensor = value.type.tensor_type
    known = ", ".join(INPUTS)
    _require(value.name in INPUTS, f"{name} wants the input {value.name}, which is not one of {known}", EXPORT)
    right = tensor.elem_type in INDEX_TYPES
    _require(right, f"{name}: input {value.name} is {_type(tensor)}, neither int64 nor int32", EXPORT)
    if tensor.HasField("shape"):
        fixed = len(tensor.shape.dim) != 2 or any(dim.HasField("dim_value") for dim in tensor.shape.dim)
        message = f"{name}: input {value.name} has the shape {_shape(tensor)}, not an open batch and an open length"
        _require(not fixed, message, EXPORT)
    return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _choose_output(model: onnx.ModelProto, bert: Bert, name: str) -> str:
    """Find the output that config.json lets expect, and take the others away."""
    wanted = CLASSIFIER_OUTPUTS if bert.classes else ENCODER_OUTPUTS
    outputs = {value.name: value for value in model.graph.output}
    chosen = next((output for output in wanted if output in outputs), None)
    if chosen is None:
        kind = "a classifier" if bert.classes else "an encoder"
        message = f"{name} has the outputs {', '.join(outputs)}; {kind}, as config.json says, has {' or '.join(wanted)}"
        raise UnsupportedModelError(message, EXPORT)
    tensor = outputs[chosen].type.tensor_type
    right = tensor.elem_type == TensorProto.FLOAT
    _require(right, f"{name}: output {chosen} is {_type(tensor)}, not float", "export it again in fp32")
    if tensor.HasField("shape"):
        size = len(bert.classes) or (bert.hidden_size if chosen != SENTENCE else 0)
        last = tensor.shape.dim[-1].dim_value if tensor.shape.dim else 0
        fits = len(tensor.shape.dim) == wanted[chosen] and (not size or last in (0, size))
        expected = "?, " * (wanted[chosen] - 1) + str(size or "?")
        message = f"{name}: output {chosen} has the shape {_shape(tensor)}, by config.json it is [{expected}]"
        _require(fits, message, "take both files from the same model")
    # What exporters write of the other axes may be the example's that they traced.
    value = helper.make_tensor_value_info(chosen, TensorProto.FLOAT, [None] * wanted[chosen])
    del model.graph.output[:]
    model.graph.output.append(value)
    return chosen


def _at_least(opset: int, model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    given = _opset(model)
    try:
        if given < opset:
            model = version_converter.convert_version(model, opset)
        checker.check_model(model)
    except (RuntimeError, checker.ValidationError) as error:
        message = f"{name}, of opset {given}, is not valid in opset {max(given, opset)}: {error}"
        raise UnsupportedModelError(message, f"export it again with opset {opset}") from error
    return model


def _type(tensor: Any) -> str:
    return str(TensorProto.DataType.Name(tensor.elem_type)).lower()


def _shape(tensor: Any) -> str:
    return f"[{', '.join(str(dim.dim_value or dim.dim_param or '?') for dim in tensor.shape.dim)}]"


def _require(condition: bool, message: str, remedy: str) -> None:
    if not condition:
        raise UnsupportedModelError(message, remedy)
