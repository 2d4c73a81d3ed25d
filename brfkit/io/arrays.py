"""Named arrays of a user's ``.npz`` or HDF5 file, read without trusting what it declares."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.hdf5 import open_hdf5, read_array
from brfkit.io.npy import KINDS, read_npy
from brfkit.io.packing import check_ratio
from brfkit.io.streams import one_line, open_file

SUFFIXES = (".npz", ".h5", ".hdf5", ".ts", ".csv")


def is_path(name: str) -> bool:
    """Whether the name of a data set is the path of a custom file."""
    return Path(name).suffix.lower() in SUFFIXES or "/" in name or os.sep in name


def is_folder(name: str | os.PathLike[str]) -> bool:
    """Whether the name of a data set means a folder of recordings."""
    path = Path(name).expanduser()
    return path.is_dir() and path.suffix.lower() not in SUFFIXES


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
    with open_file(path) as raw:
        magic = raw.read(8)
    if not magic:
        raise BrfkitError(f"{path} is empty")
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
        check_ratio(info.file_size, info.compress_size, where)
        with self._archive.open(info) as stream:
            return read_npy(stream, info.file_size, where, KINDS[kind], ndim)
