"""The discrete neuron below threshold as a linear filter: transfer function, impulse response, peak, bandwidth, Q."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.codegen.linearise import Linearised

HALF_POWER = float(np.sqrt(0.5))  # -3 dB
GRID = 400
# Each step of the search keeps this share of the interval; so many of them reach the last digit.
GOLDEN, SEARCH_STEPS, BISECTIONS = (float(np.sqrt(5.0)) - 1.0) / 2.0, 80, 60
BLOCK = 1 << 19  # neurons x frequencies that are solved at once


def transfer(linear: Linearised, observed: int, frequencies: NDArray[np.float64], dt: float) -> NDArray[np.complex128]:
    """Response of a state to the current, H(e^{iωδ}) = C (1 - A e^{-iωδ})⁻¹ B.

    Args:
        linear: N neurons of S states; A (N, S, S) and B (N, S).
        observed: number of the state that C picks.
        frequencies: in rad per unit time, (F,) for all, or (N, F).
        dt: time step δ.

    Returns:
        (N, F); the state after step t divided by the current of step t. Where A has an eigenvalue beyond the unit
        circle the formula has a value, but no state comes to it.
    """
    a, b = linear.transition, linear.input
    w = np.broadcast_to(frequencies, (len(a), frequencies.shape[-1]))
    out = np.empty(w.shape, np.complex128)
    one = np.eye(a.shape[-1])
    rows = max(BLOCK // max(w.shape[1], 1), 1)
    for first in range(0, len(a), rows):
        part = slice(first, first + rows)
        shift = np.exp(-1j * dt * w[part])[..., None, None]  # [n, F, 1, 1]
        matrix = one - shift * a[part, None]
        right = np.broadcast_to(b[part, None, :, None], (*matrix.shape[:-1], 1))
        out[part] = np.linalg.solve(matrix, right)[..., observed, 0]
    return out


def system(linear: Linearised, observed: int, dt: float, index: int = 0) -> Any:
    """One neuron as a :class:`scipy.signal.dlti`, for every function of ``scipy.signal`` that takes a system.

    Its state at step k is the neuron's state before that step, so that the output C A s + C B I is the state after it.
    """
    from scipy.signal import dlti

    a, b = linear.transition[index], linear.input[index][:, None]
    return dlti(a, b, a[observed : observed + 1], b[observed : observed + 1], dt=dt)


def impulse_response(linear: Linearised, observed: int, steps: int, index: int = 0) -> NDArray[np.float64]:
    """The state after steps 0, 1, … where a current of 1 flows in step 0 only, (steps,)."""
    # With steps of 1, as times that are multiples of δ round to a step less.
    _, (response,) = system(linear, observed, 1.0, index).impulse(n=steps)
    return np.asarray(response[:, 0], np.float64)


def spectral_radius(linear: Linearised) -> NDArray[np.float64]:
    """Largest modulus of the eigenvalues, by which the slowest mode is multiplied in a step, (N,); inf where the
    matrix is not finite."""
    finite = np.isfinite(linear.transition).all((-1, -2))
    radius = np.full(linear.transition.shape[:-2], np.inf)
    radius[finite] = np.abs(np.linalg.eigvals(linear.transition[finite])).max(-1)
    return radius


def settling_steps(radius: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Steps after which the slowest mode has shrunk to ``share``, (N,); inf where it does not shrink."""
    with np.errstate(divide="ignore"):
        steps = np.ceil(np.log(share) / np.log(np.maximum(radius, 1e-300)))
    return np.where(radius < 1.0, np.maximum(steps, 1.0), np.inf)


