"""Weights as whole numbers: how far they are from what they stand for, and what it takes to make them."""

import tracemalloc

import numpy as np
import pytest

from modelmeter.loader.quantization import BLOCK_NUMBERS, quantized
from modelmeter.loader.tensors import Array

HIGHEST = 64  # two products of it and 255 fit in 16 bits


def matrix(rows: int, columns: int) -> Array:
    """Channels of very different size, one of zeros."""
    random = np.random.default_rng(3)
    array = random.normal(0, 1, (rows, columns)).astype("<f4") * np.geomspace(1e-3, 1e3, columns, dtype="<f4")
    array[:, 2] = 0
    return array


@pytest.mark.parametrize(("name", "axis"), [("layer.0.up.weight", 0), ("embeddings.word", 1)])
def test_each_channel_has_its_own_step(name: str, axis: int) -> None:
    array = matrix(40, 30) if axis == 0 else matrix(30, 40).T.copy()
    found = quantized(name, array.shape, lambda: array)
    whole, scale = (found[part].make() for part in (name, f"{name}.scale"))
    assert (whole.dtype, whole.shape, scale.shape) == (np.int8, found[name].shape, found[f"{name}.scale"].shape)
    assert np.abs(whole).max() <= HIGHEST
    largest = np.abs(array).max(axis, keepdims=True)
    assert (np.abs(whole * scale - array) <= 0.51 * largest / HIGHEST).all()


@pytest.mark.parametrize("name", ["layer.0.up.bias", "layer.0.norm.weight", "head.0.weight", "embeddings.position"])
def test_what_is_small_stays_as_it_is(name: str) -> None:
    shape = (4, 5) if name in ("head.0.weight", "embeddings.position") else (5,)
    array = np.ones(shape, "<f4")
    assert [(key, tensor.dtype) for key, tensor in quantized(name, shape, lambda: array).items()] == [(name, "<f4")]


def test_memory_is_that_of_the_result_and_a_block() -> None:
    array = np.ones((BLOCK_NUMBERS // 64, 1024), "<f4")  # 16 blocks
    tensor = quantized("layer.0.up.weight", array.shape, lambda: array)["layer.0.up.weight"]
    tracemalloc.start()
    assert tensor.make().nbytes == array.size
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < array.size + 5 * 4 * BLOCK_NUMBERS
