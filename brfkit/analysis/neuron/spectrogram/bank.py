"""A bank of resonators as a spectrogram, beside the short-time Fourier transform."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brfkit.analysis.neuron.frequency.linear import spectral_radius, transfer, zero_crossing
from brfkit.analysis.neuron.spectrogram.result import SILENCE, Spectrogram
from brfkit.analysis.neuron.spectrogram.signal import RATE, Signal, read_signal
from brfkit.analysis.neuron.stability.plane import B_OFFSET, OMEGA, Plane
from brfkit.errors import BrfkitError
from brfkit.simulation.reduce import Population, Progress, Work, choose_engine, load_kernel, reduce_block

if TYPE_CHECKING:
    from typing_extensions import Unpack

RESONATORS, FRAMES = 128, 600
# Where no b' is given, the -3 dB band of a resonator spans so many distances to the next.
OVERLAP = 1.5
# In the linear pass no state comes nearer to the threshold than this share; in the spiking one a sine as loud as the
# loudest of the signal takes every neuron so many thresholds high.
LINEAR, LOUD = 0.1, 5.0
CHUNK = 1 << 16  # steps at a time where every neuron has a current of its own


class BankOptions(TypedDict, total=False):
    """Keyword arguments that say what a bank of resonators is; see :class:`BankSettings`."""

    downsample: int
    resonators: int
    lowest: float | None
    highest: float | None
    log: bool
    b_offset: float | None
    hop: float | None
    spikes: bool
    dtype: str
    backend: str
    threads: int | None
    progress: Progress | None


@dataclass(frozen=True)
class BankSettings:
    """A bank of resonators.

    Attributes:
        downsample: take every so-manieth sample, after a low pass.
        resonators: M.
        lowest, highest: frequencies of the bank in Hz (cycles per unit time); None takes what the signal's length and
            rate allow.
        log: evenly spaced on a logarithmic axis.
        b_offset: b' of all resonators, in 1 per unit time: a -3 dB band of b'/π Hz; None makes bands of neighbours
            overlap.
        hop: length of a frame in the unit of time; None makes 600 frames.
        spikes: count spikes of a second pass, loud enough to make the neurons spike.
        dtype: of the simulation.
        backend: ``auto``, ``numba`` or ``reference``.
        threads, progress: as for :func:`brfkit.simulate`; progress counts neuron-steps.
    """

    downsample: int = 1
    resonators: int = RESONATORS
    lowest: float | None = None
    highest: float | None = None
    log: bool = True
    b_offset: float | None = None
    hop: float | None = None
    spikes: bool = False
    dtype: str = "float64"
    backend: str = "auto"
    threads: int | None = None
    progress: Progress | None = None


def spectrogram(
    signal: str | Path | ArrayLike,
    neuron: str = "brf",
    *,
    rate: float | None = None,
    channel: int | None = None,
    **bank: Unpack[BankOptions],
) -> Spectrogram:
    """A signal through a bank of resonators, each tuned so that the discrete neuron turns at its frequency.

    Args:
        signal: ``.wav``, ``.csv`` or ``.npy`` file, or an array (T,).
        neuron: a model with ω and b'.
        rate: samples per second; see :func:`brfkit.analysis.neuron.spectrogram.signal.read_signal`.
        channel: of several; None takes their mean.
        bank: see :class:`BankSettings`.

    Raises:
        BrfkitError: a signal that cannot be read, frequencies that the rate does not carry or at which the neuron
            diverges, a neuron without ω and b'.
    """
    began = time.perf_counter()
    settings = BankSettings(**bank)
    read = _signal(signal, rate, channel).downsampled(settings.downsample)
    f = bank_frequencies(read, settings.resonators, settings.lowest, settings.highest, settings.log)
    b_offset = settings.b_offset
    damping = _damping(f, settings.log) if b_offset is None else np.full(len(f), abs(float(b_offset)))
    population = tuned(neuron, f, damping, 1.0 / read.rate, settings.dtype)
    samples = max(round((settings.hop or read.duration / FRAMES) * read.rate), 1)
    if samples > len(read.values):
        raise BrfkitError(f"a frame of {samples} samples is longer than the signal, {len(read.values)}")
    engine = choose_engine(settings.backend)
    expected = float(len(read.values) * len(f) * (1 + settings.spikes))
    work = Work(expected, settings.threads, settings.progress)
    amplitude, counts = _run(population, f, read, samples, engine, work, settings.spikes)
    window, at, stft_t, stft = _stft(read, f, samples)
    middle = np.asarray((np.arange(len(amplitude)) + 0.5) * samples / read.rate)
    return Spectrogram(
        read, population, f, middle, samples, amplitude, counts, at, stft_t, stft, window, engine,
        work.neuron_steps, work.seconds, time.perf_counter() - began,
    )  # fmt: skip


def _signal(signal: str | Path | ArrayLike, rate: float | None, channel: int | None) -> Signal:
    if isinstance(signal, str | Path):
        return read_signal(signal, rate, channel)
    values = np.asarray(signal, np.float64)
    if values.ndim != 1 or len(values) < 16 or not np.isfinite(values).all():
        raise BrfkitError("a signal must be a list of at least 16 finite numbers")
    return Signal(values, float(rate or RATE), "signal", rate is not None)


def bank_frequencies(
    signal: Signal, count: int, lowest: float | None, highest: float | None, log: bool
) -> NDArray[np.float64]:
    """(count,) in Hz; without limits from four cycles in the signal, or a 500th of the highest, to a fifth of the
    rate."""
    highest = signal.rate / 5.0 if highest is None else highest
    lowest = max(highest / 500.0, min(4.0 / signal.duration, highest / 2.0)) if lowest is None else lowest
    if count < 2:
        raise BrfkitError(f"a bank needs at least 2 resonators, not {count}")
    if not (np.isfinite(highest) and 0 < lowest < highest):
        raise BrfkitError(f"the bank's frequencies must rise from above 0, not go from {lowest:g} to {highest:g}")
    if highest >= signal.rate / 2.0:
        raise BrfkitError(f"{signal.rate:g} samples per unit time carry up to {signal.rate / 2:g} Hz, not {highest:g}")
    return np.geomspace(lowest, highest, count) if log else np.linspace(lowest, highest, count)


def _damping(f: NDArray[np.float64], log: bool) -> NDArray[np.float64]:
    """b' with which the -3 dB band, b'/π wide, spans :data:`OVERLAP` distances between neighbours."""
    return np.asarray(np.pi * OVERLAP * np.gradient(f), np.float64)


def tuned(neuron: str, f: NDArray[np.float64], b_offset: NDArray[np.float64], dt: float, dtype: str) -> Population:
    """Neurons whose discrete oscillation has the frequencies ``f`` (M,) in Hz; ω is found by bisection.

    Raises:
        BrfkitError: a frequency beyond what the neuron reaches at this δ, or at which it diverges.
    """
    plane = Plane(neuron, dt, dtype=dtype)
    plane.check()

    def make(omega: NDArray[np.float64]) -> Population:
        return Population(neuron, {OMEGA: omega, B_OFFSET: b_offset}, dt, dtype=dtype)

    def turning(omega: NDArray[np.float64]) -> NDArray[np.float64]:
        eigen = np.linalg.eigvals(make(omega).linear.transition)
        return np.asarray(np.abs(np.angle(eigen)).max(1), np.float64)

    wanted = 2.0 * np.pi * f * dt
    top = np.full(len(f), min(plane.largest_omega, 2.0 / dt))
    reached = turning(top)
    if (reached < wanted).any():
        limit = float(reached.min()) / (2.0 * np.pi * dt)
        raise BrfkitError(
            f"at {1 / dt:g} samples per unit time {neuron} turns at up to {limit:.4g} Hz, not {f[-1]:g}; lower the "
            f"highest frequency, or downsample less"
        )
    population = make(zero_crossing(lambda omega: turning(omega) - wanted, np.zeros(len(f)), top))
    radius = spectral_radius(population.linear)
    if (radius >= 1.0).any():
        first = float(f[np.argmax(radius >= 1.0)])
        raise BrfkitError(
            f"{neuron} diverges from {first:.4g} Hz on at {1 / dt:g} samples per unit time; give a larger b_offset, "
            f"lower the highest frequency, or take brf, which does not"
        )
    return population


def _run(
    population: Population,
    f: NDArray[np.float64],
    signal: Signal,
    hop: int,
    engine: str,
    work: Work,
    spikes: bool,
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Amplitudes (F, M) of a pass below threshold, and spikes (F, M) of a loud one."""
    linear, dt = population.linear, population.dt
    frames = len(signal.values) // hop
    drive = signal.values[None, : frames * hop]
    loudest = float(np.abs(drive).max()) or 1.0
    # No state gets beyond max|I| Σ |A^k B| ≤ max|I| |B| / (1 - radius).
    reach = np.linalg.norm(linear.input, axis=1) / (1.0 - spectral_radius(linear))
    scale = LINEAR * population.threshold / (loudest * float(reach.max()))
    gains = np.stack(
        [transfer(linear, i, 2.0 * np.pi * f[:, None], dt)[:, 0] for i in range(len(linear.states))]
    )  # [S, M]
    energy = 0.5 * (np.abs(gains) ** 2).sum(0)  # mean energy under a sine of amplitude 1, [M]
    quiet = _frames(population, drive * scale, hop, "energy", engine, work)
    amplitude = np.sqrt(quiet / (hop * energy)) / scale
    if not spikes:
        return amplitude, None
    if not population.model.neuron.spiking:
        raise BrfkitError(f"{population.neuron} does not spike")
    answer = float(amplitude.max()) * np.sqrt(2.0 * energy)
    loud = LOUD * population.threshold / np.maximum(answer, SILENCE)
    return amplitude, _frames(population, drive, hop, "output", engine, work, loud).astype(np.int64)


