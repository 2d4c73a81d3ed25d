"""Reading HDF5 files that may be damaged: what is declared is compared with what is there before it is read."""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.streams import one_line

if TYPE_CHECKING:
    import h5py

KINDS = {"number": "biuf", "integer": "iu", "float": "f", "text": "SUO"}

# Gzip packs at most 1032 to 1; what declares more is not there.
_MAX_RATIO = 1100
_SLACK = 1 << 16

_HEAP = b"GCOL\x01\0\0\0"


@contextmanager
def open_hdf5(path: Path, *, trusted: bool = False) -> Iterator[h5py.File]:
    """Opens a file for reading; whatever h5py raises, also in the caller's block, becomes a BrfkitError.

    Args:
        path: the file.
        trusted: whether brfkit wrote it; spares a look at all of it.
    """
    import h5py

    if not path.is_file():
        raise BrfkitError(f"{path}: no such file")
    try:
        if not trusted:
            _check_heaps(path)
        # Without locks: files may lie on shared or read-only disks.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except BrfkitError:
        raise
    except MemoryError as error:
        raise BrfkitError(f"{path}: declares more data than fits into memory") from error
    except Exception as error:  # damaged files make h5py raise OSError, RuntimeError, KeyError, ValueError and others
        raise BrfkitError(f"{path}: not a readable HDF5 file, or a damaged one ({one_line(error)})") from error


def _check_heaps(path: Path) -> None:
    """BrfkitError where a heap of variable-length data holds an object of no size: the HDF5 library (2.0 and earlier)
    would read it for ever. Format: "HDF5 File Format Specification", III.E."""
    if path.stat().st_size == 0:
        raise BrfkitError(f"{path}: an empty file")
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = content.find(_HEAP)
        while begin >= 0:
            (size,) = struct.unpack_from("<Q", content[begin + 8 : begin + 16].ljust(8, b"\xff"))
            at, end = begin + 16, begin + size
            while at + 16 <= min(end, len(content)):
                index, _, _, length = struct.unpack("<HHIQ", content[at : at + 16])
                at += length if index == 0 else 16 + (length + 7) // 8 * 8
                if (index == 0 and length == 0) or at > end:
                    raise BrfkitError(f"{path}: a damaged HDF5 file, its variable-length data cannot be told apart")
            begin = content.find(_HEAP, begin + 8)


def find_dataset(group: h5py.Group, name: str, path: Path) -> h5py.Dataset | None:
    """The dataset `name`, or None if there is nothing of that name; BrfkitError for anything else under it."""
    import h5py

    if name not in group:
        return None
    found = group[name]
    if not isinstance(found, h5py.Dataset):
        raise BrfkitError(f"{path}: {name} is a group, a dataset is needed")
    if found.is_virtual or found.external:
        raise BrfkitError(f"{path}: {name} lies in another file, which is not followed")
    return found


def check_dataset(dataset: h5py.Dataset, path: Path, kind: str, ndim: int | None = None) -> h5py.Dataset:
    """`dataset` itself if it holds what `kind` (a key of `KINDS`) says, has `ndim` dimensions and can be as large as
    it claims, else BrfkitError."""
    name = dataset.name.lstrip("/")
    if dataset.shape is None or dataset.dtype.kind not in KINDS[kind]:
        raise BrfkitError(f"{path}: {name} holds {dataset.dtype}, {kind}s are needed")
    if ndim is not None and dataset.ndim != ndim:
        raise BrfkitError(f"{path}: {name} has shape {dataset.shape}, {ndim} dimensions are needed")
    check_size(dataset, path)
    return dataset


def check_size(dataset: h5py.Dataset, path: Path) -> None:
    """BrfkitError where a dataset declares more than its storage can hold."""
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > (_MAX_RATIO if dataset.compression else 1) * stored + _SLACK or stored > path.stat().st_size + _SLACK:
        raise BrfkitError(
            f"{path}: {dataset.name.lstrip('/')} declares the shape {dataset.shape}, {stored} bytes are stored"
        )


def read_array(group: h5py.Group, name: str, path: Path, kind: str, ndim: int | None = None) -> NDArray[Any] | None:
    """The whole dataset `name`, None where there is none; see `check_dataset` for what is refused."""
    dataset = find_dataset(group, name, path)
    if dataset is None:
        return None
    array: NDArray[Any] = np.asarray(check_dataset(dataset, path, kind, ndim)[()])
    return array


def read_names(group: h5py.Group, name: str, path: Path) -> tuple[str, ...] | None:
    """A list of words, None where there is none."""
    array = read_array(group, name, path, "text", 1)
    return None if array is None else texts(array, f"{path}: {name}")


def texts(array: NDArray[Any], where: str) -> tuple[str, ...]:
    """Strings or UTF-8 bytes as a tuple of printable, different words; BrfkitError where they are none."""
    try:
        words = tuple(w.decode("utf-8") if isinstance(w, bytes) else w for w in array.ravel().tolist())
    except UnicodeDecodeError as error:
        raise BrfkitError(f"{where} is not UTF-8 text") from error
    if not all(isinstance(w, str) and w.isprintable() and w.strip() for w in words) or len(set(words)) != len(words):
        raise BrfkitError(f"{where} is not a list of different names")
    return words