@dataclass(frozen=True)
class Resonance:
    """Characteristics of the gain |H|, (N,) each, frequencies in rad per unit time; NaN where there is none.

    Attributes:
        peak_frequency: where the gain is largest; 0 for a low pass.
        peak_gain: gain there.
        lower, upper: where the gain has fallen by 3 dB (to 1/√2); ``lower`` is 0 where it does not fall that far down
            to frequency 0, ``upper`` NaN where it does not up to π/δ.
        bandwidth: upper - lower.
        q: peak_frequency / bandwidth; NaN without a resonance, that is where ``lower`` is 0.
    """

    peak_frequency: NDArray[np.float64]
    peak_gain: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    bandwidth: NDArray[np.float64]
    q: NDArray[np.float64]


def resonance_of(linear: Linearised, observed: int, dt: float) -> Resonance:
    """Peak, -3 dB points and Q of every neuron; NaN for one without steady response (spectral radius 1 or more)."""
    stable = spectral_radius(linear) < 1.0
    found = {name: np.full(len(stable), np.nan) for name in Resonance.__dataclass_fields__}
    rows = np.flatnonzero(stable)
    for first in range(0, len(rows), BLOCK // GRID):
        part = rows[first : first + BLOCK // GRID]
        for name, values in _characteristics(_select(linear, part), observed, dt).items():
            found[name][part] = values
    return Resonance(**found)


def _select(linear: Linearised, rows: NDArray[np.intp]) -> Linearised:
    return Linearised(
        linear.states, linear.transition[rows], linear.input[rows], linear.output[rows], linear.feedthrough[rows]
    )


def _characteristics(linear: Linearised, observed: int, dt: float) -> dict[str, NDArray[np.float64]]:
    def gain(w: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.abs(transfer(linear, observed, w[:, None], dt)[:, 0])

    # The angles of the eigenvalues lead to peaks that are narrower than the grid.
    count, nyquist = len(linear.transition), np.pi / dt
    angles = np.abs(np.angle(np.linalg.eigvals(linear.transition))) / dt
    grid = np.concatenate([[0.0], np.geomspace(1e-5, 1.0, GRID) * nyquist])
    candidates = np.sort(np.concatenate([np.broadcast_to(grid, (count, len(grid))), angles], axis=1), axis=1)
    best = np.abs(transfer(linear, observed, candidates, dt)).argmax(1)[:, None]
    # As many away as there are angles: a pair of eigenvalues gives the same one twice.
    apart = angles.shape[1]
    left = np.take_along_axis(candidates, np.maximum(best - apart, 0), 1)[:, 0]
    right = np.take_along_axis(candidates, np.minimum(best + apart, candidates.shape[1] - 1), 1)[:, 0]
    peak = golden_maximum(gain, left, right)
    zero, top = np.zeros(count), np.full(count, nyquist)
    peak = np.where(gain(zero) >= gain(peak), zero, peak)
    level = gain(peak) * HALF_POWER
    resonant = gain(zero) < level
    lower = np.where(resonant, zero_crossing(lambda w: gain(w) - level, zero, peak), 0.0)
    upper = np.where(gain(top) < level, zero_crossing(lambda w: level - gain(w), peak, top), np.nan)
    width = upper - lower
    q = np.where(resonant, peak / width, np.nan)
    return dict(zip(Resonance.__dataclass_fields__, (peak, gain(peak), lower, upper, width, q), strict=True))


def golden_maximum(
    value: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Where a function with one maximum between ``left`` and ``right`` has it, for all at once (golden section)."""
    a, b = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_a, at_b = value(a), value(b)
    for _ in range(SEARCH_STEPS):
        low = at_a >= at_b  # the maximum lies left of b
        left, right = np.where(low, left, a), np.where(low, b, right)
        new = np.where(low, right - GOLDEN * (right - left), left + GOLDEN * (right - left))
        at_new = value(new)
        a, b, at_a, at_b = (
            np.where(low, new, b),
            np.where(low, a, new),
            np.where(low, at_new, at_b),
            np.where(low, at_a, at_new),
        )
    return 0.5 * (left + right)


def zero_crossing(
    value: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Where a function that is negative at ``low`` and positive at ``high`` is 0, for all at once (bisection)."""
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        above = value(middle) > 0
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return 0.5 * (low + high)
