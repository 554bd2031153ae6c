"""Read safetensors files and write the weights beside an ONNX file, with numpy alone.

The format of safetensors: 8 bytes, little-endian, the length of a JSON header; the header, name -> dtype, shape
and offsets; the tensors' bytes. Reading maps the file; writing makes one tensor at a time, and converts a block
of it at a time, so that a model of any size is converted in little memory.
"""

import json
import math
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
}
HEADER_BYTES_LIMIT: Final = 100_000_000
# So that ONNX Runtime maps each tensor by itself.
ALIGNMENT_BYTES: Final = 4096
BLOCK_BYTES: Final = 64 << 20


class Span(NamedTuple):
    """Where a tensor lies in a file."""

    offset: int
    size_bytes: int


class Tensor(NamedTuple):
    """A tensor whose array is made when its turn comes; `dtype`: of the file it is read from or written to."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    make: Callable[[], Array]


def read(path: Path) -> dict[str, Tensor]:
    """Map a safetensors file. Raises ValueError if it is not one."""
    with path.open("rb") as file:
        size_bytes = path.stat().st_size
        if size_bytes < 8:
            raise ValueError(f"{path.name} holds {size_bytes} bytes, too few for a safetensors file")
        (header_bytes,) = struct.unpack("<Q", file.read(8))
        if header_bytes > min(HEADER_BYTES_LIMIT, size_bytes - 8):
            raise ValueError(f"{path.name} is not a safetensors file, or it was cut short")
        header = json.loads(file.read(header_bytes))
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return {
            name: _tensor(view, 8 + header_bytes, name, entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} has a damaged header: {error!r}") from error


def write(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Span]:
    """Write the tensors' bytes one after another, aligned to pages; return where each lies."""
    spans: dict[str, Span] = {}
    with path.open("wb") as file:
        for name, planned in tensors.items():
            file.seek(-(-file.tell() // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
            array, offset = planned.make(), file.tell()
            if array.shape != planned.shape:
                raise ValueError(f"{name} has the shape {array.shape}, planned was {planned.shape}")
            for block in _blocks(array, planned.dtype):
                file.write(block.data)
            spans[name] = Span(offset, file.tell() - offset)
    return spans


def _blocks(array: Array, dtype: np.dtype[Any]) -> Iterator[Array]:
    """Yield an array's rows in another type, so many at a time as BLOCK_BYTES hold."""
    rows = max(1, BLOCK_BYTES // (math.prod(array.shape[1:]) * dtype.itemsize))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows], dtype=dtype)


def _tensor(view: mmap.mmap, base: int, name: str, kind: str, shape: tuple[int, ...], start: int, end: int) -> Tensor:
    if kind not in DTYPES:
        raise ValueError(f"tensor {name} has the type {kind}, which is not read here")
    dtype = DTYPES[kind]
    count = math.prod(shape)
    fits = 0 <= start <= end <= len(view) - base and min(shape, default=0) >= 0
    if not fits or end - start != count * dtype.itemsize:
        raise ValueError(f"tensor {name} does not lie within the file, which was cut short or is damaged")

    return Tensor(dtype, shape, lambda: np.frombuffer(view, dtype, count, base + start).reshape(shape))