def _frames(
    population: Population,
    drive: NDArray[np.float64],
    hop: int,
    kept: str,
    engine: str,
    work: Work,
    gain: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """A sum over every frame, (F, M); ``gain`` (M,) multiplies the current (1, T) of each neuron."""
    plan = population.plan(population.linear.states[0], (kept,), own=gain is not None)
    load_kernel(population, plan, engine)
    steps = drive.shape[1]
    out = np.empty((steps // hop, population.size))
    blocks = [np.arange(i, min(i + plan.lanes, population.size)) for i in range(0, population.size, plan.lanes)]
    length = steps if gain is None else max(CHUNK // hop, 1) * hop

    def job(index: int) -> int:
        block, state = blocks[index], None
        for first in range(0, steps, length):
            part = drive[:, first : first + length]
            current = part if gain is None else part[..., None] * gain[block]
            sums, state = reduce_block(population, plan, block, current, state=state, frame=hop, engine=engine)
            out[first // hop : first // hop + sums.shape[1], block] = sums[0, :, 0]
        return int(steps * len(block))

    work.run(job, len(blocks))
    return out


def _stft(
    signal: Signal, f: NDArray[np.float64], hop: int
) -> tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Window, frequencies (K,), times (J,) and amplitudes (J, K); the Hann window is about as selective as the bank in
    the middle of its range."""
    from scipy.signal import stft

    width = OVERLAP * float(np.median(np.gradient(f)))  # Hz; a Hann window of n samples has 1.44 rate/n
    window = int(np.clip(2 ** round(np.log2(1.44 * signal.rate / width)), 16, len(signal.values)))
    step = min(hop, window // 2)
    at, t, values = stft(signal.values, signal.rate, nperseg=window, noverlap=window - step, detrend=False)
    band = (at >= 0.5 * f[0]) & (at <= 1.1 * f[-1])
    band[np.flatnonzero(band)[:1] - 1] = True
    return window, at[band], t, 2.0 * np.abs(values[band]).T
