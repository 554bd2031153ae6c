"""The shipped forward pass equals an independent one."""

import json
import math
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest

from modelmeter.loader import bert, repository, tensors, weights
from modelmeter.loader.backend import batching, packing
from modelmeter.loader.backend.session import OUTPUTS, Session
from modelmeter.loader.errors import UnsupportedModelError
from modelmeter.loader.spec import LoadSpec
from tests.loader.checkpoints import CLASSIFIERS, CONFIGS, tiny
from tests.loader.reference import Reference
from tests.loader.vocabulary import SPECIAL, WORDS

TOLERANCE = 1e-4
# Of logits of about 5, with weights rounded to 11 bits.
HALF_TOLERANCE = 1e-2
# Of probabilities, with weights and states rounded to 7 and 8 bits.
INT8_TOLERANCE = 0.05
TEXTS = ("goal", "", "a striker's goals a b", "pasta ⚽ 意大利 salt", "goal " * 40)
CLASSES = {"id2label": {"0": "sports", "1": "cooking", "2": "other"}}


class Scores(NamedTuple):
    """Those of a batch."""

    score: Any
    probability: Any


class Served:
    """A written repository, run as its models do, without Triton."""

    def __init__(self, checkpoint: Path, folder: Path, spec: LoadSpec) -> None:
        folder.mkdir(parents=True)
        repository.write(checkpoint, folder, spec, threads=1)
        file = folder / f"{spec.name}-bert/1/model.onnx"
        onnx.checker.check_model(file, full_check=True)
        self.spec = spec
        settings = json.loads((folder / f"{spec.name}-tokenizer/1/settings.json").read_text())
        self.labels, self.lengths = settings["labels"], settings["lengths"]
        self.session = Session(file, instances=2)
        self.tokenizer = repository._tokenizer(checkpoint / "tokenizer.json", spec, bert.parse(checkpoint))

    def tokens(self, texts: list[str]) -> Any:
        """What the tokenizer's model answers."""
        return batching.pad(
            [np.array(encoding.ids, np.int32) for encoding in self.tokenizer.encode_batch(texts)], self.lengths
        )

    def score(self, texts: list[str], labels: list[str]) -> Scores:
        index = np.array([[self.labels.index(label) if label in self.labels else -1] for label in labels], np.int32)
        text_tokens, label_tokens = self.tokens(texts), self.tokens(labels)
        if self.spec.backend == "onnxruntime":  # Triton's own runs what it is given
            columns = self.run(text_tokens, label_tokens, index)
        else:
            texts_labels = ([row[row >= 0] for row in rows] for rows in (text_tokens, label_tokens))
            columns = self.session.score(*texts_labels, index)
        return Scores(*(column[:, 0] for column in columns))

    def run(self, *inputs: Any) -> Any:
        """Score and probability of padded rows, as Triton's own backend runs them."""
        return self.session.session.run(OUTPUTS, dict(zip(PADDED_INPUTS, inputs, strict=True)))


PADDED_INPUTS = ("text_tokens", "label_tokens", "label_index")
BACKENDS = pytest.mark.parametrize("backend", ["python", "onnxruntime"])
FAMILIES = pytest.mark.parametrize("family", CONFIGS)


@pytest.mark.parametrize("labels", [(), ("sports", "cooking"), ("cooking", "salt")])
def test_a_random_encoder_scores_as_the_reference(tmp_path: Path, checkpoint: Path, labels: tuple[str, ...]) -> None:
    served = Served(checkpoint, tmp_path / "out", LoadSpec("m", labels=labels, max_sequence_length=20))
    reference = Reference(checkpoint, 20)
    scores = served.score(list(TEXTS), ["sports"] * len(TEXTS))
    for text, score, probability in zip(TEXTS, scores.score, scores.probability, strict=True):
        assert score == pytest.approx(reference.score(text, "sports"), abs=TOLERANCE)
        assert probability == pytest.approx(reference.probability(text, "sports", list(labels)), abs=TOLERANCE)


@FAMILIES
@BACKENDS
@pytest.mark.parametrize("labels", [(), ("sports", "cooking")])
def test_an_encoder_of_each_family_scores_as_the_reference(
    tmp_path: Path, family: str, backend: str, labels: tuple[str, ...]
) -> None:
    checkpoint = tiny(tmp_path / "c", family=family)
    spec = LoadSpec("m", labels=labels, max_sequence_length=24, backend=backend)
    served, reference = Served(checkpoint, tmp_path / "out", spec), Reference(checkpoint, 24)
    # Known labels and others in one batch, of texts of any length.
    asked = ["sports", "a striker's goals", "cooking", "salt", "pasta"]
    scores = served.score(list(TEXTS), asked)
    for text, label, score, probability in zip(TEXTS, asked, *scores, strict=True):
        assert score == pytest.approx(reference.score(text, label), abs=TOLERANCE)
        assert probability == pytest.approx(reference.probability(text, label, list(labels)), abs=TOLERANCE)


