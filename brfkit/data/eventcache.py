"""Spike trains as flat arrays in the cache folder, one HDF5 file for each source file, found by the source's hash.

Layout: ``times`` [S] in the source's own float type, ``units`` uint16 [S], ``offsets`` int64 [N + 1], ``labels``
int64 [N], ``speaker`` int64 [N] and ``class_names`` where known; attributes ``format`` and ``source`` (SHA-256).
"""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.data.base import EventSplit
from brfkit.data.binning import UNITS, Binning, bin_events
from brfkit.data.formats.hdspikes import Labels, read_hdspikes
from brfkit.errors import BrfkitError
from brfkit.io.hdf5 import open_hdf5, read_array, read_names
from brfkit.io.hdf5_writing import DiskFile, written_hdf5
from brfkit.io.paths import cache_dir
from brfkit.io.streams import MAX_UNPACKED, file_digest, is_packed, one_line, open_unpacked
from brfkit.memory import check_memory

log = logging.getLogger(__name__)

FORMAT = 1
_STORED = 1 << 16  # elements of a chunk on disk
_AT_ONCE = 1 << 20  # spikes that are binned at once
_COPY = 1 << 22
_TOO_LONG = 20  # times the length that a recording has at most
_MANY_CELLS = 1 << 26
_CELLS_PER_SPIKE = 1000


def event_cache_path(source: Path) -> Path:
    """Where the events of `source` are kept; BrfkitError if it cannot be read."""
    return cache_dir() / "events" / f"{file_digest(source, 'sha256')[:40]}.h5"


def read_events(
    source: Path, *, channels: int, classes: int, duration: float, binning: Binning, limit: int | None = None
) -> EventSplit:
    """A file in the layout of SHD, binned; through the cache, which is made or made anew where it has to be.

    Args:
        source: ``.h5``, or that packed as ``.gz`` or ``.zip``.
        channels: units are in ``range(channels)``.
        classes: labels are in ``range(classes)``.
        duration: length in seconds that recordings have at most, where `binning` leaves the number of bins open.
        binning: how times become steps.
        limit: read only the first so many recordings.

    Raises:
        BrfkitError: the file is damaged or holds anything else (see `read_hdspikes`), or the cache cannot be written.
    """
    cache = event_cache_path(source)
    if cache.is_file():
        with suppress(_Stale):
            return _binned(cache, source, channels, classes, duration, binning, limit)
    _prepare(source, cache, channels, classes)
    try:
        return _binned(cache, source, channels, classes, duration, binning, limit)
    except _Stale as error:
        raise BrfkitError(f"the cache {cache} cannot be read back ({error}); is the disk damaged?") from error


class _Stale(Exception):
    """The cache is damaged, of another version, or was prepared for other limits."""


