"""The response measured on simulated neurons: sines, a chirp, and spike trains of every input frequency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.simulation.reduce import Population, Progress, Sums, reduce_channels
from brfkit.simulation.stimulus import Stimulus

# What is left of the start where measuring begins. It lies far below 0.1 % also of the smallest gains of a map.
SETTLED = 1e-9
LONGEST = 5_000_000


@dataclass(frozen=True)
class Engine:
    """Compute backend (``numba`` or ``reference``), threads, and the callback for progress."""

    name: str = "numba"
    threads: int | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class Measured:
    """Complex response (N, F) and the spikes that there were meanwhile, with what it took."""

    response: NDArray[np.complex128]
    spikes: int
    neuron_steps: int
    seconds: float


@dataclass(frozen=True)
class SpikeTrains:
    """Answer to spike trains, (N, F) each.

    Attributes:
        mean_abs: mean of the modulus of the state.
        spikes: number of spikes; 0 for a neuron without.
        neuron_steps, seconds: what it took.
    """

    mean_abs: NDArray[np.float64]
    spikes: NDArray[np.int64]
    neuron_steps: int
    seconds: float


def _waves(
    frequencies: NDArray[np.float64], skip: int, steps: int, dt: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """cos ωt and sin ωt at t = 0, δ, …: (c, skip + steps) each, 0 before step ``skip``, where nothing reads them."""
    phase = frequencies[:, None] * (np.arange(skip, skip + steps) * dt)
    before = ((0, 0), (skip, 0))
    return np.pad(np.cos(phase), before), np.pad(np.sin(phase), before)


def _kept(population: Population) -> tuple[str, ...]:
    return ("cos", "sin", "output") if population.model.neuron.spiking else ("cos", "sin")


def measure_sines(
    population: Population,
    observed: str,
    frequencies: NDArray[np.float64],
    amplitude: float,
    steps: int,
    settle: NDArray[np.int64],
    engine: Engine,
) -> Measured:
    """The response to a sine of every frequency, by least squares on cos and sin once the start has died away.

    Args:
        population: N neurons.
        observed: symbol of the state.
        frequencies: (F,) in rad per unit time, above 0 and below π/δ.
        amplitude: of the current; small enough for no spike.
        steps: over which is measured.
        settle: steps before that, (N,).
        engine: compute backend.
    """
    dt = population.dt

    def current(rows: NDArray[np.intp], length: int) -> NDArray[np.float64]:
        return amplitude * np.sin(frequencies[rows, None] * (np.arange(length) * dt))

    def references(rows: NDArray[np.intp], skip: int, length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _waves(frequencies[rows], skip, length, dt)

    _check_length(int(settle.max(initial=0)) + steps)
    sums = reduce_channels(
        population, observed, _kept(population), len(frequencies), current, steps, skip=settle,
        references=references, engine=engine.name, threads=engine.threads, progress=engine.progress,
    )  # fmt: skip
    cc, cs, ss = _gram(frequencies[:, None], sums.skip, steps, dt)
    at_cos, at_sin = sums.by_name["cos"], sums.by_name["sin"]
    with np.errstate(all="ignore"):
        determinant = cc * ss - cs**2
        a = (ss * at_cos - cs * at_sin) / determinant  # u = a cos + b sin, [F, N]
        b = (cc * at_sin - cs * at_cos) / determinant
    response = np.asarray((b + 1j * a).T / amplitude, np.complex128)
    return Measured(response, _spikes(sums), sums.neuron_steps, sums.seconds)


def _gram(
    frequencies: NDArray[np.float64], first: NDArray[np.int64], steps: int, dt: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Σ cos², Σ cos sin and Σ sin² over the steps from ``first`` on, by the geometric series of e^{2iωt}."""
    turn = 2j * frequencies * dt
    series = np.exp(turn * first) * np.expm1(turn * steps) / np.expm1(turn)
    return 0.5 * (steps + series.real), 0.5 * series.imag, 0.5 * (steps - series.real)


def measure_chirp(
    population: Population,
    observed: str,
    frequencies: NDArray[np.float64],
    amplitude: float,
    steps: int,
    settle: NDArray[np.int64],
    engine: Engine,
) -> Measured:
    """The response to one chirp from 0 over the highest frequency, as the ratio of the Fourier sums of state and
    current. After ``steps`` steps of current the state is followed for ``settle`` more, until nothing is left of it.

    Arguments as for :func:`measure_sines`.
    """
    dt = population.dt
    top = min(1.1 * float(frequencies.max()), np.pi / dt)
    chirp = Stimulus("chirp", amplitude, 0.5 * top).samples(steps, dt)

    def current(rows: NDArray[np.intp], length: int) -> NDArray[np.float64]:
        return np.broadcast_to(np.pad(chirp, (0, length - steps)), (len(rows), length))

    def references(rows: NDArray[np.intp], skip: int, length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _waves(frequencies[rows], skip, length, dt)

    total = steps + int(settle.max(initial=0))
    _check_length(total)
    sums = reduce_channels(
        population, observed, _kept(population), len(frequencies), current, total,
        references=references, engine=engine.name, threads=engine.threads, progress=engine.progress,
    )  # fmt: skip
    of_current = np.empty(len(frequencies), np.complex128)
    for i, w in enumerate(frequencies):
        of_current[i] = chirp @ np.exp(-1j * w * (np.arange(steps) * dt))
    of_state = sums.by_name["cos"] - 1j * sums.by_name["sin"]  # [F, N]
    return Measured((of_state / of_current[:, None]).T, _spikes(sums), sums.neuron_steps, sums.seconds)


def measure_spike_trains(
    population: Population,
    observed: str,
    frequencies: NDArray[np.float64],
    amplitude: float,
    steps: int,
    engine: Engine,
) -> SpikeTrains:
    """Mean |u| and spikes under a train of one-step pulses at every frequency, from rest on.

    The method of Higuchi, Kairat, Bohté, Otte, ICML 2024, appendix. Arguments as for :func:`measure_sines`.
    """

    def current(rows: NDArray[np.intp], length: int) -> NDArray[np.float64]:
        trains = [Stimulus("pulse", amplitude, float(frequencies[row])) for row in rows]
        return np.stack([train.samples(length, population.dt) for train in trains])

    kept = ("abs", "output") if population.model.neuron.spiking else ("abs",)
    sums = reduce_channels(
        population, observed, kept, len(frequencies), current, steps,
        engine=engine.name, threads=engine.threads, progress=engine.progress,
    )  # fmt: skip
    spikes = sums.by_name.get("output", np.zeros_like(sums.by_name["abs"]))
    return SpikeTrains(
        sums.by_name["abs"].T / steps, np.nan_to_num(spikes.T).astype(np.int64), sums.neuron_steps, sums.seconds
    )


def _spikes(sums: Sums) -> int:
    return int(np.nansum(sums.by_name.get("output", np.zeros(1))))


def _check_length(steps: int) -> None:
    if steps > LONGEST:
        raise BrfkitError(
            f"the slowest neuron takes {steps:,} steps until its start has died away, more than {LONGEST:,}; give it "
            f"a larger b_offset, or measure spike trains only"
        )
