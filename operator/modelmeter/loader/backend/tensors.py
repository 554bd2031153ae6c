"""Read and write safetensors files with numpy alone.

The format: 8 bytes, little-endian, the length of a JSON header; the header, name -> dtype, shape and offsets;
the tensors' bytes. Reading maps the file, so that instances of one model share its pages; writing makes one
tensor at a time, so that a model of any size is converted in the memory of its largest tensor.
"""

import json
import math
import mmap
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES: Final[Mapping[str, str]] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "U8": "u1",
}
NAMES: Final[Mapping[str, str]] = {numpy_name: name for name, numpy_name in DTYPES.items()}
HEADER_BYTES_LIMIT: Final = 100_000_000


class Tensor(NamedTuple):
    """A tensor whose array is made when its turn comes; `dtype` is numpy's name of what `make` returns."""

    dtype: str
    shape: tuple[int, ...]
    make: Callable[[], Array]


def read(path: Path) -> dict[str, Tensor]:
    """Map a safetensors file; bfloat16 is widened to float32 when made. Raises ValueError if it is not one."""
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


def write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file."""
    header: dict[str, Any] = {}
    offset = 0
    for name, planned in tensors.items():
        end = offset + math.prod(planned.shape) * np.dtype(planned.dtype).itemsize
        header[name] = {
            "dtype": NAMES[planned.dtype],
            "shape": list(planned.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 64)  # so that mapped tensors are aligned
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)))
        file.write(encoded)
        for name, planned in tensors.items():
            array = np.ascontiguousarray(planned.make(), dtype=planned.dtype)
            if array.shape != planned.shape:
                raise ValueError(f"{name} has the shape {array.shape}, planned was {planned.shape}")
            file.write(array.data)


def _tensor(view: mmap.mmap, base: int, name: str, kind: str, shape: tuple[int, ...], start: int, end: int) -> Tensor:
    bfloat16 = kind == "BF16"
    if not bfloat16 and kind not in DTYPES:
        raise ValueError(f"tensor {name} has the type {kind}, which is not read here")
    dtype = np.dtype("<u2" if bfloat16 else DTYPES[kind])
    count = math.prod(shape)
    fits = 0 <= start <= end <= len(view) - base and min(shape, default=0) >= 0
    if not fits or end - start != count * dtype.itemsize:
        raise ValueError(f"tensor {name} does not lie within the file, which was cut short or is damaged")

    def make() -> Array:
        array: Array = np.frombuffer(view, dtype, count, base + start).reshape(shape)
        # bfloat16 is the upper half of a float32.
        return (array.astype("<u4") << 16).view("<f4") if bfloat16 else array

    return Tensor("<f4" if bfloat16 else DTYPES[kind], shape, make)