def _prepare(source: Path, cache: Path, channels: int, classes: int) -> None:
    """Writes the cache of `source`; it appears whole or not at all, whoever else prepares it at the same time."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrfkitError(
            f"the cache folder {cache.parent} cannot be made ({error.strerror}); set BRFKIT_CACHE_DIR to another"
        ) from error
    _remove_leftovers(cache.parent)
    with _unpacked(source, cache.parent) as plain:
        try:
            _write(read_hdspikes(plain, channels, classes), cache, source)
        except BrfkitError as error:
            # What is wrong with the file is said about the file that the user has, not about its unpacked copy.
            raise BrfkitError(str(error).replace(str(plain), str(source))) from error


def _remove_leftovers(folder: Path) -> None:
    """Deletes what processes that were killed in the middle left behind; a day is longer than any of them takes."""
    for path in (*folder.glob(".unpacked-*.h5"), *folder.glob(".brfkit-*.h5")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 86_400:
                path.unlink()


@contextmanager
def _unpacked(source: Path, folder: Path) -> Iterator[Path]:
    """`source` itself, or a temporary file in `folder` with its unpacked content."""
    if not is_packed(source):
        yield source
        return
    temporary = folder / f".unpacked-{secrets.token_hex(8)}.h5"
    try:
        with open_unpacked(source) as stream:
            _copy(stream, temporary, source)
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink()


def _copy(stream: Any, target: Path, source: Path) -> None:
    size = 0
    while part := stream.read(_COPY):
        size += len(part)
        if size > MAX_UNPACKED:
            raise BrfkitError(f"{source}: unpacks to more than {MAX_UNPACKED} bytes")
        try:
            with target.open("ab") as out:
                out.write(part)
        except OSError as error:
            raise BrfkitError(
                f"{source} cannot be unpacked into {target.parent}: {_disk_state(target.parent, error)}; free space, "
                "or set BRFKIT_CACHE_DIR to another folder"
            ) from error
    if size == 0:
        raise BrfkitError(f"{source}: holds nothing")


def _disk_state(folder: Path, error: OSError) -> str:
    return f"{error.strerror or one_line(error)}, {shutil.disk_usage(folder).free >> 20} MiB free"


def _write(parts: Iterator[Any], path: Path, source: Path) -> None:
    labels = next(parts)
    assert isinstance(labels, Labels)
    counts: list[NDArray[np.int64]] = []
    dropped = 0
    with written_hdf5(path, force=True, libver="v110") as (file, disk):
        flat: dict[str, Any] = {}
        for times, units, spikes, lost in parts:
            counts.append(spikes)
            dropped += lost
            _check_disk(disk, path)
            for name, values in (("times", times), ("units", units)):
                if name not in flat:
                    flat[name] = file.create_dataset(
                        name, (0,), values.dtype, maxshape=(None,), chunks=(_STORED,), fletcher32=True
                    )
                end = len(flat[name])
                flat[name].resize((end + len(values),))
                flat[name][end:] = values
        if dropped:
            log.warning("%s: %d of %d spikes have no finite time and are left out", source, dropped,
                        dropped + sum(int(c.sum()) for c in counts))  # fmt: skip
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
        small: dict[str, Any] = {"offsets": offsets, "labels": labels.y, "speaker": labels.speaker}
        if labels.class_names is not None:
            small["class_names"] = np.array([name.encode() for name in labels.class_names])
        for name, values in small.items():
            if values is not None:
                file.create_dataset(name, data=values, chunks=values.shape, fletcher32=True)
        file.attrs["format"] = FORMAT
        file.attrs["source"] = file_digest(source, "sha256")
        file.flush()
        _check_disk(disk, path)


def _check_disk(disk: DiskFile, path: Path) -> None:
    try:
        disk.check()
    except OSError as error:
        raise BrfkitError(
            f"the cache {path} cannot be written ({_disk_state(path.parent, error)}); free space, or set "
            "BRFKIT_CACHE_DIR to another folder"
        ) from error


def _binned(
    cache: Path, source: Path, channels: int, classes: int, duration: float, binning: Binning, limit: int | None
) -> EventSplit:
    steps = binning.steps_for(duration)
    try:
        with open_hdf5(cache, trusted=True) as file:
            offsets, y, speaker, names = _index(file, cache, classes, limit)
            _check_unit(file, offsets, duration, binning, source)
            binner = Binner(offsets, channels, steps, binning)
            for begin, end in binner.portions():
                part = slice(offsets[begin], offsets[end])
                units = file["units"][part]
                if len(units) and units.max() >= channels:
                    raise _Stale("units out of range")
                binner.add(file["times"][part], units, begin, end)
            return binner.split(y, speaker, names)
    except _Refused:
        raise
    except BrfkitError as error:
        raise _Stale(str(error)) from error


def _index(file: Any, cache: Path, classes: int, limit: int | None) -> tuple[Any, Any, Any, tuple[str, ...] | None]:
    """Offsets, labels, speakers and class names of the first `limit` recordings."""
    if file.attrs.get("format") != FORMAT or not str(file.attrs.get("source", "")).startswith(cache.stem):
        raise _Stale("another format")
    offsets = read_array(file, "offsets", cache, "integer", 1)
    y = read_array(file, "labels", cache, "integer", 1)
    speaker = read_array(file, "speaker", cache, "integer", 1)
    names = read_names(file, "class_names", cache)
    if offsets is None or y is None or len(offsets) != len(y) + 1 or (speaker is not None and len(speaker) != len(y)):
        raise _Stale("arrays that do not fit")
    spikes = file["times"].shape
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or spikes != (offsets[-1],) or file["units"].shape != spikes:
        raise _Stale("offsets that do not fit")
    if y.min() < 0 or y.max() >= classes or (names is not None and len(names) != classes):
        raise _Stale("labels out of range")
    n = len(y) if limit is None else min(limit, len(y))
    return offsets[: n + 1], y[:n], None if speaker is None else speaker[:n], names


class _Refused(BrfkitError):
    """What is asked for cannot be; the cache is all right."""


def _check_unit(file: Any, offsets: NDArray[np.int64], duration: float, binning: Binning, source: Path) -> None:
    """Refuse times that are far beyond any recording in the unit that they are said to have."""
    until = offsets[: int(np.searchsorted(offsets, _AT_ONCE))]
    if len(until) < 2:
        until = offsets[:2]
    filled = until[:-1][np.diff(until) > 0]
    if len(filled) == 0:
        return
    last = np.maximum.reduceat(file["times"][: until[-1]].astype(np.float64), filled)
    length = float(np.median(last))
    if length * UNITS[binning.unit] <= _TOO_LONG * duration:
        return
    like = next((unit for unit, size in UNITS.items() if length * size <= _TOO_LONG * duration), None)
    advice = "its times are in no unit that is known" if like is None else f"they look like {like} (--time-unit {like})"
    raise _Refused(
        f"{source}: recordings end at about {length:g} {binning.unit}, those of this data set within {duration:g} s; "
        f"{advice}"
    )


class Binner:
    """Bins recordings portion by portion, so that memory holds the result and little else."""

    def __init__(self, offsets: NDArray[np.int64], channels: int, steps: int, binning: Binning) -> None:
        self.offsets, self.channels, self.steps, self.binning = offsets, channels, steps, binning
        recordings = len(offsets) - 1
        spikes = int(offsets[-1] - offsets[0])
        cells = recordings * (steps + 1)
        if cells > 1 << 31:
            raise _Refused(f"{recordings} recordings of {steps} bins are too many; take wider bins")
        if cells > _MANY_CELLS and cells > _CELLS_PER_SPIKE * spikes:
            raise _Refused(
                f"{recordings:,} recordings of {steps:,} bins hold {spikes:,} spike{'s' * (spikes != 1)} in all, "
                "which is next to nothing but empty steps; take wider bins or fewer steps"
            )
        try:
            check_memory(4 * cells + 4 * spikes, f"{recordings:,} recordings of {steps:,} bins", "take wider bins")
        except BrfkitError as error:
            raise _Refused(str(error)) from None
        self._indices = np.empty(offsets[-1] - offsets[0], np.uint16 if channels <= 1 << 16 else np.int32)
        self._indptr = np.zeros((recordings, steps + 1), np.int32)
        self._filled = 0

    def portions(self) -> Iterator[tuple[int, int]]:
        """Ranges of recordings that together have about `_AT_ONCE` spikes or bins."""
        begin, recordings = 0, len(self.offsets) - 1
        most = max(1, _AT_ONCE // self.steps)
        while begin < recordings:
            end = int(np.searchsorted(self.offsets, self.offsets[begin] + _AT_ONCE, side="right")) - 1
            end = min(max(end, begin + 1), begin + most, recordings)
            yield begin, end
            begin = end

    def add(self, times: NDArray[Any], units: NDArray[Any], begin: int, end: int) -> None:
        """Bins the recordings ``begin:end``, of which these are the spikes."""
        offsets = self.offsets[begin : end + 1]
        indices, indptr = bin_events(times, units, offsets, self.channels, self.steps, self.binning)
        self._indices[self._filled : self._filled + len(indices)] = indices
        self._indptr[begin:end] = indptr
        self._filled += len(indices)

    def split(
        self, y: NDArray[np.int64], groups: NDArray[np.int64] | None, class_names: tuple[str, ...] | None = None
    ) -> EventSplit:
        """The recordings added so far."""
        left_out = len(self._indices) - self._filled
        self._indices.resize(self._filled, refcheck=False)
        starts = np.concatenate([[0], np.cumsum(self._indptr[:, -1], dtype=np.int64)])[:-1]
        rows = np.arange(len(self._indptr))
        return EventSplit(
            self._indices,
            starts,
            self._indptr,
            rows,
            y,
            self.channels,
            self.binning.width,
            groups,
            class_names,
            left_out,
        )
