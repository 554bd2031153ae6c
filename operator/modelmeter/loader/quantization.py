"""Round matrices to whole numbers of 8 bits, each channel by a scale of its own, with onnxruntime's quantizer.

What is multiplied by such a matrix is rounded while serving (dynamic quantization, graph.py). Blocks of a matrix are
rounded one after another, so that beside the result little is in memory.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from onnx import TensorProto
from onnxruntime.quantization.quant_utils import compute_scale_zp, get_qmin_qmax_for_qType, quantize_nparray

from modelmeter.loader.tensors import Array, Tensor

WORDS: Final = "embeddings.word"
LAYERS: Final = "layer."
"""What is rounded: the words' embeddings and the layers' matrices, which are nearly all of a model."""
# Of 7 bits: processors without VNNI add two products in 16 bits, which 8 would overflow: they would answer otherwise.
LOWEST, HIGHEST = get_qmin_qmax_for_qType(TensorProto.INT8, reduce_range=True, symmetric=True)
BLOCK_NUMBERS: Final = 1 << 22


def quantized(name: str, shape: tuple[int, ...], make: Callable[[], Array]) -> dict[str, Tensor]:
    """Return a weight of the forward pass, or what stands for it: its whole numbers, and NAME.scale.

    A channel is a column of a matrix (an output of its layer), and a row of the words' embeddings.
    """
    if len(shape) != 2 or not name.startswith((WORDS, LAYERS)):
        return {name: Tensor(np.dtype("<f4"), shape, make)}
    axis = 1 if name == WORDS else 0
    scales = partial(_scales, make, axis)
    return {
        name: Tensor(np.dtype("i1"), shape, partial(_rounded, make, scales)),
        f"{name}.scale": Tensor(np.dtype("<f4"), (shape[0], 1) if axis else shape[1:], scales),
    }


def _scales(make: Callable[[], Array], axis: int) -> Array:
    """Return what 1 stands for in each channel; axis: along which a channel runs."""
    array = make()
    ends = zip(array.min(axis).astype("<f4"), array.max(axis).astype("<f4"), strict=True)
    scales = [compute_scale_zp(low, high, LOWEST, HIGHEST, symmetric=True)[1] for low, high in ends]
    column = np.array(scales, "<f4")
    return column[:, None] if axis else column


def _rounded(make: Callable[[], Array], scales: Callable[[], Array]) -> Array:
    array, steps = make(), scales()
    found = np.empty(array.shape, "i1")
    rows = max(1, BLOCK_NUMBERS // array.shape[1])
    for start in range(0, len(array), rows):
        block = slice(start, start + rows)
        found[block] = quantize_nparray(TensorProto.INT8, array[block], steps[block] if steps.ndim > 1 else steps, 0)
    return found
