"""Lay a checkpoint's tensors out for our forward pass: other names, other layout, made when their turn comes.

Ours are named alike for all families. Matrices are [in, out]: x W is the layer.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelmeter.loader import tensors
from modelmeter.loader.bert import Bert
from modelmeter.loader.errors import UnsupportedModelError
from modelmeter.loader.quantization import quantized
from modelmeter.loader.tensors import Array, Tensor

PRECISION_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {"fp32": np.dtype("<f4"), "fp16": np.dtype("<f2")}
# Names of TensorFlow descent.
OLD_ENDINGS: Final = ((".gamma", ".weight"), (".beta", ".bias"))

Source = Mapping[str, Tensor]
Entry = tuple[str, tuple[int, ...], Callable[[], Array]]


def lay_out(path: Path, bert: Bert, precision: str) -> dict[str, Tensor]:
    """Return the weights of a safetensors file as the forward pass wants them.

    Raises UnsupportedModelError if the file is damaged or is not what config.json says.
    """
    try:
        source = {_canonical(name, bert.family.prefix): tensor for name, tensor in tensors.read(path).items()}
        entries = _entries(source, bert)
        if precision == "int8":
            return {name: tensor for entry in entries for name, tensor in quantized(*entry).items()}
        dtype = PRECISION_DTYPES[precision]
        return {name: Tensor(dtype, shape, make) for name, shape, make in entries}
    except KeyError as error:
        raise UnsupportedModelError(
            f"{path.name} has no tensor {error.args[0]}", "save the whole model with save_pretrained"
        ) from error
    except ValueError as error:
        raise UnsupportedModelError(f"{path.name}: {error}", "fetch or save the file again") from error


def _entries(source: Source, bert: Bert) -> Iterator[Entry]:
    family, h = bert.family, bert.hidden_size
    words = _checked(source, "embeddings.word_embeddings.weight", (bert.vocabulary_size, h))
    yield "embeddings.word", words.shape, words.make
    yield "embeddings.position", (bert.max_positions, h), _positions(source, bert)
    yield from _norm(source, "embeddings.LayerNorm", "embeddings.norm", h)
    inner = source[f"{family.layer}.0.{family.tensors['up']}.weight"].shape[0]
    for layer in range(bert.layers):
        theirs = {part: f"{family.layer}.{layer}.{name}" for part, name in family.tensors.items()}
        ours = f"layer.{layer}"
        yield from _stacked(source, [theirs[part] for part in ("query", "key", "value")], f"{ours}.qkv", h)
        yield from _dense(source, theirs["attention"], f"{ours}.attention", (h, h))
        yield from _norm(source, theirs["attention.norm"], f"{ours}.attention.norm", h)
        yield from _dense(source, theirs["up"], f"{ours}.up", (h, inner))
        yield from _dense(source, theirs["down"], f"{ours}.down", (inner, h))
        yield from _norm(source, theirs["norm"], f"{ours}.norm", h)
    if bert.classes:
        for number, step in enumerate(family.head):
            size = len(bert.classes) if number == len(family.head) - 1 else h
            yield from _dense(source, step.tensor, f"head.{number}", (h, size))


def _positions(source: Source, bert: Bert) -> Callable[[], Array]:
    """Return the maker of the rows that tokens can have; token type 0 throughout is added to them."""
    h, first = bert.hidden_size, bert.first_position
    positions = _checked(source, "embeddings.position_embeddings.weight", (first + bert.max_positions, h))
    if not bert.family.has_token_types:
        return lambda: positions.make()[first:]
    name = "embeddings.token_type_embeddings.weight"
    types = _checked(source, name, (source[name].shape[0], h))
    return lambda: positions.make()[first:].astype("<f4") + types.make()[0]


def _dense(source: Source, theirs: str, ours: str, shape: tuple[int, int]) -> Iterator[Entry]:
    weight = _checked(source, f"{theirs}.weight", shape[::-1])
    yield f"{ours}.weight", shape, lambda: weight.make().T
    yield f"{ours}.bias", shape[1:], _checked(source, f"{theirs}.bias", shape[1:]).make


def _norm(source: Source, theirs: str, ours: str, size: int) -> Iterator[Entry]:
    for part in ("weight", "bias"):
        yield f"{ours}.{part}", (size,), _checked(source, f"{theirs}.{part}", (size,)).make


def _stacked(source: Source, theirs: list[str], ours: str, h: int) -> Iterator[Entry]:
    """Put query, key and value side by side: one product instead of three."""
    for part, shape in (("weight", (h, h)), ("bias", (h,))):
        three = [_checked(source, f"{name}.{part}", shape) for name in theirs]
        yield f"{ours}.{part}", (*shape[:-1], 3 * h), partial(_side_by_side, three)


def _side_by_side(parts: list[Tensor]) -> Array:
    return np.concatenate([part.make().T for part in parts], axis=-1)


def _checked(source: Source, name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor; KeyError if it lacks, ValueError if its shape is another."""
    tensor = source[name]
    if tensor.shape != shape:
        raise ValueError(f"{name} has the shape {tensor.shape}, config.json says {shape}")
    return tensor


def _canonical(name: str, prefix: str) -> str:
    """bert.encoder.layer.0.output.LayerNorm.gamma -> encoder.layer.0.output.LayerNorm.weight."""
    name = name.removeprefix(prefix)
    for old, new in OLD_ENDINGS:
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name