@FAMILIES
@BACKENDS
@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification"])
def test_a_classifier_of_each_family_scores_as_the_reference(
    tmp_path: Path, family: str, backend: str, problem_type: str
) -> None:
    checkpoint = tiny(
        tmp_path / "c", family=family, architectures=[CLASSIFIERS[family]], problem_type=problem_type, **CLASSES
    )
    spec = LoadSpec("m", max_sequence_length=24, backend=backend)
    served, reference = Served(checkpoint, tmp_path / "out", spec), Reference(checkpoint, 24)
    labels = ["sports", "cooking", "other", "sports", "other"]
    scores = served.score(list(TEXTS), labels)
    for text, label, score, probability in zip(TEXTS, labels, *scores, strict=True):
        logits, place = reference.logits(text), served.labels.index(label)
        exclusive = math.exp(logits[place]) / sum(map(math.exp, logits))
        expected = exclusive if problem_type.startswith("single") else 1 / (1 + math.exp(-logits[place]))
        assert score == pytest.approx(logits[place], abs=TOLERANCE)
        assert probability == pytest.approx(expected, abs=TOLERANCE)


@FAMILIES
def test_half_precision_of_each_family_is_close(tmp_path: Path, family: str) -> None:
    checkpoint = tiny(tmp_path / "c", family=family, architectures=[CLASSIFIERS[family]], **CLASSES)
    spec = LoadSpec("m", max_sequence_length=24, precision="fp16")
    served, reference = Served(checkpoint, tmp_path / "out", spec), Reference(checkpoint, 24)
    scores = served.score(list(TEXTS), ["cooking"] * len(TEXTS)).score
    assert scores == pytest.approx(np.array([reference.logits(text)[1] for text in TEXTS]), abs=HALF_TOLERANCE)


@FAMILIES
@BACKENDS
def test_whole_numbers_of_8_bits_are_near_in_each_family(tmp_path: Path, family: str, backend: str) -> None:
    checkpoint = tiny(tmp_path / "c", family=family, architectures=[CLASSIFIERS[family]], **CLASSES)
    spec = LoadSpec("m", max_sequence_length=24, precision="int8", backend=backend)
    served, reference = Served(checkpoint, tmp_path / "out", spec), Reference(checkpoint, 24)
    found = served.score(list(TEXTS), ["cooking"] * len(TEXTS)).probability
    logits = [reference.logits(text) for text in TEXTS]
    expected = [math.exp(one[1]) / sum(map(math.exp, one)) for one in logits]
    assert found == pytest.approx(np.array(expected), abs=INT8_TOLERANCE)
    assert found != pytest.approx(np.array(expected), abs=1e-6)


@FAMILIES
@BACKENDS
def test_an_encoder_of_8_bits_scores_known_labels_and_others(tmp_path: Path, family: str, backend: str) -> None:
    checkpoint = tiny(tmp_path / "c", family=family)
    labels = ("sports", "cooking")
    spec = LoadSpec("m", labels=labels, max_sequence_length=24, precision="int8", backend=backend)
    served, reference = Served(checkpoint, tmp_path / "out", spec), Reference(checkpoint, 24)
    asked = ["sports", "a striker's goals", "cooking", "salt", "pasta"]
    found = served.score(list(TEXTS), asked).probability
    expected = [reference.probability(text, label, list(labels)) for text, label in zip(TEXTS, asked, strict=True)]
    assert found == pytest.approx(np.array(expected), abs=INT8_TOLERANCE)


@FAMILIES
def test_what_a_batch_is_padded_with_changes_no_score(tmp_path: Path, family: str) -> None:
    spec = LoadSpec("m", max_sequence_length=24, backend="onnxruntime")
    served = Served(tiny(tmp_path / "c", family=family), tmp_path / "out", spec)
    text, label, index = served.tokens(["goal"]), served.tokens(["salt"]), np.array([[-1]], np.int32)
    answers = []
    for length in (3, 4, 11, 24):
        padded = [batching.pad([row[row >= 0] for row in tokens], [length]) for tokens in (text, label)]
        answers.append(served.run(*padded, index)[0][0, 0])
    assert answers == pytest.approx([answers[0]] * 4, abs=1e-6)


