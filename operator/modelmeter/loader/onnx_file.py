"""Write a checkpoint as an ONNX file: tokens in, score and probability out; the weights in a file beside it.

spox builds the graph and checks each operator's types and shapes; the weights never stand in its memory.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import spox
from spox import Tensor as Kind
from spox import Var

from modelmeter.loader import scoring, tensors, weights
from modelmeter.loader.bert import Bert
from modelmeter.loader.graph import Encoder
from modelmeter.loader.tensors import Span, Tensor

MODEL: Final = "model.onnx"
WEIGHTS: Final = "model.onnx.data"
# Of 2022, with opset 17: what every Triton of these years reads.
IR_VERSION: Final = 8


def write(checkpoint: Path, bert: Bert, precision: str, known_labels: Sequence[Sequence[int]], folder: Path) -> None:
    """Convert the checkpoint's model.safetensors; known_labels as tokens.

    Raises UnsupportedModelError if the tensors are not what the description says.
    """
    planned = weights.lay_out(checkpoint / "model.safetensors", bert, precision)
    model = _graph(bert, planned, known_labels)
    spans = tensors.write(folder / WEIGHTS, planned)
    model.graph.initializer.extend(_external(name, planned[name], span) for name, span in spans.items())
    (folder / MODEL).write_bytes(model.SerializeToString())


def _graph(bert: Bert, planned: Mapping[str, Tensor], known_labels: Sequence[Sequence[int]]) -> onnx.ModelProto:
    """Return the model without its weights, which it only names."""
    rows = scoring.Rows(_tokens("t"), _tokens("u"), spox.argument(Kind(np.int32, ("n", 1))))
    variables: dict[str, Var] = {
        name: spox.argument(Kind(tensor.dtype, tensor.shape)) for name, tensor in planned.items()
    }
    scores = scoring.score(Encoder(bert, variables), rows, known_labels)
    inputs = {"text_tokens": rows.texts, "label_tokens": rows.labels, "label_index": rows.label_index}
    outputs = {"score": scores.score, "probability": scores.probability}
    model = spox.build({**inputs, **variables}, outputs)
    kept = [value for value in model.graph.input if value.name in inputs]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = IR_VERSION
    return model


def _tokens(length: str) -> Var:
    return spox.argument(Kind(np.int32, ("n", length)))


def _external(name: str, tensor: Tensor, span: Span) -> onnx.TensorProto:
    proto = onnx.TensorProto(
        name=name,
        dims=tensor.shape,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(tensor.dtype),
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in (("location", WEIGHTS), ("offset", span.offset), ("length", span.size_bytes)):
        proto.external_data.add(key=key, value=str(value))
    return proto
