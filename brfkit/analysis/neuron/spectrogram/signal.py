"""Signals to analyse: WAV, CSV and NPY files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brfkit.data.formats.wav import read_wav
from brfkit.errors import BrfkitError
from brfkit.simulation.stimulus import read_stimulus

SUFFIXES = (".wav", ".csv", ".npy")
RATE = 100.0  # samples per unit time of a file that does not say, δ = 0.01


@dataclass(frozen=True)
class Signal:
    """One channel.

    Attributes:
        values: (T,) float64, finite.
        rate: samples per second, or per unit time.
        name: for titles.
        seconds: whether the unit of time is the second.
    """

    values: NDArray[np.float64]
    rate: float
    name: str
    seconds: bool

    @property
    def duration(self) -> float:
        return len(self.values) / self.rate

    def downsampled(self, factor: int) -> Signal:
        """Every ``factor``-th sample after a low pass without delay."""
        if factor == 1:
            return self
        from scipy.signal import decimate

        if factor < 1 or len(self.values) // factor < 2:
            raise BrfkitError(f"{len(self.values)} samples cannot be downsampled by {factor}")
        try:
            values = decimate(self.values, factor, ftype="fir", zero_phase=True)
        except ValueError:
            raise BrfkitError(f"{len(self.values)} samples are too few to downsample by {factor}") from None
        return Signal(np.asarray(values, np.float64), self.rate / factor, self.name, self.seconds)


def read_signal(path: str | Path, rate: float | None = None, channel: int | None = None) -> Signal:
    """A signal from a ``.wav`` file (integers are scaled to -1 … 1), or from ``.csv`` or ``.npy``, a line or row per
    sample and a column per channel.

    Args:
        path: the file.
        rate: samples per second of a ``.csv`` or ``.npy`` file; None takes 100 per unit time. A ``.wav`` has its own.
        channel: number of the channel, from 0; None takes the mean of all.

    Raises:
        BrfkitError: the file cannot be read, holds no finite numbers or no such channel.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise BrfkitError(f"signal {path} is none of {', '.join(SUFFIXES)}")
    if rate is not None and not (np.isfinite(rate) and rate > 0):
        raise BrfkitError(f"the sampling rate must be a positive number, not {rate!r}")
    if suffix == ".wav":
        if rate is not None:
            raise BrfkitError(f"{path} has its own sampling rate; leave --rate out")
        values, rate = _read_wav(file)
        seconds = True
    else:
        try:
            values = read_stimulus(file)
        except BrfkitError as error:
            raise BrfkitError(str(error).replace("stimulus", "signal")) from None
        seconds, rate = rate is not None, rate or RATE
    if channel is None:
        one = values.mean(1)
    elif not 0 <= channel < values.shape[1]:
        raise BrfkitError(f"signal {path} has {values.shape[1]} channels, numbered from 0; there is no {channel}")
    else:
        one = values[:, channel]
    if len(one) < 16:
        raise BrfkitError(f"signal {path} has only {len(one)} samples")
    return Signal(np.ascontiguousarray(one), float(rate), file.name, seconds)


def _read_wav(file: Path) -> tuple[NDArray[np.float64], float]:
    try:
        values, rate = read_wav(file)
    except BrfkitError as error:
        raise BrfkitError(f"signal {error}") from None
    return values, float(rate)
