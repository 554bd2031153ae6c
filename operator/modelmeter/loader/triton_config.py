"""config.pbtxt of the three models, as tritonclient's ModelConfig protobuf.

    text, label -> NAME-tokenizer -> text_tokens, label_tokens, label_index -> NAME-bert -> score, probability
The ensemble NAME joins both. Tokens are padded with -1. NAME-bert is run by the backend that the spec names;
Triton's own joins only requests of one shape to a batch, so tokens are then padded to one of a few lengths.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from modelmeter.api.names import bert_name
from modelmeter.loader.spec import LoadSpec

LENGTHS: Final = (16, 32, 64, 128, 256, 512)

STRING, INT32, FP32 = pb.TYPE_STRING, pb.TYPE_INT32, pb.TYPE_FP32
TEXTS: Final = (("text", STRING, 1), ("label", STRING, 1))
TOKENS: Final = (("text_tokens", INT32, -1), ("label_tokens", INT32, -1), ("label_index", INT32, 1))
SCORES: Final = (("score", FP32, 1), ("probability", FP32, 1))
Tensors = tuple[tuple[str, Any, int], ...]


def tokenizer_name(name: str) -> str:
    """Return the member's name; it carries the ensemble's, for several models may share one server."""
    return f"{name}-tokenizer"


def tokenizer(spec: LoadSpec) -> Any:
    """Return the ModelConfig of the tokenizer; it always runs on the CPU, and waits for nobody."""
    config = _model(tokenizer_name(spec.name), "python", spec, TEXTS, TOKENS)
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_CPU, count=1)
    return config


def bert(spec: LoadSpec, threads: int) -> Any:
    """Return the ModelConfig of the encoder, warmed up at each usual length; threads: of an instance on the CPU."""
    config = _model(bert_name(spec.name), spec.backend, spec, TOKENS, SCORES)
    config.dynamic_batching.max_queue_delay_microseconds = spec.max_queue_delay_microseconds
    if spec.backend == "onnxruntime":
        config.platform = "onnxruntime_onnx"
        config.default_model_filename = "model.onnx"
        # Its idle threads spin, which no parameter turns off: beside a GPU there are none to spin.
        count = threads if spec.instance_kind == "KIND_CPU" else 1
        config.parameters["intra_op_thread_count"].string_value = str(count)
        config.parameters["inter_op_thread_count"].string_value = "1"
    else:
        for tensor in config.input[:2]:
            # Sequences of different length may share a batch: our model.py packs them itself.
            tensor.allow_ragged_batch = True
    kind = pb.ModelInstanceGroup.Kind.Value(spec.instance_kind)
    config.instance_group.add(kind=kind, count=spec.instance_count)
    for length in lengths(spec):
        inputs = {"text_tokens": _zeros(length), "label_tokens": _zeros(2), "label_index": _zeros(1)}
        config.model_warmup.add(name=f"tokens-{length}", batch_size=1, inputs=inputs)
    return config


def lengths(spec: LoadSpec) -> list[int]:
    """Return the usual lengths of texts in tokens, up to the longest.

    >>> lengths(LoadSpec("m", max_sequence_length=50))
    [16, 32, 50]
    """
    return [*(length for length in LENGTHS if length < spec.max_sequence_length), spec.max_sequence_length]


def ensemble(spec: LoadSpec, labels: Sequence[str]) -> Any:
    """Return the ModelConfig of the ensemble that callers see; it tells them the labels that are known."""
    config = pb.ModelConfig(name=spec.name, platform="ensemble", max_batch_size=spec.max_batch_size)
    config.parameters["labels"].string_value = json.dumps(labels, ensure_ascii=False)
    _declare(config, TEXTS, SCORES)
    for member, inputs, outputs in (
        (tokenizer_name(spec.name), TEXTS, TOKENS),
        (bert_name(spec.name), TOKENS, SCORES),
    ):
        config.ensemble_scheduling.step.add(
            model_name=member,
            model_version=-1,
            input_map={name: name for name, _, _ in inputs},
            output_map={name: name for name, _, _ in outputs},
        )
    return config


def to_text(config: Any) -> str:
    """Return the text of config.pbtxt."""
    return str(text_format.MessageToString(config))


def _model(name: str, backend: str, spec: LoadSpec, inputs: Tensors, outputs: Tensors) -> Any:
    config = pb.ModelConfig(name=name, backend=backend, max_batch_size=spec.max_batch_size)
    _declare(config, inputs, outputs)
    # Without a queue policy: under any, Triton prepares no batch before an instance is idle, and now and then misses
    # that one is, until half a second has passed.
    config.dynamic_batching.SetInParent()
    return config


def _declare(config: Any, inputs: Tensors, outputs: Tensors) -> None:
    for name, data_type, size in inputs:
        config.input.add(name=name, data_type=data_type, dims=[size])
    for name, data_type, size in outputs:
        config.output.add(name=name, data_type=data_type, dims=[size])


def _zeros(size: int) -> Any:
    return pb.ModelWarmup.Input(data_type=INT32, dims=[size], zero_data=True)
