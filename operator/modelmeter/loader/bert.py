"""Read a BERT checkpoint: check its config, name its weights, lay them out for our forward pass."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelmeter.loader.backend import tensors
from modelmeter.loader.backend.encoder import ACTIVATIONS, Shape
from modelmeter.loader.backend.tensors import Array, Planned
from modelmeter.loader.errors import UnsupportedModelError

ENCODERS: Final = ("BertModel", "BertForMaskedLM", "BertForPreTraining")
CLASSIFIERS: Final = ("BertForSequenceClassification",)
PRECISION_DTYPES: Final[Mapping[str, str]] = {"fp32": "<f4", "fp16": "<f2"}
POOLINGS: Final = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}


@dataclass(frozen=True, slots=True)
class Bert:
    """A checkpoint that we can serve.

    scorer: similarity, softmax or sigmoid, see backend/scoring.py.
    classes: the classifier's own names; empty for a sentence encoder.
    """

    shape: Shape
    hidden_size: int
    vocabulary_size: int
    max_positions: int
    scorer: str
    classes: tuple[str, ...]

    def settings(self) -> dict[str, Any]:
        """Return what the backend needs beside the weights."""
        return {"shape": asdict(self.shape), "scorer": self.scorer}


def parse(folder: Path) -> Bert:
    """Read a checkpoint's config.json and 1_Pooling/config.json; refuse what the forward pass cannot do."""
    config = _json(folder / "config.json")
    architecture = (config.get("architectures") or ["BertModel"])[0]
    _require(config.get("model_type") == "bert", f"model_type {config.get('model_type')!r} is not bert")
    _require(
        architecture in ENCODERS + CLASSIFIERS,
        f"the architecture {architecture} is neither BertModel nor BertForSequenceClassification",
    )
    position = config.get("position_embedding_type", "absolute")
    _require(position == "absolute", f"position_embedding_type {position!r} is not absolute")
    activation = config.get("hidden_act", "gelu")
    _require(activation in ACTIVATIONS, f"hidden_act {activation!r} is not one of {', '.join(ACTIVATIONS)}")
    _require(not config.get("is_decoder"), "the model is a decoder")
    heads, hidden_size = _size(config, "num_attention_heads"), _size(config, "hidden_size")
    _require(hidden_size % heads == 0, f"hidden_size {hidden_size} is no multiple of {heads} heads")
    is_classifier = architecture in CLASSIFIERS
    classes = _classes(config) if is_classifier else ()
    epsilon = float(config.get("layer_norm_eps", 1e-12))
    shape = Shape(_size(config, "num_hidden_layers"), heads, epsilon, activation, _pooling(folder))
    return Bert(
        shape=shape,
        hidden_size=hidden_size,
        vocabulary_size=_size(config, "vocab_size"),
        max_positions=_size(config, "max_position_embeddings"),
        scorer=_classifier_scorer(config, classes) if is_classifier else "similarity",
        classes=classes,
    )


def convert(folder: Path, bert: Bert, precision: str, target: Path) -> None:
    """Write the weights as `Encoder` wants them; one tensor is in memory at a time."""
    try:
        source = {_canonical(name): array for name, array in tensors.read(folder / "model.safetensors").items()}
        layout = {
            name: Planned(PRECISION_DTYPES[precision], shape, make) for name, shape, make in _layout(source, bert)
        }
        tensors.write(target, layout)
    except KeyError as error:
        raise UnsupportedModelError(
            f"model.safetensors has no tensor {error.args[0]}", "save the whole model with save_pretrained"
        ) from error
    except ValueError as error:
        raise UnsupportedModelError(f"model.safetensors: {error}", "fetch or save the file again") from error


Entry = tuple[str, tuple[int, ...], Callable[[], Array]]


