"""The linear neuron below threshold: its growth and its resonance; and when a simulation diverges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brfkit.codegen.model import build_model
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.network import Layer

GROWTH = 10.0
ROUNDING = 1e-7
PROBE = 1e-6


def eigenvalues(layer: Layer, parameters: Mapping[str, NDArray], dt: float) -> NDArray[np.complex128]:
    """Eigenvalues of the sub-threshold map, by which a small deviation from rest is multiplied in one step without
    input. The map is taken from the neuron's own ``step``.

    Args:
        layer: neuron, options and constants.
        parameters: by name, (H,) each.
        dt: time step δ.

    Returns:
        (H, states); NaN where the map is not finite.
    """
    model = build_model(layer.neuron, layer.options)
    values: dict[str, Any] = dict(layer.spec.resolve_constants(dt, layer.constants))
    values |= {n: np.asarray(v, np.float64) for n, v in parameters.items()}
    size, states = layer.units, model.states
    zero = np.zeros(size)
    step = build(model.step, "numpy", NUMPY)

    def after(state: Mapping[str, NDArray]) -> NDArray[np.float64]:
        arguments = {**values, **rest, **state, "x": zero}
        _, *following = step(*(arguments[n] for n in model.step.inputs))
        return np.stack([np.broadcast_to(f, (size,)) for f in following])  # [state, H]

    with np.errstate(all="ignore"):
        derived = model.derive_numpy(*(values[n] for n in model.derive.inputs))
        values |= dict(zip(model.derived, derived, strict=True))
        rest = dict.fromkeys(states, zero)
        columns = [(after({s: zero + PROBE}) - after({})) / PROBE for s in states]
    matrix = np.stack(columns).transpose(2, 1, 0)  # [H, next state, state]
    found = np.full((size, len(states)), np.nan, np.complex128)
    finite = np.isfinite(matrix).all((1, 2))
    found[finite] = np.linalg.eigvals(matrix[finite])
    return found


def amplification(eigen: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Growth of a small deviation per step, (H,); above 1 the neuron is unstable. ``eigen`` is (H, states)."""
    growth = np.abs(eigen).max(1)
    return np.where(np.isnan(growth), np.inf, growth)


def resonance(eigen: NDArray[np.complex128], dt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Angular frequency in rad per unit time at which the discrete neuron turns, 0 where it does not, and the rate in
    1 per unit time at which it is damped, (H,) each. ``eigen`` is (H, states).

    They are near ω and -b for small δω; BRF turns at asin(δω)/δ where b' = 0, and BHRF is damped by δω²/2 + b'.
    """
    turning = np.take_along_axis(eigen, np.abs(eigen.imag).argmax(1)[:, None], 1)[:, 0]
    frequency = np.where(turning.imag == 0, 0.0, np.abs(np.angle(turning))) / dt
    with np.errstate(divide="ignore"):
        return frequency, -np.log(np.abs(turning)) / dt


def first_divergence(states: NDArray, unstable: NDArray[np.bool_], bound: float) -> int | None:
    """First step at which a state is not finite, or an unstable neuron's is beyond ``bound``; None if there is none.

    The current adds δI to a resonator at every step, and a stable one only turns and shrinks what it has, so none gets
    beyond δ Σ|I|. An unstable one that does has run away; one whose resets hold it has not.

    Args:
        states: (steps, neurons) of one symbol.
        unstable: (neurons,) where :func:`amplification` is above 1.
        bound: several times δ Σ|I|.
    """
    with np.errstate(all="ignore"):
        bad = ~np.isfinite(states)
        if unstable.any():
            bad |= (np.abs(states) > bound) & unstable
    rows = bad.any(1)
    return int(np.argmax(rows)) if rows.any() else None