@FAMILIES
@pytest.mark.parametrize("row_tokens", [1, 7, 30, 1000])
def test_how_a_batch_is_packed_changes_no_score(
    tmp_path: Path, family: str, row_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(tiny(tmp_path / "c", family=family), tmp_path / "out", LoadSpec("m", max_sequence_length=24))
    asked = [*TEXTS, *TEXTS[:3]], ["salt"] * (len(TEXTS) + 3)
    alone = [served.score([text], ["salt"]).score[0] for text in asked[0]]
    monkeypatch.setattr(packing, "ROW_TOKENS", row_tokens)
    assert served.score(*asked).score == pytest.approx(np.array(alone), abs=1e-6)


SHAPES: tuple[dict[str, Any], ...] = (
    {"num_hidden_layers": 1, "num_attention_heads": 1, "hidden_size": 8},
    {"num_hidden_layers": 4, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 8},
    {"without": "pooler"},
    {"architectures": ["BertForMaskedLM"], "type_vocab_size": 1, "rename": lambda name: f"bert.{name}"},
    {"rename": lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta")},
    {"hidden_act": "gelu_new"},
    {"hidden_act": "relu"},
    {"layer_norm_eps": 0.1},
    {"dtype": "<f2"},
)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(shape))
def test_random_encoders_of_any_shape_and_length(tmp_path: Path, seed: int, shape: dict[str, Any]) -> None:
    checkpoint = tiny(tmp_path / "c", seed, **shape)
    served = Served(checkpoint, tmp_path / "out", LoadSpec("m", labels=("sports",), max_sequence_length=24))
    reference = Reference(checkpoint, 24)
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS[len(SPECIAL) :], size)) for size in (0, 1, 2, 5, 11, 30)]
    for label in ("sports", "pasta salt"):
        together = served.score(texts, [label] * len(texts))
        for text, score, probability in zip(texts, together.score, together.probability, strict=True):
            assert score == pytest.approx(reference.score(text, label), abs=TOLERANCE)
            assert probability == pytest.approx(reference.probability(text, label, ["sports"]), abs=TOLERANCE)
        alone = [served.score([text], [label]).score[0] for text in texts]
        assert together.score == pytest.approx(np.array(alone), abs=1e-6)


def test_a_classifier_without_its_pooler_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny(tmp_path / "c", architectures=["BertForSequenceClassification"], without="pooler", **CLASSES)
    with pytest.raises(UnsupportedModelError, match=r"has no tensor pooler\.dense\.weight; save the whole model"):
        Served(checkpoint, tmp_path / "out", LoadSpec("m", max_sequence_length=20))


def test_a_real_encoder_scores_as_the_reference(tmp_path: Path, minilm: Path) -> None:
    labels = ["sports", "cooking"]
    served = Served(minilm, tmp_path / "out", LoadSpec("m", labels=tuple(labels)))
    reference = Reference(minilm)
    texts = ["The striker scored twice in the final.", "", "足球 ⚽", "Boil the pasta in salted water."]
    for label in (*labels, "food"):
        scores = served.score(texts, [label] * len(texts))
        for text, score, probability in zip(texts, scores.score, scores.probability, strict=True):
            assert score == pytest.approx(reference.score(text, label), abs=TOLERANCE)
            assert probability == pytest.approx(reference.probability(text, label, labels), abs=TOLERANCE)


def test_probabilities_of_the_labels_sum_to_one(tmp_path: Path, checkpoint: Path) -> None:
    labels = ["sports", "cooking", "salt"]
    served = Served(checkpoint, tmp_path / "out", LoadSpec("m", labels=tuple(labels), max_sequence_length=20))
    assert served.score(["goal"] * 3, labels).probability.sum() == pytest.approx(1.0, abs=1e-5)


def test_half_precision_is_close_and_half_the_size(tmp_path: Path, minilm: Path) -> None:
    full = Served(minilm, tmp_path / "full", LoadSpec("m"))
    half = Served(minilm, tmp_path / "half", LoadSpec("m", precision="fp16"))
    texts, labels = ["The striker scored twice."], ["sports"]
    assert half.score(texts, labels).score == pytest.approx(full.score(texts, labels).score, abs=2e-3)
    sizes = [(tmp_path / name / "m-bert/1/model.onnx.data").stat().st_size for name in ("full", "half")]
    assert sizes[1] / sizes[0] == pytest.approx(0.5, abs=0.01)


def test_a_batch_changes_no_score(tmp_path: Path, checkpoint: Path) -> None:
    served = Served(checkpoint, tmp_path / "out", LoadSpec("m", max_sequence_length=20))
    together = served.score(list(TEXTS), ["salt"] * len(TEXTS)).score
    alone = [served.score([text], ["salt"]).score[0] for text in TEXTS]
    assert together == pytest.approx(np.array(alone), abs=1e-6)


