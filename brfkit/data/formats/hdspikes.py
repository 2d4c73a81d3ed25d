"""The HDF5 layout of the Heidelberg data sets (SHD, SSC), and its conversion into flat arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.io.hdf5 import (
    check_dataset,
    check_size,
    find_dataset,
    largest_object,
    open_hdf5,
    read_array,
    read_names,
)

if TYPE_CHECKING:
    import h5py

_CHUNK = 256  # recordings
_MAX_SPIKES = 1 << 24  # of one recording


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of each recording.

    Attributes:
        y: int64 [N], classes.
        speaker: int64 [N], or None.
        class_names: by class, or None.
    """

    y: NDArray[np.int64]
    speaker: NDArray[np.int64] | None
    class_names: tuple[str, ...] | None


Chunk = tuple[NDArray[Any], NDArray[np.uint16], NDArray[np.int64], int]
"""Times [S] in the file's own float type, units uint16 [S], the number of spikes of each recording [n], and how many
spikes were dropped because their times are not finite."""

_READ_AT_ONCE = 1 << 26  # bytes
_MAX_LOST = 0.01


def read_hdspikes(path: Path, channels: int, classes: int | None) -> Iterator[Labels | Chunk]:
    """Reads a file in the layout of SHD: first its `Labels`, then its spikes, some recordings at a time.

    Args:
        path: HDF5 file with ``spikes/times`` (variable-length floats, seconds), ``spikes/units`` (variable-length
            integers), ``labels`` and, if known, ``extra/speaker`` and ``extra/keys``.
        channels: units are in ``range(channels)``.
        classes: labels are in ``range(classes)``; None takes as many as the file names or has labels.

    Spikes whose time is not finite are dropped, as some published files have them.

    Raises:
        BrfkitError: the file cannot be read, lacks something, or holds what is no recording: negative times, units or
            labels out of range, not as many units as times; more than 1 % of the spikes, or all of a recording, would
            be dropped; or its recordings share their spikes, so that a few bytes stand for many.
    """
    largest = largest_object(path) if path.exists() else 0
    together = max(1, min(_CHUNK, _READ_AT_ONCE // max(largest, 1)))
    with open_hdf5(path) as file:
        labels = _labels(file, path, classes)
        times = _ragged(file, "spikes/times", path, "f")
        units = _ragged(file, "spikes/units", path, "iu")
        times_size, units_size = (_item_type(d).itemsize for d in (times, units))
        samples = len(labels.y)
        if len(times) != samples or len(units) != samples:
            raise BrfkitError(
                f"{path}: {samples} labels, {len(times)} recordings in spikes/times and {len(units)} in spikes/units"
            )
        yield labels
        size, kept, dropped = 0, 0, 0
        for begin in range(0, samples, together):
            rows = slice(begin, begin + together)
            chunk = _chunk(times[rows], units[rows], begin, path, channels)
            kept, dropped = kept + len(chunk[0]), dropped + chunk[3]
            size += (len(chunk[0]) + chunk[3]) * (times_size + units_size)
            if size > path.stat().st_size:
                raise BrfkitError(f"{path}: its recordings hold more spikes than the file has bytes for")
            yield chunk
        if dropped > _MAX_LOST * (kept + dropped):
            raise BrfkitError(f"{path}: {dropped} of {kept + dropped} spikes have no finite time; is the file damaged?")


def _labels(file: h5py.File, path: Path, classes: int | None) -> Labels:
    y = read_array(file, "labels", path, "integer", 1)
    if y is None:
        raise BrfkitError(f"{path}: has no dataset labels")
    if len(y) == 0:
        raise BrfkitError(f"{path}: holds no recordings")
    names = read_names(file, "extra/keys", path)
    if classes is None:
        classes = len(names) if names is not None else int(y.max()) + 1
    if y.min() < 0 or y.max() >= classes:
        raise BrfkitError(f"{path}: labels are {y.min()}..{y.max()}, only 0..{classes - 1} are possible")
    speaker = read_array(file, "extra/speaker", path, "integer", 1)
    if speaker is not None and len(speaker) != len(y):
        raise BrfkitError(f"{path}: {len(speaker)} speakers in extra/speaker for {len(y)} recordings")
    if names is not None and len(names) != classes:
        raise BrfkitError(f"{path}: {len(names)} class names in extra/keys, {classes} are needed")
    return Labels(y.astype(np.int64), None if speaker is None else speaker.astype(np.int64), names)


def _ragged(file: h5py.File, name: str, path: Path, kinds: str) -> h5py.Dataset:
    import h5py

    dataset = find_dataset(file, name, path)
    if dataset is None:
        raise BrfkitError(f"{path}: has no dataset {name}")
    base = h5py.check_vlen_dtype(dataset.dtype)
    if base is None or np.dtype(base).kind not in kinds or dataset.ndim != 1:
        wanted = "floats" if kinds == "f" else "integers"
        raise BrfkitError(f"{path}: {name} is not a list of {wanted} for each recording")
    check_size(check_dataset(dataset, path, "text", 1), path)
    return dataset


def _chunk(times: NDArray[Any], units: NDArray[Any], begin: int, path: Path, channels: int) -> Chunk:
    counts = np.array([len(row) for row in times], np.int64)
    differs = counts != [len(row) for row in units]
    if differs.any() or counts.max() > _MAX_SPIKES:
        n = int(np.argmax(differs if differs.any() else counts))
        raise BrfkitError(f"{path}: recording {begin + n} has {len(times[n])} times and {len(units[n])} units")
    flat_times, flat_units = np.concatenate(times), np.concatenate(units)
    negative = flat_times < 0
    if (negative & np.isfinite(flat_times)).any():
        k = int(np.argmax(negative & np.isfinite(flat_times)))
        raise BrfkitError(
            f"{path}: recording {_owner(counts, k, begin)} holds the spike time {flat_times[k]}, which is negative"
        )
    if len(flat_units) and (flat_units.min() < 0 or flat_units.max() >= channels):
        k = int(np.argmax((flat_units < 0) | (flat_units >= channels)))
        raise BrfkitError(
            f"{path}: recording {_owner(counts, k, begin)} holds the unit {flat_units[k]}, "
            f"only 0..{channels - 1} are possible"
        )
    finite = np.isfinite(flat_times)
    if finite.all():
        return flat_times, flat_units.astype(np.uint16), counts, 0
    ends = np.concatenate([[0], np.cumsum(finite)])[np.concatenate([[0], np.cumsum(counts)])]
    left = np.diff(ends)
    if (left[counts > 0] == 0).any():
        n = int(np.argmax((left == 0) & (counts > 0)))
        raise BrfkitError(f"{path}: recording {begin + n} has no spike with a finite time; is the file damaged?")
    return flat_times[finite], flat_units[finite].astype(np.uint16), left, int((~finite).sum())


def _item_type(dataset: h5py.Dataset) -> np.dtype[Any]:
    """Type of the items of a dataset of lists."""
    import h5py

    return np.dtype(h5py.check_vlen_dtype(dataset.dtype))


def _owner(counts: NDArray[np.int64], spike: int, begin: int) -> int:
    return begin + int(np.searchsorted(np.cumsum(counts), spike, side="right"))
