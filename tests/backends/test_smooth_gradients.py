"""The gradient of the smooth network (spike replaced by its surrogate's primitive) is exact, so differences prove it.

Taylor: with g the gradient in direction d, |f(h d) - f(0)| falls like h and |f(h d) - f(0) - h g·d| like h². Measured
as slopes between steps h, h/2, h/4, ... from 1e-3 on: the second remainder is then some 1e-7 of f, and rounding, eps
times the ~1e3 operations of the loss, stays below 1e-12, so that both slopes come out within 0.1. A term missing from
the gradient makes the second slope 1.

Dot product: ⟨J v, w⟩ = ⟨v, Jᵀ w⟩ with J v by central differences of step h = 1e-5 (v of size 1 relative to the
parameters): the error is h² |f'''| / 6 ~ 1e-9 plus eps |f| / h ~ 1e-10, relative; the bound is 1e-6, since second
derivatives of ``linear`` and ``exponential`` jump, which leaves an error of order h for what crosses a kink.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brfkit.backends.reference import ReferenceBackend
from brfkit.neurons import NEURONS, SURROGATES

from .cases import Case, build_network, make_weights, state_shapes

SPIKING = [name for name, neuron in NEURONS.items() if neuron.spiking]
BACKEND = ReferenceBackend(smooth=True)
PAIRS = [(neuron, "double_gaussian", "") for neuron in SPIKING]
PAIRS += [("brf", s, "") for s in SURROGATES] + [("lif", "linear", "")]
PAIRS += [(n, "double_gaussian", way) for n in ("brf", "rf", "rf-izhikevich") for way in ("symplectic", "exact")]
PAIRS += [(n, "double_gaussian", "gamma") for n in ("brf", "bhrf")]
READOUTS = {"bhrf": "li-sigmoid", "rf": None}


class Smooth:
    """A smooth network as a function of one dictionary of arrays: all weights, the input, the initial state."""

    def __init__(self, neuron: str, surrogate: str, variant: str) -> None:
        rng = np.random.default_rng(3)
        case = Case("smooth", neuron, 2, 9, (4, 3), bias=True, surrogate=surrogate, readout=READOUTS.get(neuron, "li"))
        options: dict[str, bool | str] = {"train_gamma": True} if variant == "gamma" else {"discretisation": variant}
        self.network = build_network(replace(case, options=options if variant else {}))
        self.point = make_weights(self.network, "float64", rng)
        if variant == "gamma":
            assert {"h0.gamma", "h1.gamma"} <= self.point.keys()
            for name in ("h0.gamma", "h1.gamma"):  # not where it is mirrored
                self.point[name] = np.where(abs(abs(self.point[name]) - 1) < 0.05, 0.9, self.point[name])
        self.states = state_shapes(self.network, case.batch)
        self.point["x"] = rng.uniform(0, 1, (case.steps, case.batch, case.inputs))
        self.point |= {f"initial {name}": rng.normal(0.3, 0.2, shape) for name, shape in self.states.items()}
        self.direction = {k: rng.normal(0, 1, v.shape) * np.abs(v).mean() for k, v in self.point.items()}
        self.output_bar = rng.normal(0, 1, (case.steps, case.batch, self.network.outputs))
        self.state_bar = {name: rng.normal(0, 1, shape) for name, shape in self.states.items()}

    def _scan(self, point: dict[str, np.ndarray], differentiate: bool = False):
        weights = {name: point[name] for name in self.network.shapes()}
        state = {name: point[f"initial {name}"] for name in self.states}
        return BACKEND.scan(self.network, weights, point["x"], initial_state=state, differentiate=differentiate)

    def value(self, h: float, names: list[str]) -> float:
        """⟨outputs and final state, cotangents⟩ at ``point + h direction``, moved in ``names`` only."""
        moved = {k: v + h * self.direction[k] if k in names else v for k, v in self.point.items()}
        trace = self._scan(moved)
        final = sum((trace.final_state[name] * bar).sum() for name, bar in self.state_bar.items())
        return float((trace.outputs * self.output_bar).sum() + final)

    def gradient(self) -> dict[str, np.ndarray]:
        trace = self._scan(self.point, differentiate=True)
        found = BACKEND.scan_vjp(
            trace, self.output_bar, final_state_grad=self.state_bar, input_grad=True, initial_state_grad=True
        )
        return {**found.weights, "x": found.input, **{f"initial {k}": v for k, v in found.initial_state.items()}}


def slopes(values: list[float]) -> np.ndarray:
    return np.log2(np.array(values[:-1]) / np.array(values[1:]))


@pytest.mark.parametrize(("neuron", "surrogate", "variant"), PAIRS)
def test_taylor_slopes(neuron, surrogate, variant):
    problem = Smooth(neuron, surrogate, variant)
    gradient, names = problem.gradient(), list(problem.point)
    along = sum(float((gradient[k] * problem.direction[k]).sum()) for k in names)
    steps = [1e-3 / 2**i for i in range(5)]
    change = [problem.value(h, names) - problem.value(0.0, names) for h in steps]
    first = slopes([abs(c) for c in change])
    second = slopes([abs(c - h * along) for c, h in zip(change, steps, strict=True)])
    assert first == pytest.approx(np.ones(4), abs=0.1)
    assert second == pytest.approx(2 * np.ones(4), abs=0.1)


@pytest.mark.parametrize(("neuron", "surrogate", "variant"), PAIRS)
def test_dot_product_for_every_array(neuron, surrogate, variant):
    """Each weight, the input and each initial state alone, so that no error hides behind a larger array."""
    problem = Smooth(neuron, surrogate, variant)
    gradient, h = problem.gradient(), 1e-5
    assert gradient.keys() == problem.point.keys()
    for name, bar in gradient.items():
        along = float((bar * problem.direction[name]).sum())
        forward = (problem.value(h, [name]) - problem.value(-h, [name])) / (2 * h)
        scale = max(np.linalg.norm(bar) * np.linalg.norm(problem.direction[name]), 1e-2)
        assert abs(forward - along) < 1e-6 * scale, name
