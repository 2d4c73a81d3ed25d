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
from brfkit.io.npy import KINDS
from brfkit.io.packing import SLACK, check_ratio
from brfkit.io.streams import check_ordinary, one_line
from brfkit.memory import check_memory

if TYPE_CHECKING:
    import h5py

_HEAP = b"GCOL\x01\0\0\0"


@contextmanager
def open_hdf5(path: Path, *, trusted: bool = False) -> Iterator[h5py.File]:
    """Opens a file for reading; whatever h5py raises, also in the caller's block, becomes a BrfkitError.

    Args:
        path: the file.
        trusted: whether brfkit wrote it; spares a look at all of it.
    """
    import h5py

    if not path.exists():
        raise BrfkitError(f"{path}: no such file")
    try:
        check_ordinary(path)
        if not trusted:
            largest_object(path)
        # Without locks: files may lie on shared or read-only disks.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except BrfkitError:
        raise
    except MemoryError as error:
        raise BrfkitError(f"{path}: declares more data than fits into memory") from error
    except Exception as error:  # damaged files make h5py raise OSError, RuntimeError, KeyError, ValueError and others
        raise BrfkitError(f"{path}: not a readable HDF5 file, or a damaged one ({one_line(error)})") from error


def largest_object(path: Path) -> int:
    """Bytes of the largest object of variable length in an HDF5 file.

    Raises:
        BrfkitError: the file is empty, or a heap of such objects holds one of no size: the HDF5 library (2.0 and
            earlier) would read it for ever. Format: "HDF5 File Format Specification", III.E.
    """
    if path.stat().st_size == 0:
        raise BrfkitError(f"{path} is empty")
    largest = 0
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        begin = content.find(_HEAP)
        while begin >= 0:
            (size,) = struct.unpack_from("<Q", content[begin + 8 : begin + 16].ljust(8, b"\xff"))
            at, end = begin + 16, begin + size
            while at + 16 <= min(end, len(content)):
                index, _, _, length = struct.unpack("<HHIQ", content[at : at + 16])
                at += length if index == 0 else 16 + (length + 7) // 8 * 8
                if (index == 0 and length == 0) or at > end:
                    raise BrfkitError(f"{path}: a damaged HDF5 file, its variable-length data cannot be distinguished")
                largest = max(largest, length if index else 0)
            begin = content.find(_HEAP, begin + 8)
    return largest


def has_attribute(file: h5py.File, name: str, wanted: str | int) -> bool:
    """Whether the file has an attribute of that value; an array would compare item by item."""
    value = file.attrs.get(name)
    return np.ndim(value) == 0 and bool(value == wanted)


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


def check_dataset(
    dataset: h5py.Dataset, path: Path, kind: str, ndim: int | None = None, *, packed: bool = True
) -> h5py.Dataset:
    """`dataset` itself if it holds what `kind` (a key of `KINDS`) says, has `ndim` dimensions and can be as large as
    it claims, else BrfkitError; `packed` says whether it may be compressed."""
    name = dataset.name.lstrip("/")
    if dataset.shape is None or dataset.dtype.kind not in KINDS[kind]:
        raise BrfkitError(f"{path}: {name} holds {dataset.dtype}, {kind}s are needed")
    if ndim is not None and dataset.ndim != ndim:
        raise BrfkitError(f"{path}: {name} has shape {dataset.shape}, {ndim} dimensions are needed")
    check_size(dataset, path, packed=packed)
    return dataset


def check_size(dataset: h5py.Dataset, path: Path, *, packed: bool = True) -> None:
    """BrfkitError where a dataset declares more than its storage can hold, or than memory can."""
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    where = f"{path}: {dataset.name.lstrip('/')}, of shape {dataset.shape},"
    if stored > path.stat().st_size + SLACK:
        raise BrfkitError(f"{where} declares more bytes than the file has")
    check_ratio(declared, stored, where, packed=packed and bool(dataset.compression))
    if declared > SLACK:
        check_memory(declared, where)


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
