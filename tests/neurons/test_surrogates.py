"""Surrogate gradients: their values, and that each is the derivative of its primitive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from brfkit.codegen.model import build_model
from brfkit.codegen.python_printer import NUMPY, build
from brfkit.errors import BrfkitError
from brfkit.neurons import NEURONS, SURROGATES, Surrogate, get_neuron, get_surrogate, register, register_surrogate
from brfkit.neurons.ops import maximum

X = np.linspace(-8, 8, 2001)
FORMULAS = {
    "double_gaussian": lambda x: 0.5 * (1.15 * norm.pdf(x, 0, 0.5) - 0.3 * norm.pdf(x, 0, 3)),
    "multi_gaussian": lambda x: (
        0.5 * (1.15 * norm.pdf(x, 0, 0.5) - 0.15 * norm.pdf(x, 0.5, 3) - 0.15 * norm.pdf(x, -0.5, 3))
    ),
    "gaussian": norm.pdf,
    "linear": lambda x: np.maximum(0, 1 - np.abs(x)),
    "exponential": lambda x: np.exp(-np.abs(x)),
    "sigmoid": lambda x: 0.25 / np.cosh(x / 2) ** 2,
    "atan": lambda x: 1 / (1 + (np.pi * x) ** 2),
    "fast_sigmoid": lambda x: 1 / (1 + np.abs(x)) ** 2,
}


def call(program, **values):
    return build(program, "numpy", NUMPY)(*(values[name] for name in program.inputs))


def test_every_surrogate_has_a_formula_here():
    assert FORMULAS.keys() == SURROGATES.keys()


@pytest.mark.parametrize("name", FORMULAS)
def test_values(name):
    np.testing.assert_allclose(get_surrogate(name).derivative(X), FORMULAS[name](X), rtol=1e-13, atol=1e-16)


def test_double_gaussian_at_the_threshold():
    assert get_surrogate("double_gaussian").derivative(np.float64(0.0)) == pytest.approx(0.43883, abs=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_derivative_of_the_primitive(name):
    """Central differences: h² f''' / 6 and eps / h are some 1e-10; a kink within h of a point costs at most h."""
    surrogate, h = get_surrogate(name), 1e-5
    slope = (surrogate.primitive(X + h) - surrogate.primitive(X - h)) / (2 * h)
    kink = np.min(np.abs(X[:, None] - [-1.0, 0.0, 1.0]), axis=1) < 2 * h
    np.testing.assert_allclose(slope[~kink], surrogate.derivative(X)[~kink], atol=1e-9)
    np.testing.assert_allclose(slope[kink], surrogate.derivative(X)[kink], atol=2 * h)


def test_unknown_surrogate():
    with pytest.raises(BrfkitError, match="unknown surrogate 'sigmoidal'; there are double_gaussian"):
        get_surrogate("sigmoidal")
    for slope in ("0", "-1", "x", "", "nan"):
        with pytest.raises(BrfkitError, match="slope of surrogate atan must be a positive number"):
            get_surrogate(f"atan:{slope}")


@pytest.mark.parametrize("name", FORMULAS)
def test_slopes(name):
    steep = get_surrogate(f"{name}:2.5")
    np.testing.assert_allclose(steep.derivative(X), 2.5 * FORMULAS[name](2.5 * X), rtol=1e-12, atol=1e-16)
    values = call(build_model("brf", surrogate=f"{name}:2.5").surrogate, x=X)
    np.testing.assert_allclose(values[0], steep.derivative(X), rtol=1e-12, atol=1e-16)
    h = 1e-6
    slope = (steep.primitive(X + h) - steep.primitive(X - h)) / (2 * h)
    np.testing.assert_allclose(slope, steep.derivative(X), atol=1e-5)


def mine(x):
    return maximum(1.0 - abs(x), 0.0)


def yours(x):
    return maximum(2.0 - abs(x), 0.0)


def test_one_registered_again_is_the_one_in_use(monkeypatch):
    """As a cell of a notebook that is run twice does it."""
    monkeypatch.setattr("brfkit.neurons.surrogates.SURROGATES", registry := dict(SURROGATES))
    register_surrogate(Surrogate("mine", mine, lambda x: x, "max(0, 1 - |x|)"))
    assert call(build_model("rf", surrogate="mine").surrogate, x=0.0) == (1.0,)
    with pytest.raises(BrfkitError, match="there is a surrogate 'mine' already; overwrite=True replaces it"):
        register_surrogate(Surrogate("mine", yours, lambda x: x, "max(0, 2 - |x|)"))
    register_surrogate(Surrogate("mine", yours, lambda x: x, "max(0, 2 - |x|)"), overwrite=True)
    assert call(build_model("rf", surrogate="mine").surrogate, x=0.0) == (2.0,)
    registry["mine"] = Surrogate("mine", mine, lambda x: x, "max(0, 1 - |x|)")  # past the function, by assignment
    assert call(build_model("rf", surrogate="mine").surrogate, x=0.0) == (1.0,)


def test_a_neuron_registered_again_is_the_one_in_use(monkeypatch):
    monkeypatch.setattr("brfkit.neurons.NEURONS", dict(NEURONS))
    one = replace(NEURONS["lif"], name="mine", constants={"theta": 0.5})
    register(one)
    with pytest.raises(BrfkitError, match="there is a neuron 'mine' already; overwrite=True replaces it"):
        register(one)
    other = replace(one, constants={"theta": 0.75})
    register(other, overwrite=True)
    assert get_neuron("mine") is other
    assert build_model("mine").neuron is other
