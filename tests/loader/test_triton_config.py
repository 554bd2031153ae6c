"""config.pbtxt, read back as Triton reads it."""

import dataclasses
import json
from pathlib import Path

import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from modelmeter.loader import repository, triton_config
from modelmeter.loader.spec import LoadSpec

SPEC = LoadSpec(
    "search-intent",
    labels=('a "quoted" label', "⚽"),
    max_sequence_length=20,
    max_batch_size=6,
    max_queue_delay_microseconds=700,
    instance_kind="KIND_GPU",
    instance_count=3,
)


def written(checkpoint: Path, folder: Path, spec: LoadSpec) -> dict[str, pb.ModelConfig]:
    """The three files of a repository, parsed."""
    folder.mkdir()
    repository.write(checkpoint, folder, spec, threads=3)
    return {
        path.parent.name: text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
        for path in folder.glob("*/config.pbtxt")
    }


@pytest.fixture
def configs(checkpoint: Path, tmp_path: Path) -> dict[str, pb.ModelConfig]:
    """Those of SPEC."""
    return written(checkpoint, tmp_path / "out", SPEC)


def test_each_file_says_what_was_built(configs: dict[str, pb.ModelConfig]) -> None:
    ensemble = triton_config.ensemble(SPEC, SPEC.labels)
    built = [triton_config.tokenizer(SPEC), triton_config.bert(SPEC, threads=3), ensemble]
    assert configs == {config.name: config for config in built}


def test_what_is_not_asked_for_is_not_there(configs: dict[str, pb.ModelConfig]) -> None:
    for config in configs.values():
        assert not config.HasField("response_cache")
        assert not config.dynamic_batching.HasField("default_queue_policy")


def test_what_is_asked_for_arrives(checkpoint: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(
        SPEC, backend="onnxruntime", sequence_buckets=(9, 5, 99), queue_timeout_milliseconds=250, response_cache=True
    )
    configs = written(checkpoint, tmp_path / "out", spec)
    bert = configs.pop("search-intent-bert")
    policy = bert.dynamic_batching.default_queue_policy
    assert (policy.default_timeout_microseconds, policy.timeout_action) == (250_000, pb.ModelQueuePolicy.REJECT)
    assert [warmup.inputs["text_tokens"].dims[0] for warmup in bert.model_warmup] == [5, 9, 20]
    settings = json.loads((tmp_path / "out/search-intent-tokenizer/1/settings.json").read_text())
    assert settings["lengths"] == [5, 9, 20]
    # Of the ensemble it would make hits that are no inferences, of the tokenizer it would not be worth it.
    assert bert.response_cache.enable
    assert not any(config.HasField("response_cache") for config in configs.values())


def test_tensorrt_is_told_precision_cache_and_the_largest_batch_first(checkpoint: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, backend="onnxruntime", accelerator="tensorrt", precision="fp16")
    bert = written(checkpoint, tmp_path / "out", spec)["search-intent-bert"]
    (accelerator,) = bert.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert accelerator.parameters == {
        "precision_mode": "FP16",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/tmp/tensorrt",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "/tmp/tensorrt",
    }
    warm_ups = [(warmup.batch_size, warmup.inputs["text_tokens"].dims[0]) for warmup in bert.model_warmup]
    assert warm_ups == [(6, 20), (1, 16), (1, 20)]
    assert len({warmup.name for warmup in bert.model_warmup}) == 3


def test_what_the_spec_says_arrives(configs: dict[str, pb.ModelConfig]) -> None:
    bert = configs["search-intent-bert"]
    assert {config.max_batch_size for config in configs.values()} == {6}
    assert [(group.kind, group.count) for group in bert.instance_group] == [(pb.ModelInstanceGroup.KIND_GPU, 3)]
    # A request waits once, and no queue has a policy.
    waits = [configs[f"search-intent-{part}"].dynamic_batching for part in ("tokenizer", "bert")]
    assert [wait.max_queue_delay_microseconds for wait in waits] == [0, 700]
    assert not any(wait.HasField("default_queue_policy") for wait in waits)
    # The longest warm-up is the longest request.
    assert [entry.inputs["text_tokens"].dims[0] for entry in bert.model_warmup] == [16, 20]


def test_our_model_py_takes_any_lengths(configs: dict[str, pb.ModelConfig]) -> None:
    bert = configs["search-intent-bert"]
    assert bert.backend == "python"
    assert [tensor.allow_ragged_batch for tensor in bert.input] == [True, True, False]


TYPES = {"tensor(int32)": pb.TYPE_INT32, "tensor(float)": pb.TYPE_FP32}


@pytest.mark.parametrize(("kind", "threads"), [("KIND_CPU", "3"), ("KIND_GPU", "1")])
def test_triton_s_own_onnxruntime_finds_what_the_file_has(
    checkpoint: Path, tmp_path: Path, kind: str, threads: str
) -> None:
    spec = dataclasses.replace(SPEC, backend="onnxruntime", instance_kind=kind, max_sequence_length=24)
    bert = written(checkpoint, tmp_path / "out", spec)["search-intent-bert"]
    assert (bert.backend, bert.platform) == ("onnxruntime", "onnxruntime_onnx")
    version = tmp_path / "out" / "search-intent-bert" / "1"
    assert {path.name for path in version.iterdir()} == {bert.default_model_filename, "model.onnx.data"}
    assert bert.parameters["intra_op_thread_count"].string_value == threads
    assert not any(tensor.allow_ragged_batch for tensor in bert.input)
    session = onnxruntime.InferenceSession(version / bert.default_model_filename)
    for declared, found in ((bert.input, session.get_inputs()), (bert.output, session.get_outputs())):
        assert {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in declared} == {
            # The first is the batch; a size with a name is any.
            value.name: (TYPES[value.type], tuple(-1 if isinstance(size, str) else size for size in value.shape[1:]))
            for value in found
        }
    # The tokenizer pads to the lengths that are warmed up, so that requests share batches.
    settings = json.loads((tmp_path / "out" / "search-intent-tokenizer" / "1" / "settings.json").read_text())
    assert settings["lengths"] == [entry.inputs["text_tokens"].dims[0] for entry in bert.model_warmup] == [16, 24]


def test_the_ensemble_joins_its_members(configs: dict[str, pb.ModelConfig]) -> None:
    ensemble = configs["search-intent"]
    have = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in ensemble.input}
    assert have.keys() == {"text", "label"}
    for step in ensemble.ensemble_scheduling.step:
        member = configs[step.model_name]
        inputs = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in member.input}
        assert {name: have[outer] for name, outer in step.input_map.items()} == inputs
        outputs = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in member.output}
        have |= {outer: outputs[name] for name, outer in step.output_map.items()}
    assert {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in ensemble.output}.items() <= have.items()
    assert {tensor.name for tensor in ensemble.output} == {"score", "probability"}
