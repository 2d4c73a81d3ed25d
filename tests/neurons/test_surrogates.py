"""Surrogate gradients: their values, and that each is the derivative of its primitive."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from brfkit.errors import BrfkitError
from brfkit.neurons import SURROGATES, get_surrogate

X = np.linspace(-8, 8, 2001)
FORMULAS = {
    "double_gaussian": lambda x: 0.5 * (1.15 * norm.pdf(x, 0, 0.5) - 0.3 * norm.pdf(x, 0, 3)),
    "multi_gaussian": lambda x: (
        0.5 * (1.15 * norm.pdf(x, 0, 0.5) - 0.15 * norm.pdf(x, 0.5, 3) - 0.15 * norm.pdf(x, -0.5, 3))
    ),
    "gaussian": norm.pdf,
    "linear": lambda x: np.maximum(0, 1 - np.abs(x)),
    "exponential": lambda x: np.exp(-np.abs(x)),
}


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
    with pytest.raises(BrfkitError, match="unknown surrogate 'sigmoid'; there are double_gaussian"):
        get_surrogate("sigmoid")
