"""Reader of numeric arrays in MAT files of version 5 (MATLAB's ``save -v6`` and ``-v7``).

Written out here because `scipy.io.loadmat` (1.17) cannot be made safe by looking at a file first, short of reading all
of it: a number tag of an unknown kind (one changed byte) and deeply nested cells end the process, a tag that declares
4 GB is allocated, a cell of 30000 x 30000 entries takes 7 GB and half a minute. This reader knows real, full, numeric
arrays only and never holds more than the file really contains.
Format: "MAT-File Format", The MathWorks.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.streams import one_line, read_bytes

MAX_BYTES = 1 << 27
"""Largest file, and largest unpacked content of one file, that is read."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX_FLAG = 0x08
_MAX_DIMS = 8
_MAX_VARIABLES = 1000


class _Damaged(Exception):
    """What is wrong inside the file; becomes a BrfkitError that names the file."""


@dataclass(frozen=True)
class _Element:
    kind: int
    data: memoryview


def read_arrays(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """The numeric arrays `names` of a MAT file.

    Args:
        path: the file.
        names: variables to read; others are passed over.

    Returns:
        The arrays by name in the type in which the file stores them, which may be smaller than that of the variable
        in MATLAB.

    Raises:
        BrfkitError: the file cannot be read, is no MAT file of version 5 or is damaged, or a variable is missing or
            not a real, full, numeric array.
    """
    content = read_bytes(path, MAX_BYTES)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        order = _byte_order(content)
        for element in _variables(content, order):
            name, array = _read_matrix(element, order, names)
            if array is not None:
                arrays[name] = array
    except _Damaged as error:
        raise BrfkitError(f"{path}: {error}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise BrfkitError(f"{path}: holds no array {', '.join(missing)}")
    return arrays


def _byte_order(content: bytearray) -> Literal["<", ">"]:
    if len(content) < _HEADER:
        raise _Damaged(f"{len(content)} bytes are too few for the header of a MAT file")
    mark = content[126:128]
    if mark not in (b"IM", b"MI"):
        raise _Damaged("not a MAT file of version 5 (`save -v7`)")
    order: Literal["<", ">"] = "<" if mark == b"IM" else ">"
    (version,) = struct.unpack(order + "H", content[124:126])
    if version != 0x0100:
        raise _Damaged(f"MAT file of version 0x{version:04x}; version 5 is read (`save -v7`)")
    return order


def _elements(data: memoryview, order: str, *, padded: bool) -> Iterator[_Element]:
    """The elements that follow each other in `data`; only those inside a matrix are padded to eight bytes."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise _Damaged("ends in the middle of an element")
        kind, size = struct.unpack(order + "II", data[at : at + 8])
        if kind >> 16:
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise _Damaged(f"a small element declares {size} bytes")
        else:
            start = at + 8
            end = start + size + (-size % 8 if padded else 0)
        if start + size > len(data):
            raise _Damaged(f"an element declares {size} bytes, {len(data) - start} are left")
        yield _Element(kind, data[start : start + size])
        at = end


def _variables(content: bytearray, order: str) -> Iterator[memoryview]:
    """The unpacked content of each variable's matrix element."""
    budget = MAX_BYTES
    for count, element in enumerate(_elements(memoryview(content)[_HEADER:], order, padded=False)):
        if count == _MAX_VARIABLES:
            raise _Damaged(f"holds more than {_MAX_VARIABLES} variables")
        if element.kind == _COMPRESSED:
            unpacked = _unpack(element.data, budget)
            budget -= len(unpacked)
            inner = list(islice(_elements(memoryview(unpacked), order, padded=False), 2))
            if len(inner) != 1:
                raise _Damaged("a compressed element does not hold exactly one element")
            element = inner[0]
        if element.kind != _MATRIX:
            raise _Damaged(f"an element of kind {element.kind} stands where a variable is expected")
        yield element.data


def _unpack(data: memoryview, limit: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise _Damaged(f"damaged compressed data ({one_line(error)})") from error
    if len(unpacked) > limit:
        raise _Damaged(f"compressed data unpacks to more than {MAX_BYTES} bytes")
    if not stream.eof:
        raise _Damaged("compressed data ends too early")
    return unpacked


def _read_matrix(data: memoryview, order: str, names: Collection[str]) -> tuple[str, NDArray[Any]] | tuple[str, None]:
    """Name and array of a matrix element; None for the array of a variable that is not wanted."""
    parts = _elements(data, order, padded=True)
    flags, dims, label = (next(parts, None) for _ in range(3))
    if flags is None or dims is None or label is None or len(flags.data) != 8:
        raise _Damaged("a variable without flags, dimensions and name")
    name = label.data.tobytes().decode("latin-1")
    if name not in names:
        return name, None
    (word,) = struct.unpack(order + "I", flags.data[:4])
    if word & 0xFF not in _NUMERIC_CLASSES or word >> 8 & _COMPLEX_FLAG:
        raise _Damaged(f"{name} is not a real numeric array")
    if dims.kind != 5 or len(dims.data) % 4 or not 2 <= len(dims.data) // 4 <= _MAX_DIMS:
        raise _Damaged(f"{name} has no readable dimensions")
    shape = struct.unpack(f"{order}{len(dims.data) // 4}i", dims.data)
    values = next(parts, None)
    if values is None or values.kind not in _NUMBERS:
        raise _Damaged(f"{name} has no numbers")
    dtype = np.dtype(order + _NUMBERS[values.kind])
    if min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(values.data):
        raise _Damaged(f"{name} declares the shape {shape} and holds {len(values.data)} bytes of {dtype.name}")
    return name, np.frombuffer(values.data, dtype).reshape(shape, order="F")
