"""Reader of the IDX format (the MNIST files): magic number, big-endian sizes, unsigned bytes."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.streams import open_unpacked, read_exactly

MAX_BYTES = 1 << 28
"""Largest content that is read, five times that of MNIST's training images."""

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, raw or gzip.

    Args:
        path: the file.
        ndim: number of dimensions that it must have.

    Returns:
        Array of the shape that the header declares.

    Raises:
        BrfkitError: the file cannot be read, is not such an IDX file, holds fewer or more bytes than its header
            declares, or declares more than `MAX_BYTES`.
    """
    with open_unpacked(path) as stream:
        shape = _read_shape(read_exactly(stream, 4 + 4 * ndim), path, ndim)
        size = math.prod(shape)
        if not 0 < size <= MAX_BYTES:
            raise BrfkitError(f"{path}: the header declares {_times(shape)} bytes, 1 to {MAX_BYTES} are possible")
        # One byte more than declared shows trailing data, and makes gzip compare its checksum at the end.
        content = read_exactly(stream, size + 1)
    if len(content) != size:
        found = "more" if len(content) > size else f"only {len(content)}"
        raise BrfkitError(f"{path}: the header declares {_times(shape)} = {size} bytes, the file holds {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_shape(header: bytearray, path: Path, ndim: int) -> tuple[int, ...]:
    if len(header) < 4 + 4 * ndim:
        raise BrfkitError(f"{path}: {len(header)} bytes are too few for the header of an IDX file")
    zeros, kind, dims = struct.unpack(">HBB", header[:4])
    if zeros != 0 or kind != _UNSIGNED_BYTE or dims != ndim:
        raise BrfkitError(
            f"{path}: begins with 0x{header[:4].hex()}, an IDX file of bytes in {ndim} dimensions "
            f"with 0x0000{_UNSIGNED_BYTE:02x}{ndim:02x}"
        )
    return struct.unpack(f">{ndim}I", header[4:])


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
