"""Describe a BERT checkpoint by its config files, and refuse what the forward pass cannot do."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from modelmeter.loader.backend.encoder import ACTIVATIONS, Shape
from modelmeter.loader.errors import UnsupportedModelError

ENCODERS: Final = ("BertModel", "BertForMaskedLM", "BertForPreTraining")
CLASSIFIERS: Final = ("BertForSequenceClassification",)
POOLINGS: Final = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
# What a sentence encoder may consist of; another module, such as Dense, would change every score.
MODULES: Final = ("Transformer", "Pooling", "Normalize")


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
    """Read a checkpoint's config.json, modules.json and 1_Pooling/config.json.

    Raises UnsupportedModelError for what the forward pass cannot do.
    """
    config = _object(folder / "config.json")
    architectures = config.get("architectures") or ["BertModel"]
    architecture = architectures[0] if isinstance(architectures, list) else architectures
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
    epsilon = config.get("layer_norm_eps", 1e-12)
    _require(isinstance(epsilon, float) and epsilon > 0, f"layer_norm_eps {epsilon!r} is no small number")
    shape = Shape(_size(config, "num_hidden_layers"), heads, epsilon, activation, _pooling(folder))
    return Bert(
        shape=shape,
        hidden_size=hidden_size,
        vocabulary_size=_size(config, "vocab_size"),
        max_positions=_size(config, "max_position_embeddings"),
        scorer=_classifier_scorer(config, classes) if is_classifier else "similarity",
        classes=classes,
    )


def _classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the classes' names in the order of the logits; transformers leaves out the usual two."""
    names = config.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    indices = [str(index) for index in range(len(names))]
    _require(isinstance(names, dict) and set(names) == set(indices), "id2label does not name the classes 0, 1, 2, …")
    return tuple(str(names[index]) for index in indices)


def _classifier_scorer(config: Mapping[str, Any], classes: tuple[str, ...]) -> str:
    multi_label = config.get("problem_type") == "multi_label_classification"
    return "sigmoid" if multi_label or len(classes) == 1 else "softmax"


def _pooling(folder: Path) -> str:
    """Return mean or first: how sentence-transformers' files say that tokens become a sentence (mean if absent)."""
    modules = _json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
    others = ", ".join(kind for kind in kinds if kind not in MODULES)
    _require(not others, f"modules.json has {others}, which would be left out here")
    path = folder / "1_Pooling" / "config.json"
    modes = _object(path) if path.is_file() else {"pooling_mode_mean_tokens": True}
    chosen = sorted(mode for mode, on in modes.items() if mode.startswith("pooling_mode_") and on is True)
    name = ", ".join(chosen)
    _require(name in POOLINGS, f"the pooling {name or 'none'} is neither mean nor cls")
    return POOLINGS[name]


def _size(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnsupportedModelError(f"config.json: {key} is {value!r}", f"set {key} to the model's own number")
    return value


def _object(path: Path) -> dict[str, Any]:
    parsed = _json(path)
    if not isinstance(parsed, dict):
        raise UnsupportedModelError(f"{path.name} is no JSON object", "fetch or save the file again")
    return parsed


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnsupportedModelError(f"{path.name} is no JSON: {error}", "fetch or save the file again") from error


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UnsupportedModelError(message, "use a BertModel or a BertForSequenceClassification checkpoint")
