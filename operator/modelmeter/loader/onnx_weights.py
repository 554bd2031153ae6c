"""Take the large weights out of an ONNX graph: they become its inputs, and are read when their turn comes."""

from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from modelmeter.loader.errors import UnsupportedModelError
from modelmeter.loader.tensors import Array, Tensor

# Smaller ones are shapes, axes and numbers, that operators must find in the graph.
LARGE_BYTES: Final = 1024
# Others, such as those of 4 bits, stay in the graph.
TYPES: Final = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE,
    TensorProto.INT64, TensorProto.INT32, TensorProto.INT8, TensorProto.UINT8,
)  # fmt: skip
DATA_ENDINGS: Final = (".data", "_data")
"""What the name of the data beside the file adds to the file's own."""


def detach(model: onnx.ModelProto, path: Path) -> dict[str, Tensor]:
    """Turn the graph's large initializers into inputs, and return them by their names; path: where it was read.

    Raises UnsupportedModelError if the data that they refer to is not there.
    """
    graph, weights = model.graph, {}
    initializers = list(graph.initializer)
    names = {tensor.name for tensor in initializers}
    # Files of before 2019 name them among the inputs, too.
    inputs = [value for value in graph.input if value.name not in names]
    del graph.initializer[:]
    del graph.input[:]
    graph.input.extend(inputs)
    for proto in initializers:
        outside = external_data_helper.uses_external_data(proto)
        if proto.data_type not in TYPES and outside:
            raise _unreadable(path, f"has {proto.name}, of an unusual type, outside itself")
        if proto.data_type not in TYPES:
            graph.initializer.append(proto)
            continue
        tensor = _outside(proto, path) if outside else _inside(proto, path.name)
        if prod(tensor.shape) * tensor.dtype.itemsize >= LARGE_BYTES:
            weights[proto.name] = tensor
            graph.input.append(helper.make_tensor_value_info(proto.name, proto.data_type, proto.dims))
        else:
            graph.initializer.append(numpy_helper.from_array(tensor.make(), proto.name) if outside else proto)
    for proto in _constants(graph):
        if external_data_helper.uses_external_data(proto):
            raise _unreadable(path, f"has data outside itself in the constant {proto.name!r}")
    return weights


def _inside(proto: TensorProto, name: str) -> Tensor:
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(proto.data_type))
    return Tensor(dtype, tuple(proto.dims), partial(_unpacked, proto, name))


def _unpacked(proto: TensorProto, name: str) -> Array:
    try:
        return numpy_helper.to_array(proto)
    except (ValueError, TypeError) as error:
        raise UnsupportedModelError(
            f"{name}: the weight {proto.name} is damaged: {error}", "fetch or export it again"
        ) from error


def _outside(proto: TensorProto, path: Path) -> Tensor:
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    known = [path.name + ending for ending in DATA_ENDINGS]
    data = path.with_name(location) if location in known else path
    if data == path:
        raise _unreadable(path, f"refers to the data {location!r}, not to {' or '.join(known)}")
    if not data.is_file():
        raise UnsupportedModelError(f"{path.name} refers to {location}, which the source lacks", f"add {location}")
    dtype, shape = np.dtype(helper.tensor_dtype_to_np_dtype(proto.data_type)), tuple(proto.dims)
    offset = int(entries["offset"]) if entries.get("offset", "").isdecimal() else 0
    if min(shape, default=0) < 0 or offset + prod(shape) * dtype.itemsize > data.stat().st_size:
        raise UnsupportedModelError(f"{location} was cut short: it lacks {proto.name}", "fetch or export it again")
    return Tensor(dtype, shape, partial(_mapped, data, dtype, offset, shape))


def _mapped(data: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]) -> Array:
    return np.memmap(data, dtype, "r", offset, shape) if prod(shape) else np.empty(shape, dtype)


def _constants(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Yield the tensors of all nodes' attributes, in branches and loops, too."""
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer
                yield from _constants(inner)


def _unreadable(path: Path, what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{path.name} {what}",
        f"save it by onnx.save(..., save_as_external_data=True, location={path.name + DATA_ENDINGS[0]!r})",
    )
