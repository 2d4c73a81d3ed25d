"""Named arrays of a user's ``.npz`` or HDF5 file, read without trusting what it declares."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.hdf5 import KINDS, open_hdf5, read_array
from brfkit.io.streams import one_line, read_exactly

SUFFIXES = (".npz", ".h5", ".hdf5")

# Deflate packs at most 1032 to 1.
_MAX_RATIO = 1100
_SLACK = 1 << 16


def is_path(name: str) -> bool:
    """Whether the name of a data set means a file of the user's own."""
    return Path(name).suffix.lower() in SUFFIXES or "/" in name or os.sep in name


class Arrays(Protocol):
    """The arrays of an open file."""

    def read(self, name: str, kind: str, ndim: int | None = None) -> NDArray[Any] | None:
        """The array `name`, None where there is none.

        Args:
            name: of the array.
            kind: ``"number"``, ``"integer"``, ``"float"`` or ``"text"``; anything else in the file is refused.
            ndim: number of dimensions that it must have.

        Raises:
            BrfkitError: it is of another kind or damaged, or declares more than the file can hold.
        """


@contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """Opens a ``.npz`` or HDF5 file, whichever its content is; BrfkitError where it is neither, or damaged."""
    try:
        with path.open("rb") as raw:
            magic = raw.read(8)
    except OSError as error:
        raise BrfkitError(f"{path} cannot be read: {error.strerror}") from error
    if magic[:2] == b"PK":
        with _open_npz(path) as archive:
            yield _Npz(archive, path)
    elif magic == b"\x89HDF\r\n\x1a\n":
        with open_hdf5(path) as file:
            yield _Hdf5(file, path)
    else:
        raise BrfkitError(f"{path}: neither a .npz nor an HDF5 file; docs/data.md shows how to write one")


class _Hdf5:
    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path

    def read(self, name: str, kind: str, ndim: int | None = None) -> NDArray[Any] | None:
        if name in self._file.attrs and name not in self._file:
            value = np.asarray(self._file.attrs[name])
            if value.dtype.kind not in KINDS[kind] or (ndim is not None and value.ndim != ndim):
                raise BrfkitError(f"{self._path}: the attribute {name} is not a {kind}")
            return value
        return read_array(self._file, name, self._path, kind, ndim)


@contextmanager
def _open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BrfkitError:
        raise
    except MemoryError as error:
        raise BrfkitError(f"{path}: declares more data than fits into memory") from error
    except Exception as error:  # zipfile lets anything through that damaged headers provoke
        raise BrfkitError(f"{path}: not a readable .npz file, or a damaged one ({one_line(error)})") from error


class _Npz:
    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path = archive, path
        self._names = set(archive.namelist())

    def read(self, name: str, kind: str, ndim: int | None = None) -> NDArray[Any] | None:
        member = f"{name}.npy"
        if member not in self._names:
            return None
        where = f"{self._path}: {name}"
        info = self._archive.getinfo(member)
        if info.file_size > _MAX_RATIO * info.compress_size + _SLACK:
            raise BrfkitError(f"{where} declares {info.file_size} bytes, {info.compress_size} are stored")
        with self._archive.open(info) as stream:
            return _read_npy(stream, info.file_size, kind, ndim, where)


def _read_npy(stream: IO[bytes], size: int, kind: str, ndim: int | None, where: str) -> NDArray[Any]:
    head = io.BytesIO(read_exactly(stream, min(size, _SLACK)))
    version = np.lib.format.read_magic(head)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise BrfkitError(f"{where} is a .npy array of the unknown version {version}")
    shape, by_column, dtype = readers[version](head)
    # Object arrays are pickles, which run code; their kind is "O", and no kind of numbers allows it.
    if dtype.hasobject or dtype.kind not in KINDS[kind]:
        raise BrfkitError(f"{where} holds {dtype}, {kind}s are needed")
    if ndim is not None and len(shape) != ndim:
        raise BrfkitError(f"{where} has shape {shape}, {ndim} dimensions are needed")
    expected = math.prod(shape) * dtype.itemsize
    if expected != size - head.tell():
        raise BrfkitError(f"{where} declares the shape {shape} of {dtype}, {size - head.tell()} bytes are stored")
    content = bytearray(head.read())
    content += read_exactly(stream, expected + 1 - len(content))  # one more: reading to the end checks the checksum
    if len(content) != expected:
        raise BrfkitError(f"{where} ends after {len(content)} of {expected} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_column else "C")