def _layout(source: Mapping[str, Array], bert: Bert) -> Iterator[Entry]:
    """Yield name, shape and maker of each weight of ours; matrices are [in, out]: x @ W is the layer."""
    h = bert.hidden_size
    words, positions = (
        source["embeddings.word_embeddings.weight"],
        source["embeddings.position_embeddings.weight"],
    )
    types = source["embeddings.token_type_embeddings.weight"]
    _expect(words, (bert.vocabulary_size, h), "embeddings.word_embeddings.weight")
    _expect(positions, (bert.max_positions, h), "embeddings.position_embeddings.weight")
    yield "embeddings.word", words.shape, lambda: words
    yield "embeddings.position", positions.shape, lambda: positions.astype("<f4") + types[0].astype("<f4")
    yield from _norm(source, "embeddings.LayerNorm", "embeddings.norm", h)
    inner = source["encoder.layer.0.intermediate.dense.weight"].shape[0]
    for layer in range(bert.shape.layers):
        theirs, ours = f"encoder.layer.{layer}", f"layer.{layer}"
        parts = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
        for part in parts:
            _expect(source[f"{part}.weight"], (h, h), f"{part}.weight")
            _expect(source[f"{part}.bias"], (h,), f"{part}.bias")
        yield f"{ours}.qkv.weight", (h, 3 * h), partial(_stacked, source, parts, "weight")
        yield f"{ours}.qkv.bias", (3 * h,), partial(_stacked, source, parts, "bias")
        yield from _dense(source, f"{theirs}.attention.output.dense", f"{ours}.attention", (h, h))
        yield from _norm(source, f"{theirs}.attention.output.LayerNorm", f"{ours}.attention.norm", h)
        yield from _dense(source, f"{theirs}.intermediate.dense", f"{ours}.up", (h, inner))
        yield from _dense(source, f"{theirs}.output.dense", f"{ours}.down", (inner, h))
        yield from _norm(source, f"{theirs}.output.LayerNorm", f"{ours}.norm", h)
    if bert.classes:
        yield from _dense(source, "pooler.dense", "pooler", (h, h))
        yield from _dense(source, "classifier", "classifier", (h, len(bert.classes)))


def _dense(source: Mapping[str, Array], theirs: str, ours: str, shape: tuple[int, int]) -> Iterator[Entry]:
    weight, bias = source[f"{theirs}.weight"], source[f"{theirs}.bias"]
    _expect(weight, shape[::-1], f"{theirs}.weight")
    _expect(bias, shape[1:], f"{theirs}.bias")
    yield f"{ours}.weight", shape, lambda: weight.T
    yield f"{ours}.bias", shape[1:], lambda: bias


def _norm(source: Mapping[str, Array], theirs: str, ours: str, size: int) -> Iterator[Entry]:
    weight, bias = source[f"{theirs}.weight"], source[f"{theirs}.bias"]
    _expect(weight, (size,), f"{theirs}.weight")
    _expect(bias, (size,), f"{theirs}.bias")
    yield f"{ours}.weight", (size,), lambda: weight
    yield f"{ours}.bias", (size,), lambda: bias


def _stacked(source: Mapping[str, Array], parts: list[str], kind: str) -> Array:
    """Put query, key and value side by side: one product instead of three."""
    return np.concatenate([source[f"{part}.{kind}"].T for part in parts], axis=-1)


def _canonical(name: str) -> str:
    """bert.encoder.layer.0.output.LayerNorm.gamma -> encoder.layer.0.output.LayerNorm.weight."""
    name = name.removeprefix("bert.")
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):  # checkpoints of TensorFlow descent
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name


def _classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(config.get("num_labels", 2))}
    return tuple(str(names[key]) for key in sorted(names, key=int))


def _classifier_scorer(config: Mapping[str, Any], classes: tuple[str, ...]) -> str:
    multi_label = config.get("problem_type") == "multi_label_classification"
    return "sigmoid" if multi_label or len(classes) == 1 else "softmax"


def _pooling(folder: Path) -> str:
    path = folder / "1_Pooling" / "config.json"
    modes = _json(path) if path.is_file() else {"pooling_mode_mean_tokens": True}
    chosen = sorted(mode for mode, on in modes.items() if mode.startswith("pooling_mode_") and on is True)
    name = ", ".join(chosen)
    _require(name in POOLINGS, f"the pooling {name or 'none'} is neither mean nor cls")
    return POOLINGS[name]


def _size(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnsupportedModelError(f"config.json: {key} is {value!r}", f"set {key} to the model's own number")
    return value


def _json(path: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UnsupportedModelError(f"{path.name} is no JSON: {error}", "fetch or save the file again") from error
    _require(isinstance(parsed, dict), f"{path.name} is no JSON object")
    return parsed  # type: ignore[no-any-return]


def _expect(array: Array, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, config.json says {shape}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UnsupportedModelError(message, "use a BertModel or a BertForSequenceClassification checkpoint")
