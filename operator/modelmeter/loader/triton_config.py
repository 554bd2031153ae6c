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
# In the pod's own /tmp, where Triton may write.
ENGINES: Final = "/tmp/tensorrt"

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
        if spec.accelerator == "tensorrt":
            accelerators = config.optimization.execution_accelerators
            accelerators.gpu_execution_accelerator.add(name="tensorrt", parameters=_tensorrt(spec))
    else:
        for tensor in config.input[:2]:
            # Sequences of different length may share a batch: our model.py packs them itself.
            tensor.allow_ragged_batch = True
    kind = pb.ModelInstanceGroup.Kind.Value(spec.instance_kind)
    config.instance_group.add(kind=kind, count=spec.instance_count)
    if spec.queue_timeout_milliseconds:
        policy = config.dynamic_batching.default_queue_policy
        policy.default_timeout_microseconds = spec.queue_timeout_milliseconds * 1000
    if spec.response_cache:
        # Not the ensemble's, where a hit would be no inference: Triton counts requests there, but not their texts.
        config.response_cache.enable = True
    for rows, length in _warm_ups(spec):
        inputs = {"text_tokens": _zeros(length), "label_tokens": _zeros(2), "label_index": _zeros(1)}
        name = f"tokens-{length}" if rows == 1 else f"tokens-{length}-rows-{rows}"
        config.model_warmup.add(name=name, batch_size=rows, inputs=inputs)
    return config


def _warm_ups(spec: LoadSpec) -> list[tuple[int, int]]:
    """Return the rows and the length of each warm-up.

    TensorRT builds an engine anew for what is larger or smaller than all before: so it sees the largest at once.
    """
    single = [(1, length) for length in lengths(spec)]
    return [(spec.max_batch_size, single[-1][1]), *single] if spec.accelerator == "tensorrt" else single


def _tensorrt(spec: LoadSpec) -> dict[str, str]:
    """Return the options of onnxruntime's TensorRT provider, by the names that Triton's backend has for them.

    Engines are kept for the pod's life: their names tell the graph's form but not its weights.
    """
    return {
        "precision_mode": "FP16" if spec.precision == "fp16" else "FP32",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ENGINES,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": ENGINES,
    }


def lengths(spec: LoadSpec) -> list[int]:
    """Return the spec's lengths of texts in tokens, or the usual ones, up to the longest.

    >>> lengths(LoadSpec("m", max_sequence_length=50))
    [16, 32, 50]
    """
    wanted = sorted(set(spec.sequence_buckets or LENGTHS))
    return [*(length for length in wanted if length < spec.max_sequence_length), spec.max_sequence_length]


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
    # No queue policy that is not asked for: under any, Triton prepares no batch before an instance is idle, and now and
    # then misses that one is, until half a second has passed.
    config.dynamic_batching.SetInParent()
    return config


def _declare(config: Any, inputs: Tensors, outputs: Tensors) -> None:
    for name, data_type, size in inputs:
        config.input.add(name=name, data_type=data_type, dims=[size])
    for name, data_type, size in outputs:
        config.output.add(name=name, data_type=data_type, dims=[size])


def _zeros(size: int) -> Any:
    return pb.ModelWarmup.Input(data_type=INT32, dims=[size], zero_data=True)
