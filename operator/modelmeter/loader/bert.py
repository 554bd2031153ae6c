"""Describe a checkpoint of BERT or its kin by its config files, and refuse what the forward pass cannot do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelmeter.loader.errors import UnsupportedModelError
from modelmeter.loader.families import FAMILIES, Family

ACTIVATIONS: Final = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
POOLINGS: Final = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
REMEDY: Final = "use an encoder or a ForSequenceClassification of BERT, DistilBERT, RoBERTa or XLM-RoBERTa"
# What stands in layer norm's root where config.json does not say; DistilBERT knows no other.
EPSILON: Final = 1e-12
# What a sentence encoder may consist of; another module, such as Dense, would change every score.
MODULES: Final = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class Bert:
    """A checkpoint that we can serve.

    first_position: the row of the position embeddings that the first token has.
    max_positions: how many tokens a text may have.
    pooling: mean or first: how a sentence encoder's tokens become a sentence.
    scorer: similarity, softmax or sigmoid, see scoring.py.
    classes: the classifier's own names; empty for a sentence encoder.
    """

    family: Family
    layers: int
    heads: int
    hidden_size: int
    vocabulary_size: int
    first_position: int
    max_positions: int
    epsilon: float
    activation: str
    pooling: str
    scorer: str
    classes: tuple[str, ...]


def parse(folder: Path) -> Bert:
    """Read a checkpoint's config.json, modules.json and 1_Pooling/config.json.

    Raises UnsupportedModelError for what the forward pass cannot do.
    """
    config = _object(folder / "config.json")
    model_type = config.get("model_type")
    _require(model_type in FAMILIES, f"model_type {model_type!r} is not one of {', '.join(FAMILIES)}")
    family = FAMILIES[str(model_type)]
    architectures = config.get("architectures") or list(family.architectures)
    architecture = architectures[0] if isinstance(architectures, list) else architectures
    _require(
        architecture in (*family.architectures, family.classifier),
        f"the architecture {architecture} is neither {family.architectures[0]} nor {family.classifier}",
    )
    position = config.get("position_embedding_type", "absolute")
    _require(position == "absolute", f"position_embedding_type {position!r} is not absolute")
    keys = family.settings
    activation = config.get(keys["activation"], "gelu")
    _require(activation in ACTIVATIONS, f"{keys['activation']} {activation!r} is not one of {', '.join(ACTIVATIONS)}")
    _require(not config.get("is_decoder"), "the model is a decoder")
    layers, heads, hidden_size = (_size(config, keys[name]) for name in ("layers", "heads", "hidden_size"))
    _require(hidden_size % heads == 0, f"{keys['hidden_size']} {hidden_size} is no multiple of {heads} heads")
    epsilon = config.get(keys["epsilon"], EPSILON) if "epsilon" in keys else EPSILON
    _require(isinstance(epsilon, float) and epsilon > 0, f"layer_norm_eps {epsilon!r} is no small number")
    first_position = _first_position(config) if family.pads_before_positions else 0
    positions = _size(config, "max_position_embeddings")
    _require(positions > first_position, f"max_position_embeddings {positions} leaves no position for a token")
    is_classifier = architecture == family.classifier
    classes = _classes(config) if is_classifier else ()
    return Bert(
        family=family,
        layers=layers,
        heads=heads,
        hidden_size=hidden_size,
        vocabulary_size=_size(config, "vocab_size"),
        first_position=first_position,
        max_positions=positions - first_position,
        epsilon=epsilon,
        activation=activation,
        pooling=_pooling(folder),
        scorer=_classifier_scorer(config, classes) if is_classifier else "similarity",
        classes=classes,
    )


def _first_position(config: Mapping[str, Any]) -> int:
    """Return the number after the padding token's; transformers leaves out the usual 1."""
    padding = config.get("pad_token_id", 1)
    _require(isinstance(padding, int) and padding >= 0, f"pad_token_id {padding!r} is no token's number")
    return int(padding) + 1


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
        raise UnsupportedModelError(message, REMEDY)
