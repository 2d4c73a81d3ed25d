"""Frequency response of neurons: by the transfer function of their update, and measured on simulated ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from brfkit.analysis.neuron.frequency.linear import (
    resonance_of,
    settling_steps,
    spectral_radius,
    transfer,
)
from brfkit.analysis.neuron.frequency.measured import (
    SETTLED,
    Engine,
    measure_chirp,
    measure_sines,
    measure_spike_trains,
)
from brfkit.analysis.neuron.frequency.result import FrequencyResponse
from brfkit.errors import BrfkitError
from brfkit.neurons import OptionValue, get_neuron
from brfkit.simulation.reduce import Population, Progress, choose_engine
from brfkit.simulation.values import Values, check_bound, population_parameters

if TYPE_CHECKING:
    from typing_extensions import Unpack

MEASURES = ("sine", "chirp", "spikes")
# Sines and chirps stay this share of the threshold in the steady state; a pulse lifts the state to more than half
# of it, so that few in time with the neuron make it spike.
SUB_THRESHOLD, PULSE = 0.1, 0.7
# Of the train that no neuron spikes to, in units of the one that it may spike to.
FAINT = 1e-6
TOP = 0.95  # of π/δ, the highest frequency that is taken without being asked for


def frequency_grid(
    dt: float, low: float | None = None, high: float | None = None, points: int = 200, log: bool = True
) -> NDArray[np.float64]:
    """Input frequencies in rad per unit time, (points,): from ``low`` (0.1) to ``high`` (100, or just below π/δ).

    Raises:
        BrfkitError: the range is empty, or reaches π/δ, which steps of δ cannot carry.
    """
    top = np.pi / dt
    high = min(100.0, TOP * top) if high is None else high
    low = min(0.1, 1e-3 * high) if low is None else low
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low < high):
        raise BrfkitError(f"input frequencies must rise from above 0, not from {low:g} to {high:g}")
    if high >= top:
        raise BrfkitError(f"input frequencies must lie below π/δ = {top:.5g} rad per unit time, not reach {high:g}")
    if points < 2:
        raise BrfkitError(f"a range of input frequencies needs at least 2 points, not {points}")
    return np.geomspace(low, high, points) if log else np.linspace(low, high, points)


class ResponseOptions(TypedDict, total=False):
    """Keyword arguments that say how a response is taken; see :class:`ResponseSettings`."""

    frequencies: NDArray[np.float64] | Sequence[float] | None
    observed: str | None
    measure: Sequence[str]
    amplitude: float | None
    duration: float
    dtype: str
    backend: str
    threads: int | None
    progress: Progress | None


@dataclass(frozen=True)
class ResponseSettings:
    """How a response is taken.

    Attributes:
        frequencies: in rad per unit time; None takes 200 from 0.1 to 100, evenly spaced on a logarithmic axis.
        observed: symbol of the state; None takes the first, u.
        measure: of ``sine``, ``chirp``, ``spikes``; () simulates nothing.
        amplitude: current of one pulse of a spike train; None takes one that lifts the state to 0.7 of the threshold.
        duration: of spike trains and chirp and, at least, of the sines, in the time unit of δ.
        dtype: of the simulation.
        backend: ``auto``, ``numba`` or ``reference``.
        threads, progress: as for :func:`brfkit.simulate`; progress counts neuron-steps.
    """

    frequencies: NDArray[np.float64] | Sequence[float] | None = None
    observed: str | None = None
    measure: Sequence[str] = MEASURES
    amplitude: float | None = None
    duration: float = 20.0
    dtype: str = "float64"
    backend: str = "auto"
    threads: int | None = None
    progress: Progress | None = None


def frequency_response(
    neuron: str = "brf",
    *,
    omega: Values | None = None,
    b_offset: Values | None = None,
    parameters: Mapping[str, Values] | None = None,
    constants: Mapping[str, float] | None = None,
    options: Mapping[str, OptionValue] | None = None,
    dt: float = 0.01,
    neurons: int | None = None,
    **how: Unpack[ResponseOptions],
) -> FrequencyResponse:
    """Frequency response of unconnected neurons.

    The analytic response is the transfer function of the update, linearised below threshold by the neuron's generated
    adjoint. Sines and a chirp measure the same on simulated neurons that stay below threshold; spike trains of every
    frequency measure mean |u| and spikes (Higuchi, Kairat, Bohté, Otte, ICML 2024, appendix).

    Args:
        neuron, omega, b_offset, parameters, constants, options, dt, neurons: as for :func:`brfkit.simulate`.
        how: see :class:`ResponseSettings`.

    Raises:
        BrfkitError: anything unknown, not finite or that does not fit; frequencies of π/δ and beyond; no neuron that
            has a steady response.
    """
    began = time.perf_counter()
    given = dict(parameters or {})
    given |= {n: v for n, v in (("omega", omega), ("b_offset", b_offset)) if v is not None}
    taken = ResponseSettings(**how)
    population = _population(neuron, given, neurons, dt, options, constants, taken.dtype)
    given_w = taken.frequencies
    w = frequency_grid(dt) if given_w is None else _checked(np.asarray(given_w, np.float64), dt)
    kinds = _kinds(taken.measure)
    engine = Engine(choose_engine(taken.backend), taken.threads, taken.progress)
    linear = population.linear
    symbol = population.model.states[0] if taken.observed is None else taken.observed
    if symbol not in linear.states:
        population.state_number(symbol)
        raise BrfkitError(f"no current reaches the state {symbol} of {neuron} below threshold; take {linear.states[0]}")
    number = linear.states.index(symbol)
    radius = spectral_radius(linear)
    if not (radius < 1.0).any():
        raise BrfkitError(_unstable(population, radius))
    analytic = transfer(linear, number, w, dt)
    analytic[~(radius < 1.0)] = np.nan
    found = FrequencyResponse(
        population, symbol, w, radius, analytic, resonance_of(linear, number, dt), {}, None, None, 0.0, taken.duration,
        engine.name, 0, 0.0, 0.0,
    )  # fmt: skip
    found = _with_spike_trains(_with_filters(found, kinds, engine), kinds, taken.amplitude, engine)
    return replace(found, seconds=time.perf_counter() - began)


def _population(
    neuron: str,
    given: Mapping[str, Values],
    neurons: int | None,
    dt: float,
    options: Mapping[str, OptionValue] | None,
    constants: Mapping[str, float] | None,
    dtype: str,
) -> Population:
    spec = get_neuron(neuron)
    switches = spec.resolve_options(options or {})
    values = population_parameters(spec, given, neurons, switches, constants)
    spec.resolve_constants(dt, constants or {})
    check_bound(spec, values.get("omega"), dt, switches)
    if dtype not in ("float32", "float64"):
        raise BrfkitError(f"dtype must be float32 or float64, not {dtype!r}")
    return Population(neuron, values, dt, options, constants, dtype=dtype)


def _stable_part(found: FrequencyResponse) -> Population:
    whole = found.population
    return replace(whole, parameters={n: v[found.stable] for n, v in whole.parameters.items()})


def _spread(found: FrequencyResponse, values: NDArray[Any]) -> NDArray[Any]:
    """Values of the stable neurons as rows of all neurons, NaN for the others."""
    out = np.full((found.neurons, len(found.frequencies)), np.nan, np.result_type(values, np.float64))
    out[found.stable] = values
    return out


def _with_filters(found: FrequencyResponse, kinds: Sequence[str], engine: Engine) -> FrequencyResponse:
    """The response with sines and chirp measured where they were asked for."""
    part, w, dt = _stable_part(found), found.frequencies, found.population.dt
    steps = _steps(found.duration, dt)
    settle = np.minimum(settling_steps(found.radius[found.stable], SETTLED), 1e12).astype(np.int64)
    current = _faint_current(part, w)
    measured, neuron_steps, simulating = {}, found.neuron_steps, found.simulating
    for kind, method in (("sine", measure_sines), ("chirp", measure_chirp)):
        if kind not in kinds:
            continue
        # Half a period of the slowest sine distinguishes it from a constant.
        length = max(steps, int(np.ceil(np.pi / w.min() / dt))) if kind == "sine" else steps
        one = method(part, found.observed, w, current, length, settle, engine)
        if one.spikes:
            raise BrfkitError(f"{one.spikes} spikes in a measurement below threshold; measure spike trains only")
        measured[kind] = _spread(found, one.response)
        neuron_steps, simulating = neuron_steps + one.neuron_steps, simulating + one.seconds
    return replace(found, measured=measured, neuron_steps=neuron_steps, simulating=simulating)


def _with_spike_trains(
    found: FrequencyResponse, kinds: Sequence[str], amplitude: float | None, engine: Engine
) -> FrequencyResponse:
    """The response with spike trains measured where they were asked for."""
    if "spikes" not in kinds:
        return found
    part = _stable_part(found)
    amplitude = _pulse(part, found.observed) if amplitude is None else amplitude
    if not (np.isfinite(amplitude) and amplitude != 0):
        raise BrfkitError(f"the amplitude of spike trains must be a finite number other than 0, not {amplitude!r}")
    steps, trains = _steps(found.duration, part.dt), []
    for scale in (1.0, FAINT):
        one = measure_spike_trains(part, found.observed, found.frequencies, scale * amplitude, steps, engine)
        mean, spikes = _spread(found, one.mean_abs) / scale, _spread(found, one.spikes)
        trains.append(replace(one, mean_abs=mean, spikes=spikes))
    return replace(
        found,
        spike_trains=trains[0],
        subthreshold_trains=trains[1],
        amplitude=amplitude,
        neuron_steps=found.neuron_steps + sum(one.neuron_steps for one in trains),
        simulating=found.simulating + sum(one.seconds for one in trains),
    )


def _faint_current(population: Population, w: NDArray[np.float64]) -> float:
    """Amplitude at which no state of any neuron comes near the threshold."""
    linear = population.linear
    gains = [np.abs(transfer(linear, i, w, population.dt)).max() for i in range(len(linear.states))]
    return SUB_THRESHOLD * population.threshold / float(max(gains))


def _pulse(population: Population, symbol: str) -> float:
    """Current of one step that lifts the state of the most easily moved neuron to 0.7 of its threshold."""
    linear = population.linear
    number, state = linear.states.index(symbol), linear.input
    reach = np.abs(state[:, number]).max()
    for _ in range(10_000 if reach == 0 else 0):  # a state that the current reaches through others only
        state = (linear.transition @ state[..., None])[..., 0]
        reach = max(reach, np.abs(state[:, number]).max())
    return PULSE * population.threshold / float(reach)


def _kinds(measure: Sequence[str]) -> tuple[str, ...]:
    for kind in measure:
        if kind not in MEASURES:
            raise BrfkitError(f"unknown measurement {kind!r}; there are {', '.join(MEASURES)}")
    return tuple(measure)


def _checked(w: NDArray[np.float64], dt: float) -> NDArray[np.float64]:
    if w.ndim != 1 or w.size == 0 or not np.isfinite(w).all() or w.min() <= 0:
        raise BrfkitError("frequencies must be a list of finite numbers above 0")
    if w.max() >= np.pi / dt:
        top = np.pi / dt
        raise BrfkitError(f"input frequencies must lie below π/δ = {top:.5g} rad per unit time, not reach {w.max():g}")
    return w


def _steps(duration: float, dt: float) -> int:
    if not (np.isfinite(duration) and duration >= 2 * dt):
        raise BrfkitError(f"a duration must be at least two steps of {dt:g}, not {duration!r}")
    return round(duration / dt)


def _unstable(population: Population, radius: NDArray[np.float64]) -> str:
    values = ", ".join(f"{n} {v[0]:g}" for n, v in population.parameters.items())
    return (
        f"{population.neuron} with {values} does not come to rest at dt {population.dt:g}: a step multiplies it by "
        f"{radius[0]:.6g}, so it has no frequency response; take a smaller dt or a larger b_offset"
    )
