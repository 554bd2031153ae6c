"""Turns checkpoints into ONNX files as exporters leave them in the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import spox
import spox.opset.ai.onnx.v17 as op
from spox import Tensor, Var

from modelmeter.loader import bert, weights
from modelmeter.loader.graph import Encoder, unit
from modelmeter.loader.layout import Padded


def export(folder: Path, name: str = "model.onnx", output: str = "", data: str = "", types: bool = True) -> Path:
    """Replace a checkpoint's model.safetensors by an ONNX file of the usual inputs; return the folder.

    output: of an encoder, sentence_embedding instead of last_hidden_state. data: the name of the weights beside it.
    types: whether it wants token_type_ids, which must be 0.
    """
    described = bert.parse(folder)
    planned = weights.lay_out(folder / "model.safetensors", described, "fp32")
    variables = {key: op.const(np.ascontiguousarray(tensor.make(), "<f4")) for key, tensor in planned.items()}
    inputs = {key: ids() for key in ("input_ids", "attention_mask", "token_type_ids")[: 3 if types else 2]}
    encoder = Encoder(described, variables)
    mask = op.equal(inputs["attention_mask"], op.const(np.int64(1)))
    tokens = op.where(mask, op.cast(inputs["input_ids"], to=np.int32), op.const(np.int32(-1)))
    if types:
        tokens = op.add(tokens, op.cast(inputs["token_type_ids"], to=np.int32))
    rows = Padded(tokens)
    if described.classes:
        outputs = {"logits": encoder.classify(rows)}
    elif output == "sentence_embedding":
        # Three times as long: that a vector has the length 1 is not for the file to say.
        outputs = {
            "token_embeddings": encoder.states(rows),
            output: op.mul(encoder.embed(rows), op.const(np.float32(3))),
        }
    else:
        outputs = {"pooler_output": rows.first(unit(encoder.states(rows))), "last_hidden_state": encoder.states(rows)}
    save(folder / name, spox.build(inputs, outputs), data)
    (folder / "model.safetensors").unlink()
    return folder


def ids(*shape: str | int) -> Var:
    """An input of tokens."""
    return spox.argument(Tensor(np.int64, shape or ("batch_size", "sequence_length")))


def save(path: Path, model: onnx.ModelProto, data: str = "") -> None:
    """Write a file whose constants are initializers, as exporters write them."""
    kept = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        model, path, save_as_external_data=bool(data), all_tensors_to_one_file=True, location=data or None,
        size_threshold=0,
    )  # fmt: skip
