"""Features of all recordings of a folder, kept in the cache folder and found by the files' names, sizes and times."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.data.audio.frontends import check_rate, frames_of, resampled, spikes_of
from brfkit.data.audio.settings import AudioSettings
from brfkit.data.formats.wav import read_wav
from brfkit.errors import BrfkitError
from brfkit.io.arrays import open_arrays
from brfkit.io.atomic import atomic_write
from brfkit.io.paths import cache_dir
from brfkit.io.streams import readable

log = logging.getLogger(__name__)

FORMAT = 1
_LONGEST = 600.0  # seconds
_LOUDEST = 1e9  # of floats, whose full scale is 1


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N recordings, one after the other.

    Attributes:
        rate: samples per second.
        seconds: float64 [N], how long each is.
        offsets: int64 [N + 1], recording n has the rows ``offsets[n]:offsets[n + 1]``.
        frames: float32 [rows, I] of a dense front end, else None.
        times, units: float32 and uint16 [rows] of a spiking one, else None.
    """

    rate: int
    seconds: NDArray[np.float64]
    offsets: NDArray[np.int64]
    frames: NDArray[np.float32] | None = None
    times: NDArray[np.float32] | None = None
    units: NDArray[np.uint16] | None = None


def read_features(root: Path, names: Sequence[str], settings: AudioSettings) -> Features:
    """The features of the recordings `names` in `root`, computed where the cache does not have them.

    Raises:
        BrfkitError: a recording is damaged, empty, longer than ten minutes or has another sampling rate than the first.
    """
    place = cache_dir() / "audio" / f"{_key(root, names, settings)}.npz"
    if place.is_file():
        with suppress(BrfkitError):  # damaged, so it is made anew
            return _read(place, len(names), settings)
    found = _compute(root, names, settings)
    try:
        _write(place, found)
    except (BrfkitError, OSError) as error:
        log.warning("features are not kept: %s", error)
    return found


def _key(root: Path, names: Sequence[str], settings: AudioSettings) -> str:
    digest = hashlib.sha256(json.dumps([FORMAT, settings.features()], sort_keys=True).encode())
    for name in names:
        with readable(root / name):
            state = (root / name).stat()
        digest.update(json.dumps([name, state.st_size, state.st_mtime_ns]).encode())
    return digest.hexdigest()[:40]


def _sounds(root: Path, names: Sequence[str], settings: AudioSettings) -> Iterator[tuple[NDArray[np.float64], int]]:
    """One channel of each recording, the mean of several, and the sampling rate."""
    first = None
    for name in names:
        values, rate = read_wav(root / name)
        first = first or (name, rate)
        if settings.sample_rate is None and rate != first[1]:
            raise BrfkitError(
                f"{root / name} has {rate} samples per second, {first[0]} has {first[1]}; choose one rate for all "
                "(--sample-rate)"
            )
        if len(values) > _LONGEST * rate:
            raise BrfkitError(f"{root / name} is {len(values) / rate:,.0f} s long; {_LONGEST:g} s are possible")
        if np.abs(values).max() > _LOUDEST:
            raise BrfkitError(f"{root / name} holds the value {np.abs(values).max():g}; the full scale of floats is 1")
        wanted = settings.sample_rate or rate
        if len(values) * wanted < rate:
            raise BrfkitError(f"{root / name} is shorter than one sample at {wanted} Hz")
        yield resampled(values.mean(1), rate, wanted), wanted


def _compute(root: Path, names: Sequence[str], settings: AudioSettings) -> Features:
    log.info("computing %s features of %d recordings in %s", settings.front_end, len(names), root)
    frames, times, units = [], [], []
    counts: list[int] = []
    seconds: list[float] = []
    rate = 0
    for sound, rate in _sounds(root, names, settings):
        if not seconds:
            check_rate(settings, rate)
        seconds.append(len(sound) / rate)
        if settings.spiking:
            spikes = spikes_of(sound, rate, settings)
            times.append(spikes.times)
            units.append(spikes.units)
            counts.append(len(spikes.times))
        else:
            frames.append(frames_of(sound, rate, settings))
            counts.append(len(frames[-1]))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    if settings.spiking:
        return Features(rate, np.array(seconds), offsets, None, np.concatenate(times), np.concatenate(units))
    return Features(rate, np.array(seconds), offsets, np.concatenate(frames))


def _write(place: Path, found: Features) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in vars(found).items() if value is not None}
    with atomic_write(place, force=True) as stream:
        np.savez(stream, **kept)


def _read(place: Path, recordings: int, settings: AudioSettings) -> Features:
    with open_arrays(place) as arrays:
        rate, seconds = arrays.read("rate", "integer", 0), arrays.read("seconds", "float", 1)
        offsets = arrays.read("offsets", "integer", 1)
        frames = arrays.read("frames", "float", 2)
        times, units = arrays.read("times", "float", 1), arrays.read("units", "integer", 1)
    if rate is None or seconds is None or offsets is None or {len(offsets), len(seconds) + 1} != {recordings + 1}:
        raise BrfkitError(f"{place} is incomplete")
    rows = (times, units) if settings.spiking else (frames,)
    if any(values is None or len(values) != offsets[-1] for values in rows):
        raise BrfkitError(f"{place} is incomplete")
    return Features(int(rate), seconds, offsets.astype(np.int64), frames, times, units)
