"""Write the ONNX file that is served: tokens in, score and probability out; the weights in a file beside it.

Texts are padded where Triton's own backend runs the file, and packed where our model.py does (layout.py).
spox builds the graph and checks each operator's types and shapes; the weights never stand in its memory.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import onnx
import spox
from spox import Tensor as Kind
from spox import Var

from modelmeter.loader import graph, onnx_source, scoring, tensors, weights
from modelmeter.loader.bert import Bert
from modelmeter.loader.layout import Layout, Packed, Padded
from modelmeter.loader.source_encoder import PREFIX, SourceEncoder
from modelmeter.loader.tensors import Span, Tensor

MODEL: Final = "model.onnx"
WEIGHTS: Final = "model.onnx.data"
# Of 2022, with opset 17: what every Triton of these years reads.
IR_VERSION: Final = 8


class Laid(NamedTuple):
    """Texts or labels: the graph's inputs by their names, and how tokens lie in them."""

    inputs: dict[str, Var]
    layout: Layout


class Plan(NamedTuple):
    """What is to be written: the weights, and the encoder that stands on variables of their names."""

    weights: Mapping[str, Tensor]
    encoder: Callable[[Mapping[str, Var]], scoring.Encoder]


def convert(path: Path, bert: Bert, precision: str) -> Plan:
    """Plan the forward pass of graph.py; path: of the model.safetensors.

    Raises UnsupportedModelError if the tensors are not what the description says.
    """
    return Plan(weights.lay_out(path, bert, precision), partial(graph.Encoder, bert))


def take(path: Path, bert: Bert) -> Plan:
    """Plan the forward pass of the source's own ONNX file; raises as `onnx_source.read` does."""
    source = onnx_source.read(path, bert)
    named = {PREFIX + name: tensor for name, tensor in source.weights.items()}
    return Plan(named, partial(SourceEncoder, bert, source))


def write(plan: Plan, known_labels: Sequence[Sequence[int]], folder: Path, packed: bool) -> None:
    """Write the file with its weights; known_labels as tokens. packed: whether texts share rows."""
    model = _graph(plan, known_labels, packed)
    spans = tensors.write(folder / WEIGHTS, plan.weights)
    model.graph.initializer.extend(_external(name, plan.weights[name], span) for name, span in spans.items())
    (folder / MODEL).write_bytes(model.SerializeToString())


def _graph(plan: Plan, known_labels: Sequence[Sequence[int]], packed: bool) -> onnx.ModelProto:
    """Return the model without its weights, which it only names."""
    index = spox.argument(Kind(np.int32, ("n", 1)))
    texts, labels = (_packed(name, index) if packed else _padded(name) for name in ("text", "label"))
    variables: dict[str, Var] = {
        name: spox.argument(Kind(tensor.dtype, tensor.shape)) for name, tensor in plan.weights.items()
    }
    scores = scoring.score(plan.encoder(variables), scoring.Rows(texts.layout, labels.layout, index), known_labels)
    inputs = {**texts.inputs, **labels.inputs, "label_index": index}
    outputs = {"score": scores.score, "probability": scores.probability}
    model = spox.build({**inputs, **variables}, outputs)
    kept = [value for value in model.graph.input if value.name in inputs]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ir_version = IR_VERSION
    return model


def _padded(name: str) -> Laid:
    tokens = spox.argument(Kind(np.int32, ("n", f"{name}_t")))
    return Laid({f"{name}_tokens": tokens}, Padded(tokens))


def _packed(name: str, label_index: Var) -> Laid:
    tokens, places, owners = (spox.argument(Kind(np.int32, (f"{name}_r", f"{name}_t"))) for _ in range(3))
    inputs = {f"{name}_tokens": tokens, f"{name}_places": places, f"{name}_owners": owners}
    return Laid(inputs, Packed(tokens, places, owners, label_index))


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
