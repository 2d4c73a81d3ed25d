"""Front ends: from the sound of one recording to frames [T, I] or to spikes.

Every front end is independent of the loudness of a recording and of all other recordings, so that nothing of a test
part reaches training, and a network can be evaluated on another folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from brfkit.data.audio.settings import COCHLEA, MFCC, RAW, AudioSettings
from brfkit.data.formats.levelcross import level_cross
from brfkit.errors import BrfkitError

Floats = NDArray[np.float64]

LOWEST = 50.0  # Hz, of the bands
_RANGE_DB = 60.0  # below the loudest band of a recording; what is fainter is silence
_HAIR_CELL = 1000.0  # Hz, low pass after rectification
_COMPRESSION = 0.3
_FAINT = 0.03  # share of the root mean square that a rectified band must exceed


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of one recording.

    Attributes:
        times: float32 [S], seconds, the middle of a step where the front end works step by step.
        units: uint16 [S].
    """

    times: NDArray[np.float32]
    units: NDArray[np.uint16]


def resampled(sound: Floats, rate: int, wanted: int | None) -> Floats:
    """`sound` (T,) at `wanted` samples per second, by a polyphase filter."""
    if wanted is None or wanted == rate:
        return sound
    from scipy.signal import resample_poly

    divisor = int(np.gcd(rate, wanted))
    return np.asarray(resample_poly(sound, wanted // divisor, rate // divisor), np.float64)


def check_rate(settings: AudioSettings, rate: int) -> None:
    """Refuse settings that recordings of this sampling rate cannot fulfil.

    Raises:
        BrfkitError: bands above half the rate, or windows of fewer than two samples.
    """
    if settings.front_end == RAW:
        return
    if rate < 4 * LOWEST:
        raise BrfkitError(f"recordings of {rate} Hz have no bands above {LOWEST:g} Hz; use the front end raw")
    if settings.frame_step * rate < 1:
        raise BrfkitError(f"a frame step of {settings.frame_step:g} s is shorter than a sample at {rate} Hz")
    if settings.front_end != COCHLEA and settings.frame_width * rate < 2:
        raise BrfkitError(f"a frame width of {settings.frame_width:g} s holds no two samples at {rate} Hz")
    if settings.front_end != COCHLEA and (mel_filters(settings.bands, *_window(settings, rate)).sum(1) == 0).any():
        raise BrfkitError(
            f"{settings.bands} bands are too many for windows of {settings.frame_width:g} s at {rate} Hz: some hold no "
            "frequency; take fewer bands or a larger frame width"
        )


def frames_of(sound: Floats, rate: int, settings: AudioSettings) -> NDArray[np.float32]:
    """Channels of a dense front end, float32 [T, I]; every channel has mean 0 and standard deviation 1."""
    if settings.front_end == RAW:
        return np.asarray(sound / _rms(sound), np.float32)[:, None]
    frames = log_mel(sound, rate, settings)
    if settings.front_end == MFCC:
        from scipy.fft import dct

        frames = np.asarray(dct(frames, type=2, norm="ortho", axis=1))[:, : settings.coefficients]
    frames = frames - frames.mean(0)
    spread = frames.std(0)
    return np.asarray(frames / np.where(spread > 1e-9, spread, 1.0), np.float32)


def spikes_of(sound: Floats, rate: int, settings: AudioSettings) -> Spikes:
    """Spikes of a spiking front end."""
    if settings.front_end == COCHLEA:
        return _cochlea(sound, rate, settings)
    events = level_cross(log_mel(sound, rate, settings), settings.level)
    steps, units = np.nonzero(events)
    times = (steps + 0.5) * settings.frame_step
    return Spikes(times.astype(np.float32), units.astype(np.uint16))


def log_mel(sound: Floats, rate: int, settings: AudioSettings) -> Floats:
    """Power in bands that are equally wide on the mel scale, in dB, [T, bands].

    Frames of `frame_width` under a Hann window begin every `frame_step`; what is more than 60 dB below the loudest
    band of the recording is raised to there.
    """
    width, size = _frame(settings, rate), _window(settings, rate)[0]
    count = 1 + max(0, int((len(sound) - width) / (settings.frame_step * rate)))
    begins = np.round(np.arange(count) * settings.frame_step * rate).astype(np.int64)
    padded = np.zeros(max(len(sound), int(begins[-1]) + width))
    padded[: len(sound)] = sound
    windowed = padded[begins[:, None] + np.arange(width)] * np.hanning(width + 2)[1:-1]
    power = np.abs(np.fft.rfft(windowed, size, axis=1)) ** 2
    bands = power @ mel_filters(settings.bands, size, rate).T
    loudest = float(bands.max()) or 1.0
    return np.asarray(10.0 * np.log10(np.maximum(bands / loudest, 10.0 ** (-_RANGE_DB / 10))))


@lru_cache(maxsize=8)
def mel_filters(bands: int, size: int, rate: int) -> Floats:
    """Triangles [bands, size // 2 + 1] over the bins of a spectrum, equidistant on the mel scale from 50 Hz to half
    the rate; mel = 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987)."""
    frequencies = np.arange(size // 2 + 1) * rate / size
    ends = 2595.0 * np.log10(1.0 + np.array([LOWEST, rate / 2]) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(ends[0], ends[1], bands + 2) / 2595.0) - 1.0)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling))


def _frame(settings: AudioSettings, rate: int) -> int:
    return max(2, round(settings.frame_width * rate))


def _window(settings: AudioSettings, rate: int) -> tuple[int, int]:
    """Length of the Fourier transform, at least a bin for every 16 Hz, and the rate."""
    return 1 << int(np.ceil(np.log2(max(_frame(settings, rate), rate / 16)))), rate


def _cochlea(sound: Floats, rate: int, settings: AudioSettings) -> Spikes:
    """Gammatone bands, rectified, smoothed and compressed, drive integrate-and-fire neurons without leak."""
    from scipy.signal import lfilter

    smooth = np.exp(-2.0 * np.pi * min(_HAIR_CELL, rate / 4) / rate)
    normal = sound / _rms(sound)
    times, units = [], []
    for band, (b, a) in enumerate(_gammatones(settings.bands, rate)):
        rectified = np.maximum(lfilter(b, a, normal), 0.0)
        envelope = np.asarray(lfilter([1.0 - smooth], [1.0, -smooth], rectified))
        drive = np.where(envelope > _FAINT, envelope, 0.0) ** _COMPRESSION
        passed = np.floor(np.cumsum(drive) / (rate * settings.level)).astype(np.int64)
        new = np.diff(passed, prepend=0)
        at = np.repeat(np.arange(len(new)), new)
        times.append((at / rate).astype(np.float32))
        units.append(np.full(len(at), band, np.uint16))
    return Spikes(np.concatenate(times), np.concatenate(units))


@lru_cache(maxsize=4)
def _gammatones(bands: int, rate: int) -> tuple[tuple[Floats, Floats], ...]:
    """IIR gammatone filters whose centres are equidistant on the ERB scale of Glasberg and Moore (1990)."""
    from scipy.signal import gammatone

    ends = 21.4 * np.log10(1.0 + 0.00437 * np.array([LOWEST, 0.45 * rate]))
    centres = (10.0 ** (np.linspace(ends[0], ends[1], bands) / 21.4) - 1.0) / 0.00437
    return tuple(gammatone(float(centre), "iir", fs=rate) for centre in centres)


def _rms(sound: Floats) -> float:
    """Root mean square; 1 for silence."""
    return float(np.sqrt(np.mean(sound**2))) or 1.0
