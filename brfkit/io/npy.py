"""Arrays in the ``.npy`` format, alone or as members of an archive; nothing is taken on the word of a header."""

from __future__ import annotations

import io
import math
import warnings
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.streams import read_exactly
from brfkit.memory import check_memory

MAX_HEADER = 1 << 16
MAX_DIMENSIONS = 16

KINDS = {"number": "biuf", "integer": "iu", "float": "f", "boolean": "b", "text": "SUO"}
"""What a format may ask for, and the kinds of types (``numpy.dtype.kind``) that are that."""

_NAMES = {kinds: f"{name}s" for name, kinds in KINDS.items()}


def read_npy_header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first index runs fastest, and type; the stream then stands at the first value.

    Raises:
        BrfkitError: this is no header of a ``.npy`` array, or not one of plain values (objects are pickles, which run
            code when they are read).
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a header that is refused in the next lines
            version = np.lib.format.read_magic(stream)
            if version not in readers:
                raise BrfkitError(f"{where} is a .npy array of the unknown version {version}")
            shape, by_column, dtype = readers[version](stream)
    except BrfkitError:
        raise
    except Exception as error:  # the header is a Python literal, and a damaged one provokes anything
        raise BrfkitError(f"{where} cannot be read, it is no .npy array or damaged ({type(error).__name__})") from None
    if dtype.hasobject or dtype.names is not None:
        raise BrfkitError(f"{where} holds {_name(dtype)}, which is no array of plain values")
    if len(shape) > MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise BrfkitError(f"{where} declares an impossible shape")
    return shape, by_column, dtype


def npy_array(data: bytes | bytearray, where: str, kinds: str) -> NDArray[Any]:
    """The array in the bytes of a ``.npy`` file, writable and in native byte order.

    Args:
        data: all of the file; a bytearray is used where it is, without a copy.
        where: what to call it in an error.
        kinds: letters of the kinds of types (``numpy.dtype.kind``) that are let through.

    Raises:
        BrfkitError: it is damaged, of another kind, or declares more or less than there is.
    """
    stream = io.BytesIO(data[: MAX_HEADER + 16])
    shape, by_column, dtype = read_npy_header(stream, where)
    if dtype.kind not in kinds:
        raise BrfkitError(f"{where} holds {_name(dtype)}, {_NAMES.get(kinds, 'other values')} are needed")
    check_stored(shape, dtype, len(data) - stream.tell(), where)
    content = data if isinstance(data, bytearray) else bytearray(data)
    array = np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape, order="F" if by_column else "C")
    if dtype.kind == "b":  # any byte can stand there, and NumPy takes for granted that it is 0 or 1
        return np.asarray(array.view(np.uint8) != 0)
    return np.require(array, dtype.newbyteorder("="), "A")


def read_npy(stream: IO[bytes], size: int, where: str, kinds: str, ndim: int | None = None) -> NDArray[Any]:
    """Like :func:`npy_array`, from a stream of which `size` bytes are said to follow; memory grows with what is there.

    Raises:
        BrfkitError: as there, or the array does not have `ndim` dimensions, or is larger than what memory is left.
    """
    data = read_exactly(stream, min(size, MAX_HEADER))
    head = io.BytesIO(data)
    shape, _, dtype = read_npy_header(head, where)
    if dtype.kind not in kinds:
        raise BrfkitError(f"{where} holds {_name(dtype)}, {_NAMES.get(kinds, 'other values')} are needed")
    if ndim is not None and len(shape) != ndim:
        raise BrfkitError(f"{where} has shape {shape}, {ndim} dimensions are needed")
    check_stored(shape, dtype, size - head.tell(), where)
    check_memory(2 * size, f"{where}, of shape {shape},")
    data += read_exactly(stream, size + 1 - len(data))  # one more: reading to the end checks the checksum
    if len(data) != size:
        raise BrfkitError(f"{where} ends after {len(data)} of {size} bytes")
    return npy_array(data, where, kinds)


def check_stored(shape: tuple[int, ...], dtype: np.dtype[Any], stored: int, where: str) -> None:
    """Refuse a header that declares another size than what follows it."""
    if math.prod(shape) * dtype.itemsize != stored or (dtype.itemsize == 0 and 0 not in shape):
        raise BrfkitError(f"{where} declares the shape {shape} of {_name(dtype)}, {stored} bytes are stored")


def _name(dtype: np.dtype[Any]) -> str:
    return str(dtype)[:40]
