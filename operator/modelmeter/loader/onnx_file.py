"""Write a checkpoint as an ONNX file: tokens in, score and probability out; the weights in a file beside it.

Texts are padded where Triton's own backend runs the file, and packed where our model.py does (layout.py).
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
from modelmeter.loader.layout import Layout, Packed, Padded
from modelmeter.loader.tensors import Span, Tensor

MODEL: Final = "model.onnx"
WEIGHTS: Final = "model.onnx.data"
# Of 2022, with opset 17: what every Triton of these years reads.
IR_VERSION: Final = 8


def write(
    checkpoint: Path, bert: Bert, precision: str, known_labels: Sequence[Sequence[int]], folder: Path, packed: bool
) -> None:
    """Convert the checkpoint's model.safetensors; known_labels as tokens. packed: whether texts share rows.

    Raises UnsupportedModelError if the tensors are not what the description says.
    """
    planned = weights.lay_out(checkpoint / "model.safetensors", bert, precision)
    model = _graph(bert, planned, known_labels, packed)
    spans = tensors.write(folder / WEIGHTS, planned)
    model.graph.initializer.extend(_external(name, planned[name], span) for name, span in spans.items())
    (folder / MODEL).write_bytes(model.SerializeToString())


def _graph(
    bert: Bert, planned: Mapping[str, Tensor], known_labels: Sequence[Sequence[int]], packed: bool
) -> onnx.ModelProto:
    """Return the model without its weights, which it only names."""
    labels, index = _tokens("n", "u"), spox.argument(Kind(np.int32, ("n", 1)))
    texts, laid = _packed(index) if packed else _padded()
    variables: dict[str, Var] = {
        name: spox.argument(Kind(tensor.dtype, tensor.shape)) for name, tensor in planned.items()
    }
    scores = scoring.score(Encoder(bert, variables), scoring.Rows(laid, Padded(labels), index), known_labels)
    inputs = {**texts, "label_tokens": labels, "label_index": index}
    outputs = {"score": scores.score, "probability": scores.probability}
    model = spox.build({**inputs, **variables}, outputs)
    kept = [value for value in model.graph.input if value.name in inputs]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = IR_VERSION
    return model


def _padded() -> tuple[dict[str, Var], Layout]:
    tokens = _tokens("n", "t")
    return {"text_tokens": tokens}, Padded(tokens)


def _packed(label_index: Var) -> tuple[dict[str, Var], Layout]:
    tokens, places, owners = (_tokens("r", "t") for _ in range(3))
    inputs = {"text_tokens": tokens, "text_places": places, "text_owners": owners}
    return inputs, Packed(tokens, places, owners, label_index)


def _tokens(rows: str, length: str) -> Var:
    return spox.argument(Kind(np.int32, (rows, length)))


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
