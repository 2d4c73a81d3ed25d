"""Files of a user's own in any format that is known, as named arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.data.formats.hdspikes import Labels, read_hdspikes
from brfkit.data.formats.series import read_csv, read_ts
from brfkit.errors import BrfkitError
from brfkit.io.arrays import Arrays, open_arrays
from brfkit.io.hdf5 import open_hdf5
from brfkit.io.npy import KINDS
from brfkit.io.streams import open_file

BIN_WIDTH = 0.004
"""Seconds, of a file in the layout of SHD, as for SHD itself."""

_UNITS = 1 << 16
_READERS = {".csv": read_csv, ".ts": read_ts}


@contextmanager
def open_named(path: Path) -> Iterator[Arrays]:
    """Opens ``.npz``, HDF5 (also in the layout of SHD), ``.ts`` and ``.csv`` files; see `open_arrays`."""
    reader = _READERS.get(path.suffix.lower())
    if reader is not None:
        yield _InMemory(reader(path), path)
    elif _has_spikes(path):
        yield _InMemory(_read_spikes(path), path)
    else:
        with open_arrays(path) as arrays:
            yield arrays


class _InMemory:
    def __init__(self, named: Mapping[str, NDArray[Any]], path: Path) -> None:
        self._named, self._path = named, path

    def read(self, name: str, kind: str, ndim: int | None = None) -> NDArray[Any] | None:
        found = self._named.get(name)
        if found is not None and (found.dtype.kind not in KINDS[kind] or (ndim is not None and found.ndim != ndim)):
            raise BrfkitError(f"{self._path}: {name} holds {found.dtype} of shape {found.shape}, {kind}s are needed")
        return found


def _has_spikes(path: Path) -> bool:
    """Whether a file has the layout of SHD, the group ``spikes``."""
    try:
        with open_file(path) as raw:  # a pipe would be waited for
            if raw.read(8) != b"\x89HDF\r\n\x1a\n":
                return False
    except (OSError, BrfkitError):  # which reading it says better
        return False
    with open_hdf5(path) as file:
        return "spikes" in file and "x_train" not in file and "times_train" not in file


def _read_spikes(path: Path) -> dict[str, NDArray[Any]]:
    """A file in the layout of SHD; ``NAME_test.h5`` and ``NAME_valid.h5`` beside ``NAME_train.h5`` are its parts."""
    paths = {"train": path}
    if path.stem.endswith("_train"):
        for part in ("valid", "test"):
            other = path.with_name(f"{path.stem.removesuffix('_train')}_{part}{path.suffix}")
            if other.exists():
                paths[part] = other
    named: dict[str, NDArray[Any]] = {"bin_width": np.array(BIN_WIDTH)}
    names: dict[str, tuple[str, ...] | None] = {}
    for part, one in paths.items():
        labels, *chunks = read_hdspikes(one, _UNITS, None)
        assert isinstance(labels, Labels)
        times, units, counts, _ = zip(*chunks, strict=True)
        named[f"times_{part}"], named[f"units_{part}"] = np.concatenate(times), np.concatenate(units)
        named[f"offsets_{part}"] = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
        named[f"y_{part}"] = labels.y
        names[part] = labels.class_names
        if labels.speaker is not None:
            named[f"groups_{part}"] = labels.speaker
    if len(set(names.values())) > 1:
        raise BrfkitError(f"{path}: its parts name other classes; extra/keys must be the same in all of them")
    if names["train"] is not None:
        named["class_names"] = np.array(names["train"])
    return named
