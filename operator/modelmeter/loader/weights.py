"""Turn a BERT checkpoint's tensors into the weights file of our forward pass: other names, other layout."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from modelmeter.loader.backend import tensors
from modelmeter.loader.backend.tensors import Array, Tensor
from modelmeter.loader.bert import Bert
from modelmeter.loader.errors import UnsupportedModelError

PRECISION_DTYPES: Final[Mapping[str, str]] = {"fp32": "<f4", "fp16": "<f2"}

Source = Mapping[str, Tensor]
Entry = tuple[str, tuple[int, ...], Callable[[], Array]]


def convert(folder: Path, bert: Bert, precision: str, target: Path) -> None:
    """Write the weights as `Encoder` wants them; one tensor is in memory at a time."""
    try:
        source = {_canonical(name): tensor for name, tensor in tensors.read(folder / "model.safetensors").items()}
        dtype = PRECISION_DTYPES[precision]
        tensors.write(target, {name: Tensor(dtype, shape, make) for name, shape, make in _layout(source, bert)})
    except KeyError as error:
        raise UnsupportedModelError(
            f"model.safetensors has no tensor {error.args[0]}", "save the whole model with save_pretrained"
        ) from error
    except ValueError as error:
        raise UnsupportedModelError(f"model.safetensors: {error}", "fetch or save the file again") from error


def _layout(source: Source, bert: Bert) -> Iterator[Entry]:
    """Yield name, shape and maker of each weight of ours; matrices are [in, out]: x @ W is the layer."""
    h = bert.hidden_size
    words = _checked(source, "embeddings.word_embeddings.weight", (bert.vocabulary_size, h))
    positions = _checked(source, "embeddings.position_embeddings.weight", (bert.max_positions, h))
    kinds = source["embeddings.token_type_embeddings.weight"].shape[0]
    types = _checked(source, "embeddings.token_type_embeddings.weight", (kinds, h))
    yield "embeddings.word", words.shape, words.make
    # A sentence alone has token type 0 throughout.
    yield "embeddings.position", positions.shape, lambda: positions.make().astype("<f4") + types.make()[0]
    yield from _norm(source, "embeddings.LayerNorm", "embeddings.norm", h)
    inner = source["encoder.layer.0.intermediate.dense.weight"].shape[0]
    for layer in range(bert.shape.layers):
        theirs, ours = f"encoder.layer.{layer}", f"layer.{layer}"
        yield from _stacked(source, f"{theirs}.attention.self", f"{ours}.qkv", h)
        yield from _dense(source, f"{theirs}.attention.output.dense", f"{ours}.attention", (h, h))
        yield from _norm(source, f"{theirs}.attention.output.LayerNorm", f"{ours}.attention.norm", h)
        yield from _dense(source, f"{theirs}.intermediate.dense", f"{ours}.up", (h, inner))
        yield from _dense(source, f"{theirs}.output.dense", f"{ours}.down", (inner, h))
        yield from _norm(source, f"{theirs}.output.LayerNorm", f"{ours}.norm", h)
    if bert.classes:
        yield from _dense(source, "pooler.dense", "pooler", (h, h))
        yield from _dense(source, "classifier", "classifier", (h, len(bert.classes)))


def _dense(source: Source, theirs: str, ours: str, shape: tuple[int, int]) -> Iterator[Entry]:
    weight = _checked(source, f"{theirs}.weight", shape[::-1])
    yield f"{ours}.weight", shape, lambda: weight.make().T
    yield f"{ours}.bias", shape[1:], _checked(source, f"{theirs}.bias", shape[1:]).make


def _norm(source: Source, theirs: str, ours: str, size: int) -> Iterator[Entry]:
    for part in ("weight", "bias"):
        yield f"{ours}.{part}", (size,), _checked(source, f"{theirs}.{part}", (size,)).make


def _stacked(source: Source, theirs: str, ours: str, h: int) -> Iterator[Entry]:
    """Put query, key and value side by side: one product instead of three."""
    for part, shape in (("weight", (h, h)), ("bias", (h,))):
        three = [_checked(source, f"{theirs}.{name}.{part}", shape) for name in ("query", "key", "value")]
        make = partial(_side_by_side, three)
        yield f"{ours}.{part}", (*shape[:-1], 3 * h), make


def _side_by_side(parts: list[Tensor]) -> Array:
    return np.concatenate([part.make().T for part in parts], axis=-1)


def _checked(source: Source, name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor; KeyError if it lacks, ValueError if its shape is another."""
    tensor = source[name]
    if tensor.shape != shape:
        raise ValueError(f"{name} has the shape {tensor.shape}, config.json says {shape}")
    return tensor


def _canonical(name: str) -> str:
    """bert.encoder.layer.0.output.LayerNorm.gamma -> encoder.layer.0.output.LayerNorm.weight."""
    name = name.removeprefix("bert.")
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):  # checkpoints of TensorFlow descent
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name
