"""ONNX graphs made by hand, whose answers are known: they are no BERT at all."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import spox
import spox.opset.ai.onnx.v21 as op21

from tests.loader.exports import ids
from tests.loader.vocabulary import size

# By hand: a text's logits are the sums of its tokens' rows.
TABLE = np.random.default_rng(5).normal(0, 1, (size("bert"), 3)).astype("<f4")


def by_spox() -> onnx.ModelProto:
    """With operators that are newer than ours."""
    tokens, present = ids(), ids()
    rows = op21.gather(op21.const(TABLE), tokens)
    counted = op21.unsqueeze(op21.cast(present, to=np.float32), op21.const([2]))
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
