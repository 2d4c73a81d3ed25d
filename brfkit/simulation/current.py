"""From what a user says about a current to its values: files, arrays, and formulas with defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.errors import BrfkitError
from brfkit.simulation.stimulus import (
    STIMULI,
    Stimulus,
    check_frequency,
    check_kind,
    check_values,
    check_window,
    read_stimulus,
    times,
    window,
)
from brfkit.simulation.values import default_amplitude

# Of sine and chirp, in rad per unit time, for neurons without a frequency of their own.
INTEGRATOR_FREQUENCY = 10.0


def given_current(stimulus: str | Path | NDArray[Any], steps: int | None) -> NDArray[np.float64] | None:
    """The current (steps, columns) of a file or array; None for a formula."""
    if isinstance(stimulus, str | Path):
        if str(stimulus) in STIMULI:
            return None
        if not Path(stimulus).suffix:
            check_kind(str(stimulus), None)
        current, name = read_stimulus(stimulus), f"stimulus {stimulus}"
    else:
        current, name = check_values(np.asarray(stimulus), "the given current"), "the given current"
    if steps is not None and steps > len(current):
        raise BrfkitError(f"{name} has {len(current)} steps, fewer than the {steps} asked for")
    return current[:steps]


def shape_current(
    current: NDArray[np.float64],
    neurons: int,
    amplitude: float | None,
    frequency: float | None,
    start: float,
    stop: float | None,
    dt: float,
) -> NDArray[np.float64]:
    """A given current, scaled and cut to its window."""
    if current.shape[1] not in (1, neurons):
        raise BrfkitError(
            f"the stimulus has {current.shape[1]} columns for {neurons} neurons; give one, or one per neuron"
        )
    if frequency is not None:
        raise BrfkitError("a stimulus from a file or array has no frequency; leave it out")
    check_window(start, stop)
    on = window(times(len(current), dt), dt, start, stop)
    return np.where(on[:, None], current * _finite("amplitude", 1.0 if amplitude is None else amplitude), 0.0)


def fill_in(
    kind: str,
    values: Mapping[str, NDArray[np.float64]],
    dt: float,
    amplitude: float | None,
    frequency: float | None,
    start: float,
    stop: float | None,
    seed: int,
    own: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Stimulus:
    """A formula with what was not said filled in; ``own`` is the frequency and the damping of the discrete neurons."""
    check_kind(kind, frequency)
    check_window(start, stop)
    if frequency is None and kind in ("sine", "chirp"):
        turning = np.where(own[0] > 0, own[0], np.abs(values["omega"])) if "omega" in values else INTEGRATOR_FREQUENCY
        frequency = float(np.mean(turning))
        if frequency == 0:
            raise BrfkitError(f"neurons with omega 0 have no frequency of their own; say that of the {kind}")
    check_frequency(frequency, dt)
    if amplitude is None:
        duration = stop - start if stop is not None and kind == "pulse" and frequency is None else None
        amplitude = default_amplitude(kind, values, float(own[1].mean()), dt, duration)
    return Stimulus(kind, _finite("amplitude", amplitude), frequency, start, stop, seed)


def _finite(name: str, value: float) -> float:
    if not np.isfinite(value):
        raise BrfkitError(f"{name} must be finite, not {value!r}")
    return float(value)


def cast(current: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The current in the dtype of the computation; one that overflows it is refused."""
    with np.errstate(over="ignore"):
        cast = current.astype(dtype)
    if not np.isfinite(cast).all():
        raise BrfkitError(f"the current reaches {np.abs(current).max():.3g}, beyond {dtype}; take a smaller amplitude")
    return cast


def describe(stimulus: Stimulus) -> str:
    """A formula in words."""
    if stimulus.frequency is None:
        return f"{stimulus.kind}, amplitude {stimulus.amplitude:g}"
    rate = f"0 to {2 * stimulus.frequency:.4g}" if stimulus.kind == "chirp" else f"{stimulus.frequency:.4g}"
    return f"{stimulus.kind}, amplitude {stimulus.amplitude:g}, {rate} rad/time"
