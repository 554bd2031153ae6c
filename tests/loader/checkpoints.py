"""Builds tiny random BERT checkpoints, as transformers would save them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "goal", "striker", "sports", "cooking", "pasta", "salt", "##s", "a", "b"]
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
    "vocab_size": len(WORDS),
}


def tiny(
    folder: Path,
    seed: int = 7,
    dtype: str = "<f4",
    rename: Callable[[str], str] = str,
    without: str = "-",
    **changes: Any,
) -> Path:
    """Write a complete checkpoint; `changes` go to config.json. Classifiers get their head.

    rename: a tensor's name in the file. without: leaves out the tensors whose names hold it.
    """
    config = CONFIG | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer().save(str(folder / "tokenizer.json"))
    random = np.random.default_rng(seed)
    tensors = {
        rename(name): (random.normal(0, 0.5, shape) + (1.0 if name.endswith("LayerNorm.weight") else 0.0)).astype(dtype)
        for name, shape in shapes(config).items()
        if without not in name
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


def tokenizer() -> Tokenizer:
    """A WordPiece tokenizer with BERT's own steps."""
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As in the wild: padding that a loader must not inherit.
    made.enable_padding(length=16)
    return made


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors."""
    h, inner = config["hidden_size"], config["intermediate_size"]
    classifier = config["architectures"] == ["BertForSequenceClassification"]
    dense: dict[str, tuple[int, int]] = {}
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}"
        dense |= {f"{prefix}.attention.self.{part}": (h, h) for part in ("query", "key", "value")}
        dense[f"{prefix}.attention.output.dense"] = (h, h)
        dense[f"{prefix}.intermediate.dense"] = (inner, h)
        dense[f"{prefix}.output.dense"] = (h, inner)
        norms += [f"{prefix}.attention.output.LayerNorm", f"{prefix}.output.LayerNorm"]
    dense["pooler.dense"] = (h, h)
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], h),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], h),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], h),
    }
    for name, shape in dense.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        found |= {f"{name}.weight": (h,), f"{name}.bias": (h,)}
    if not classifier:
        return found
    head = {"classifier.weight": (len(config["id2label"]), h), "classifier.bias": (len(config["id2label"]),)}
    return {f"bert.{name}": shape for name, shape in found.items()} | head
