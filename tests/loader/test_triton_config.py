"""config.pbtxt, read back as Triton reads it."""

from pathlib import Path

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


@pytest.fixture
def configs(checkpoint: Path, tmp_path: Path) -> dict[str, pb.ModelConfig]:
    """The three written files, parsed."""
    (tmp_path / "out").mkdir()
    repository.write(checkpoint, tmp_path / "out", SPEC)
    return {
        path.parent.name: text_format.Parse(path.read_text(encoding="utf-8"), pb.ModelConfig())
        for path in (tmp_path / "out").glob("*/config.pbtxt")
    }


def test_each_file_says_what_was_built(configs: dict[str, pb.ModelConfig]) -> None:
    built = [triton_config.tokenizer(SPEC), triton_config.bert(SPEC), triton_config.ensemble(SPEC)]
    assert configs == {config.name: config for config in built}


def test_what_the_spec_says_arrives(configs: dict[str, pb.ModelConfig]) -> None:
    bert = configs["search-intent-bert"]
    assert {config.max_batch_size for config in configs.values()} == {6}
    assert [(group.kind, group.count) for group in bert.instance_group] == [(pb.ModelInstanceGroup.KIND_GPU, 3)]
    assert bert.dynamic_batching.max_queue_delay_microseconds == 700
    assert bert.dynamic_batching.default_queue_policy.max_queue_size == 6 * triton_config.QUEUED_BATCHES
    # The longest warm-up is the longest request.
    assert [entry.inputs["text_tokens"].dims[0] for entry in bert.model_warmup] == [16, 20]


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
