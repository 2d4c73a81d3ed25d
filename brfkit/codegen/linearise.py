"""The neuron linearised: derivatives of one generated time step, taken from the neuron's own adjoint.

Nothing here knows a neuron's equations. The rows of the transition matrix are vector-Jacobian products of ``step``
with unit vectors, so a neuron or an integrator that is added to the registry is analysed like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from brfkit.codegen.adjoint import cotangent
from brfkit.codegen.model import Model, build_model
from brfkit.codegen.program import Program
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.neurons import OptionValue


@dataclass(frozen=True)
class Linearised:
    """One time step near a state: ds_t = transition ds_{t-1} + input dI_t, dz_t = output ds_{t-1} + feedthrough dI_t.

    Leading axes ``...`` are those to which parameters and state broadcast, such as (N,) or (T, N).

    Attributes:
        states: symbols of the S states, in the order of the last axes.
        transition: (..., S, S), row: next state, column: state before.
        input: (..., S), derivative of the next state by the current I_t.
        output: (..., S), derivative of the neuron's output (the spike by its surrogate) by the state before.
        feedthrough: (...), derivative of the output by I_t.
    """

    states: tuple[str, ...]
    transition: NDArray[Any]
    input: NDArray[Any]
    output: NDArray[Any]
    feedthrough: NDArray[Any]

    def reached(self) -> tuple[int, ...]:
        """Numbers of the states that a current reaches, at once or through other states: u and v of BRF, not q."""
        edges = (self.transition != 0).reshape(-1, *self.transition.shape[-2:]).any(0)  # [next, before]
        mask = (self.input != 0).reshape(-1, len(self.states)).any(0)
        for _ in self.states:
            mask = mask | edges[:, mask].any(1)
        return tuple(int(i) for i in np.flatnonzero(mask))

    def restricted(self, kept: Sequence[int]) -> Linearised:
        """The same step on some of the states only; right where the others stay 0."""
        rows = list(kept)
        return Linearised(
            tuple(self.states[i] for i in rows),
            self.transition[..., rows, :][..., rows],
            self.input[..., rows],
            self.output[..., rows],
            self.feedthrough,
        )


def linearise(
    neuron: str,
    parameters: Mapping[str, ArrayLike],
    state: Mapping[str, ArrayLike] | None = None,
    dt: float = 0.01,
    options: Mapping[str, OptionValue] | None = None,
    *,
    current: ArrayLike = 0.0,
    constants: Mapping[str, float] | None = None,
    surrogate: str | None = None,
    sub_threshold: bool = False,
    derived: Mapping[str, ArrayLike] | None = None,
    dtype: DTypeLike = np.float64,
) -> Linearised:
    """The derivatives of one time step of a neuron, by its generated adjoint.

    Args:
        neuron: model, see ``brfkit neurons``.
        parameters: every parameter by name; arrays that broadcast together.
        state: the state before the step, by symbol (u_{t-1}, …); what is missing is 0, None is rest.
        dt: time step δ.
        options: parts of the model switched off.
        current: I_t, which with the state decides how far from the threshold the neuron is.
        constants: θ, γ, … where they differ from the model's.
        surrogate: derivative of a spike; None takes the neuron's own.
        sub_threshold: a spike contributes nothing, as for a neuron that stays below threshold.
        derived: values that replace what ``derive`` makes of the parameters, such as BRF's ``b0``.
        dtype: float64 or float32.

    Returns:
        Arrays with the leading shape to which parameters, state and current broadcast.

    Raises:
        BrfkitError: unknown neuron, parameter, state, option or constant; a parameter is missing.
    """
    model = build_model(neuron, options, surrogate)
    kind: np.dtype[Any] = np.dtype(dtype)
    fixed = model.neuron.resolve_constants(dt, constants or {})
    known = {name: np.asarray(value, kind) for name, value in _all_of(model, parameters).items()}
    known |= {name: np.asarray(value, kind) for name, value in _state(model, state or {}).items()}
    known["x"] = np.asarray(current, kind)
    given = {name: np.asarray(value, kind) for name, value in (derived or {}).items()}
    shape = np.broadcast_shapes(*(value.shape for value in (*known.values(), *given.values())))
    values: dict[str, Any] = {**{name: kind.type(value) for name, value in fixed.items()}, **known}
    with np.errstate(all="ignore"):  # what overflows is not finite in the result
        values |= dict(zip(model.derived, model.derive_numpy(*(values[n] for n in model.derive.inputs)), strict=True))
        values |= given
        program, pull = _pullback(model, sub_threshold)
        values |= dict.fromkeys(model.slopes, kind.type(0.0))
        values |= _unit_cotangents(model, len(shape), kind)
        bars = dict(zip(program.output_names, pull(*(values[n] for n in program.inputs)), strict=True))
    rows = (1 + len(model.states), *shape)
    columns = [np.broadcast_to(bars[cotangent(name)], rows) for name in ("x", *model.states)]
    jacobian = np.moveaxis(np.stack(columns), (0, 1), (-1, -2)).astype(kind)  # [..., output and states, x and states]
    return Linearised(
        model.states, jacobian[..., 1:, 1:], jacobian[..., 1:, 0], jacobian[..., 0, 1:], jacobian[..., 0, 0]
    )


def transition_matrix(
    neuron: str,
    parameters: Mapping[str, ArrayLike],
    state: Mapping[str, ArrayLike] | None = None,
    dt: float = 0.01,
    options: Mapping[str, OptionValue] | None = None,
    **kwargs: Any,
) -> NDArray[Any]:
    """The Jacobian J_t of the state after a step by the state before it, (..., S, S); see :func:`linearise`.

    Higuchi, Bohté, Otte, arXiv:2406.00389, give it for BRF with the surrogate φ at the spike.
    """
    return linearise(neuron, parameters, state, dt, options, **kwargs).transition


def _all_of(model: Model, parameters: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
    for name in parameters:
        if name not in model.parameters:
            raise model.neuron.no_parameter(name)
    missing = [name for name in model.parameters if name not in parameters]
    if missing:
        raise BrfkitError(f"neuron {model.neuron.name} needs a value of {', '.join(missing)}")
    return dict(parameters)


def _state(model: Model, state: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
    for symbol in state:
        if symbol not in model.states:
            raise BrfkitError(f"neuron {model.neuron.name} has no state {symbol!r}; it has {', '.join(model.states)}")
    return {symbol: state.get(symbol, 0.0) for symbol in model.states}


def _unit_cotangents(model: Model, dimensions: int, kind: np.dtype[Any]) -> dict[str, NDArray[Any]]:
    """For every output of ``step`` the cotangents that pick its row, along a new first axis."""
    unit = np.eye(1 + len(model.states), dtype=kind)
    names = map(cotangent, model.step.output_names)
    return {name: unit[i].reshape(-1, *(1,) * dimensions) for i, name in enumerate(names)}


@lru_cache(maxsize=256)
def _pullback(model: Model, sub_threshold: bool) -> tuple[Program, Callable[..., tuple[Any, ...]]]:
    program = model.step_vjp_of_slopes if sub_threshold else model.step_vjp
    return program, build(program, "numpy", NUMPY)