def test_more_labels_than_a_pass_holds(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PASS_TOKENS", 8)
    monkeypatch.setattr(packing, "PASS_TOKENS", 8)
    labels = ["salt", "pasta a b a b a", "a", "b goal", "a b a", "sports"]
    served = Served(checkpoint, tmp_path / "out", LoadSpec("m", labels=tuple(labels), max_sequence_length=20))
    scores = served.score(["goal"] * len(labels), labels)
    reference = Reference(checkpoint, 20)
    assert scores.score == pytest.approx([reference.score("goal", label) for label in labels], abs=TOLERANCE)
    expected = [reference.probability("goal", label, labels) for label in labels]
    assert scores.probability == pytest.approx(expected, abs=TOLERANCE)


def test_bfloat16_is_read(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5], [0.15625, 3.0]], "<f4")
    path = tmp_path / "b.safetensors"
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + (values.view("<u4") >> 16).astype("<u2").tobytes())
    assert (tensors.read(path)["w"].make() == values).all()


def test_passes_cover_every_row_once_within_the_bound() -> None:
    lengths = [int(n) for n in np.random.default_rng(1).integers(1, 513, 300)]
    groups = list(batching.passes(lengths))
    assert sorted(row for group in groups for row in group) == list(range(300))
    assert max(len(group) * max(lengths[row] for row in group) for group in groups) <= batching.PASS_TOKENS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "albert"}, "'albert' is not one of bert, distilbert, roberta, xlm-roberta"),
        ({"architectures": ["BertForTokenClassification"]}, "BertForTokenClassification"),
        ({"hidden_act": "swish"}, "swish"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"hidden_size": 13}, "13"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers"),
        ({"is_decoder": True}, "decoder"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps"),
        ({"architectures": ["BertForSequenceClassification"], "id2label": ["a", "b"]}, "id2label"),
        ({"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "2": "b"}}, "id2label"),
    ],
)
def test_a_config_that_cannot_work_is_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps(json.loads((tiny(tmp_path / "c") / "config.json").read_text()) | changes)
    )
    with pytest.raises(UnsupportedModelError, match=says) as caught:
        bert.parse(tmp_path)
    assert caught.value.remedy


def test_weights_that_contradict_the_config_are_named(tmp_path: Path, checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    for change, says in (
        ({"num_hidden_layers": 3}, "encoder.layer.2"),
        ({"vocab_size": 99}, "word_embeddings"),
        ({"hidden_size": 24}, "word_embeddings"),
    ):
        (checkpoint / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UnsupportedModelError, match=says):
            weights.lay_out(checkpoint / "model.safetensors", bert.parse(checkpoint), "fp32")


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"short",
        b"\xff" * 64,
        None,
        *(len(header).to_bytes(8, "little") + header for header in (b"[]", b'{"w": 1}', b'{"w": {"dtype": "F32"}}')),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, checkpoint: Path, damage: bytes | None) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(UnsupportedModelError, match=r"model\.safetensors"):
        weights.lay_out(checkpoint / "model.safetensors", bert.parse(checkpoint), "fp32")


def test_a_module_that_would_be_left_out_is_refused(checkpoint: Path) -> None:
    kinds = ["Transformer", "Pooling", "Dense", "Normalize"]
    modules = [{"idx": i, "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
    (checkpoint / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsupportedModelError, match=r"modules\.json has Dense, which would be left out"):
        bert.parse(checkpoint)
    (checkpoint / "modules.json").write_text(json.dumps([*modules[:2], modules[3]]))
    assert bert.parse(checkpoint).pooling == "mean"


def test_conversion_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    config = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 24}
    checkpoint = tiny(tmp_path / "big", **config)
    model = bert.parse(checkpoint)
    path = checkpoint / "model.safetensors"
    stored = {name: tensor.make() for name, tensor in tensors.read(path).items()}
    header, data, offset = {}, [], 0
    for name, array in stored.items():  # numpy has no bfloat16: keep the upper halves
        halves = (array.view("<u4") >> 16).astype("<u2").tobytes()
        span = [offset, offset + len(halves)]
        header[name] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": span}
        data.append(halves)
        offset += len(halves)
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(data))
    del stored, data
    tracemalloc.start()
    tensors.write(tmp_path / "weights", weights.lay_out(path, model, "fp32"))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < (tmp_path / "weights").stat().st_size / 4


def test_pooling_follows_the_checkpoint(checkpoint: Path) -> None:
    (checkpoint / "1_Pooling").mkdir()
    pooling = checkpoint / "1_Pooling" / "config.json"
    assert bert.parse(checkpoint).pooling == "mean"
    pooling.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert bert.parse(checkpoint).pooling == "first"
    pooling.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(UnsupportedModelError, match="pooling_mode_max_tokens"):
        bert.parse(checkpoint)
