"""Builds tiny random checkpoints of BERT and its kin, as transformers would save them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.loader.vocabulary import TOKENIZERS, size

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "hidden_size": 12,
    "intermediate_size": 20,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 24,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": size("bert"),
}
# 1 is padding, so that a text's positions begin at 2.
ROBERTA = CONFIG | {"layer_norm_eps": 1e-5, "max_position_embeddings": 26, "type_vocab_size": 1, "pad_token_id": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": CONFIG,
    "distilbert": {
        "model_type": "distilbert",
        "architectures": ["DistilBertModel"],
        "activation": "gelu",
        "dim": 12,
        "hidden_dim": 20,
        "max_position_embeddings": 24,
        "n_heads": 3,
        "n_layers": 2,
        "vocab_size": size("distilbert"),
    },
    "roberta": ROBERTA | {"model_type": "roberta", "architectures": ["RobertaModel"], "vocab_size": size("roberta")},
    "xlm-roberta": ROBERTA
    | {"model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"], "vocab_size": size("xlm-roberta")},
}
CLASSIFIERS = {
    "bert": "BertForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
}


def tiny(
    folder: Path,
    seed: int = 7,
    dtype: str = "<f4",
    rename: Callable[[str], str] = str,
    without: str = "-",
    family: str = "bert",
    **changes: Any,
) -> Path:
    """Write a complete checkpoint; `changes` go to config.json. Classifiers get their head.

    rename: a tensor's name in the file. without: leaves out the tensors whose names hold it.
    """
    config = CONFIGS[family] | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    TOKENIZERS[family]().save(str(folder / "tokenizer.json"))
    random = np.random.default_rng(seed)
    tensors = {
        rename(name): (random.normal(0, 0.5, shape) + is_norm(name)).astype(dtype)
        for name, shape in shapes(config).items()
        if without not in name
    }
    save_file(tensors, folder / "model.safetensors")
    # For other users to read, as it is of what was downloaded.
    (folder / "model.safetensors").chmod(0o644)
    return folder


def is_norm(name: str) -> bool:
    """Whether a tensor is a layer norm's weight, LayerNorm or layer_norm, which is near 1."""
    return name.lower().replace("_", "").endswith("layernorm.weight")


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors."""
    family = config["model_type"]
    dense, norms, prefix, head = (_distilbert if family == "distilbert" else _bert)(config)
    h = config.get("hidden_size") or config["dim"]
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], h),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], h),
    }
    if "type_vocab_size" in config:
        found["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], h)
    for name in ["embeddings.LayerNorm", *norms]:
        found |= {f"{name}.weight": (h,), f"{name}.bias": (h,)}
    found |= _dense(dense)
    if config["architectures"] != [CLASSIFIERS[family]]:
        return found
    return {f"{prefix}{name}": shape for name, shape in found.items()} | _dense(head)


Parts = tuple[dict[str, tuple[int, int]], list[str], str, dict[str, tuple[int, int]]]


def _dense(layers: dict[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    weights: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in layers.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in layers.items()}


def _bert(config: dict[str, Any]) -> Parts:
    """BERT's and RoBERTa's: dense layers, norms, the prefix and the head of a classifier."""
    h, inner, classes = config["hidden_size"], config["intermediate_size"], len(config.get("id2label", "01"))
    dense: dict[str, tuple[int, int]] = {}
    norms = []
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}"
        dense |= {f"{prefix}.attention.self.{part}": (h, h) for part in ("query", "key", "value")}
        dense[f"{prefix}.attention.output.dense"] = (h, h)
        dense[f"{prefix}.intermediate.dense"] = (inner, h)
        dense[f"{prefix}.output.dense"] = (h, inner)
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
    if config["model_type"] != "bert":
        return dense, norms, "roberta.", {"classifier.dense": (h, h), "classifier.out_proj": (classes, h)}
    return dense | {"pooler.dense": (h, h)}, norms, "bert.", {"classifier": (classes, h)}


def _distilbert(config: dict[str, Any]) -> Parts:
    """DistilBERT's: dense layers, norms, the prefix and the head of a classifier."""
    h, inner, classes = config["dim"], config["hidden_dim"], len(config.get("id2label", "01"))
    dense: dict[str, tuple[int, int]] = {}
    norms = []
    for layer in range(config["n_layers"]):
        prefix = f"transformer.layer.{layer}"
        dense |= {f"{prefix}.attention.{part}_lin": (h, h) for part in ("q", "k", "v", "out")}
        dense |= {f"{prefix}.ffn.lin1": (inner, h), f"{prefix}.ffn.lin2": (h, inner)}
        norms += [f"{prefix}.sa_layer_norm", f"{prefix}.output_layer_norm"]
    return dense, norms, "distilbert.", {"pre_classifier": (h, h), "classifier": (classes, h)}
